//! Words for people: counts, sizes, durations, ages, and the cleaning of text that came from elsewhere.
//! Knows nothing of deploys.

use std::time::Duration;

/// `1 host`, `3 hosts`: a number with its noun.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A size in bytes as people read it: `812 B`, `25 KB`, `37.7 MB` (powers of 1000).
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 10.0 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// A duration as people read it: `0.4s`, `6s`, `12s`, `3m 05s`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs_f64();
    if s < 9.95 && d.subsec_millis() != 0 {
        format!("{s:.1}s")
    } else if s < 59.5 {
        format!("{s:.0}s")
    } else {
        let whole = s.round() as u64;
        if whole < 3600 {
            format!("{}m {:02}s", whole / 60, whole % 60)
        } else {
            format!("{}h {:02}m", whole / 3600, whole % 3600 / 60)
        }
    }
}

/// An age in its largest unit: `just now`, `5m ago`, `3h ago`, `12d ago`.
pub fn age(seconds: i64) -> String {
    match seconds {
        i64::MIN..60 => "just now".into(),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..172_800 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [init @ .., last] => {
            let init: Vec<&str> = init.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", init.join(", "), last.as_ref())
        }
    }
}

/// Stands where a text was cut.
pub const CUT: char = '\u{2026}';

/// Text from a host or a build, made safe for a terminal: control characters (escape sequences, carriage
/// returns, bidirectional overrides) are dropped, tabs become a space, and the line is cut to `max` characters, the last
/// of which then says so.
pub fn clean(line: &str, max: usize) -> String {
    let mut safe =
        line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control() && !turns(*c) && !breaks(*c));
    let mut text: String = safe.by_ref().take(max).collect();
    if safe.next().is_some() {
        text.pop();
        text.push(CUT);
    }
    text
}

/// Whether it turns the direction of the text around it, so that a line reads otherwise than it is.
pub fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Whether it may be taken for the end of a line.
fn breaks(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// What colours say; they only repeat what the words do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// It matters little.
    Dim,
    /// It should be known.
    Warn,
    /// It is what to look for first.
    Strong,
}

impl Paint {
    /// `text` in this colour, where there are colours.
    pub fn over(self, color: bool, text: &str) -> String {
        if !color || text.trim().is_empty() {
            return text.to_owned();
        }
        let code = match self {
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Dim => "2",
            Paint::Warn => "33",
            Paint::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The candidate closest to a mistyped word, for "did you mean"; none when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(word, c), c))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_well() {
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(25_300), "25 KB");
        assert_eq!(bytes(999_990), "1.0 MB");
        assert_eq!(duration(Duration::from_millis(420)), "0.4s");
        assert_eq!(duration(Duration::from_secs(59)), "59s");
        assert_eq!(duration(Duration::from_millis(59_700)), "1m 00s");
        assert_eq!(duration(Duration::from_secs(3725)), "1h 02m");
    }

    #[test]
    fn host_text_cannot_drive_the_terminal() {
        assert_eq!(clean("\u{1b}[2Jgone\r\u{7}\u{202e}x\ty", 80), "[2Jgonex y");
        assert_eq!(clean("one\u{2028}two\u{9b}31m\u{200f}", 80), "onetwo31m");
        assert_eq!(clean("abcdef", 3), "ab\u{2026}");
        assert_eq!(clean("abc\u{7}\n", 3), "abc", "nothing was lost");
    }

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        assert_eq!(nearest("prot", ["port", "path"]), Some("port"));
        assert_eq!(nearest("zebra", ["port", "path"]), None);
    }
}
