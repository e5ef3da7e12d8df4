//! The last lines of a terminal, drawn over again and again, below text that stays. Knows columns, rows and nothing of
//! what the lines say.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A terminal whose last lines move.
pub(super) struct Screen<W> {
    out: W,
    size: fn() -> (usize, usize),
    /// The lines that are on it now.
    drawn: Vec<String>,
}

impl<W: Write> Screen<W> {
    /// The terminal that `out` writes to and `size` tells columns and rows of.
    pub(super) fn new(out: W, size: fn() -> (usize, usize)) -> Screen<W> {
        Screen { out, size, drawn: Vec::new() }
    }

    /// Its width.
    pub(super) fn columns(&self) -> usize {
        (self.size)().0
    }

    /// Puts `text` above the moving lines, and `rows` in their place. The cursor rests on an empty line of its own: a
    /// `^C` that the terminal echoes there shifts nothing.
    pub(super) fn draw(&mut self, text: &str, rows: &[String]) -> io::Result<()> {
        let rows = self.fitting(rows);
        if text.is_empty() && rows == self.drawn {
            return Ok(());
        }
        let up = match self.height() {
            0 => String::new(),
            n => format!("\r\u{1b}[{n}A"),
        };
        let clear = if self.drawn.is_empty() { "" } else { "\u{1b}[J" };
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        self.drawn = rows;
        // One write, so that nothing flickers.
        self.out.write_all(format!("{up}{clear}{text}{lines}").as_bytes())?;
        self.out.flush()
    }

    /// How many rows the drawn lines take, also where the terminal became narrower meanwhile.
    fn height(&self) -> usize {
        let columns = self.columns().max(1);
        self.drawn.iter().map(|line| bare(line).width().div_ceil(columns).max(1)).sum()
    }

    /// As many as have room, and how many have none.
    fn fitting(&self, rows: &[String]) -> Vec<String> {
        let room = (self.size)().1.saturating_sub(2).max(1);
        if rows.len() <= room {
            return rows.to_vec();
        }
        let mut fitting = rows[..room - 1].to_vec();
        fitting.push(fitted(&format!("  and {} more", rows.len() - fitting.len()), self.columns()));
        fitting
    }
}

/// Without colours.
fn bare(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// The beginning of `text` that takes at most so many columns.
pub(super) fn fitted(text: &str, columns: usize) -> String {
    let mut taken = 0;
    text.chars()
        .take_while(|c| {
            taken += c.width().unwrap_or(0);
            taken <= columns
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(steps: &[(&str, &[&str])]) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, || (12, 5));
        for (text, rows) in steps {
            let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
            screen.draw(text, &rows).unwrap();
        }
        let mut terminal = vt100::Parser::new(30, 12, 0);
        terminal.process(String::from_utf8(out).unwrap().replace('\n', "\r\n").as_bytes());
        terminal.screen().contents().trim_end().to_owned()
    }

    #[test]
    fn what_moves_is_replaced_and_what_stays_stays() {
        assert_eq!(screen(&[("title\n", &[]), ("", &["a", "b"]), ("", &["c"]), ("said\n", &["d"])]), "title\nsaid\nd");
        assert_eq!(screen(&[("", &["a", "b"]), ("end\n", &[])]), "end");
        assert_eq!(screen(&[("", &["1", "2", "3", "4", "5"])]), "1\n2\n  and 3 more");
    }

    #[test]
    fn colours_take_no_columns() {
        assert_eq!(screen(&[("", &["\u{1b}[1mtwelve\u{1b}[0m wide"]), ("end\n", &[])]), "end");
        assert_eq!(fitted("日本x", 3), "日");
    }
}
