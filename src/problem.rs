//! One mistake in a config file, and how it is shown: where, what, the line itself with the exact words underlined.
//! Knows nothing of what the keys mean; judges nothing.

use std::path::Path;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::Paint;

/// The most characters of the file's line that are shown.
const LONGEST: usize = 110;

/// One mistake in a config file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, both from 1; none where the mistake is something absent.
    pub at: Option<(usize, usize)>,
    /// How many characters from there on are meant.
    pub width: usize,
    /// That line of the file.
    pub source: String,
    /// The dotted key, e.g. `stages.production.hosts`.
    pub key: String,
    /// What is wrong, in one sentence.
    pub what: String,
    /// How to put it right; may be empty.
    pub hint: String,
}

impl Problem {
    /// `deploy.toml:3:1: what`, then the line, then carets under what is meant with the hint behind them.
    pub fn show(&self, file: &Path, color: bool) -> String {
        let file = file.display();
        let Some((line, column)) = self.at else {
            let hint = if self.hint.is_empty() { String::new() } else { format!("\n  hint: {}", self.hint) };
            return format!("{} {}{hint}", Paint::Strong.over(color, &format!("{file}:")), self.what);
        };
        let place = Paint::Strong.over(color, &format!("{file}:{line}:{column}:"));
        let (source, before, width) = self.window(column);
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let carets = Paint::Bad.over(color, &"^".repeat(width));
        let dim = |text: String| Paint::Dim.over(color, &text);
        let under = format!("{}{}{carets} {}", dim(format!("  {gutter} | ")), " ".repeat(before), self.hint);
        format!("{place} {}\n{}{source}\n{}", self.what, dim(format!("  {number} | ")), under.trim_end())
    }

    /// What is shown of the line, how many columns of it stand before the mistake, and how many are meant.
    fn window(&self, column: usize) -> (String, usize, usize) {
        // One cell for each character of the file, so that what is dropped shifts nothing.
        let cell = |c: char| match c {
            '\t' => ' ',
            c if c.is_control() || crate::text::turns(c) => '\u{fffd}',
            c => c,
        };
        let all: Vec<char> = self.source.chars().map(cell).collect();
        let mistake = (column - 1).min(all.len());
        let from = if all.len() > LONGEST { mistake.saturating_sub(LONGEST / 3) } else { 0 };
        let to = all.len().min(from + LONGEST);
        let columns = |range: &[char]| range.iter().map(|c| c.width().unwrap_or(0)).sum::<usize>();
        let (left, right) = (if from > 0 { "... " } else { "" }, if to < all.len() { " ..." } else { "" });
        let meant = &all[mistake..(mistake + self.width).clamp(mistake, to)];
        let text: String = all[from..to].iter().collect();
        (format!("{left}{text}{right}"), left.width() + columns(&all[from..mistake]), columns(meant).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, column: usize, width: usize) -> String {
        let (what, hint) = ("is odd".into(), "mend it".into());
        let problem = Problem { at: Some((12, column)), width, source: source.into(), key: String::new(), what, hint };
        problem.show(Path::new("deploy.toml"), false)
    }

    #[test]
    fn the_carets_stand_under_what_is_meant() {
        let text = shown("prot = 3000", 1, 4);
        assert_eq!(text, "deploy.toml:12:1: is odd\n  12 | prot = 3000\n     | ^^^^ mend it");
        // Two columns for each of these two characters; one for the tab.
        assert!(shown("\t日本 = 1", 7, 1).ends_with("\n  12 |  日本 = 1\n     |         ^ mend it"));
        assert!(shown("", 1, 0).ends_with("\n     | ^ mend it"), "the end of the file has no characters");
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake() {
        let line = format!("hosts = [{}, oops, {}]", "'a', ".repeat(60), "'b', ".repeat(60));
        let column = line.find("oops").unwrap() + 1;
        let text = shown(&line, column, 4);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][at..at + 4], "oops");
        assert!(lines[1].len() < 130 && lines[1].ends_with(" ..."), "{text}");
    }

    #[test]
    fn a_file_can_not_drive_the_terminal() {
        assert!(!shown("a = '\u{1b}[2J\u{202e}'", 1, 1).contains(['\u{1b}', '\u{202e}']));
    }
}
