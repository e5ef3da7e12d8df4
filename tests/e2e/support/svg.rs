//! A terminal's screen as an SVG picture: text, colours and nothing else, so that it is small and sharp anywhere.

use std::fmt::Write;

use vt100::{Cell, Color};

const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 19.0;
const MARGIN: f64 = 16.0;

/// The picture of what a terminal of so many columns shows after these bytes, below the line that was typed.
pub(crate) fn picture(typed: &str, bytes: &[u8], columns: u16) -> String {
    let mut parser = vt100::Parser::new(200, columns, 0);
    parser.process(format!("\u{1b}[2m$\u{1b}[0m \u{1b}[1m{typed}\u{1b}[0m\r\n").as_bytes());
    parser.process(bytes);
    let screen = parser.screen();
    let rows = screen.rows(0, columns).collect::<Vec<_>>();
    let used = rows.iter().rposition(|row| !row.trim().is_empty()).map_or(0, |last| last + 1);
    let (width, height) = (f64::from(columns) * WIDTH + 2.0 * MARGIN, used as f64 * HEIGHT + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\" \
         xml:space=\"preserve\">\n",
        escaped(typed)
    );
    for row in 0..used as u16 {
        let mut column = 0;
        while column < columns {
            let look = screen.cell(row, column).map(look);
            let end = (column..columns).find(|at| screen.cell(row, *at).map(self::look) != look).unwrap_or(columns);
            let text: String = (column..end).filter_map(|at| screen.cell(row, at)).map(shown).collect();
            if !text.trim().is_empty() {
                run(&mut svg, row, column, text.trim_end(), look.unwrap_or_default());
            }
            column = end;
        }
    }
    svg + "</g>\n</svg>\n"
}

/// Colour, and whether it is bold.
fn look(cell: &Cell) -> (&'static str, bool) {
    let color = match cell.fgcolor() {
        Color::Idx(1) => "#ff6b68",
        Color::Idx(2) => "#5fd38d",
        Color::Idx(3) => "#e5c07b",
        _ if cell.dim() => "#7f8794",
        _ => "#d7dae0",
    };
    (color, cell.bold())
}

fn shown(cell: &Cell) -> &str {
    if cell.has_contents() { cell.contents() } else { " " }
}

fn run(svg: &mut String, row: u16, column: u16, text: &str, (color, bold): (&str, bool)) {
    let blanks = text.len() - text.trim_start().len();
    let text = text.trim_start();
    let x = MARGIN + (f64::from(column) + blanks as f64) * WIDTH;
    let y = MARGIN + (f64::from(row) + 0.75) * HEIGHT;
    let length = text.chars().count() as f64 * WIDTH;
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    // The length is given, so that columns stand under each other in any font.
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{color}\"{weight}>{}</text>",
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
