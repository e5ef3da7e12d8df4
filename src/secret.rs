//! Masks the values of the variables listed in `secrets` wherever text leaves the program.
//! Short values are left alone: masking `LIVE` would turn DELIVERY into DE***RY. A value is found as it is: not one that
//! somebody has encoded (base64, percent signs, a hash), or printed in pieces with something in between.

use std::sync::OnceLock;

use crate::text::CUT;

/// Values shorter than this many characters are never masked.
pub const SHORTEST: usize = 8;

/// What stands for a value.
pub const MASKED: &str = "***";
/// The beginning of a value that a cut has left is masked from this many characters on.
const REST: usize = 3;

/// The mask of this process, which has one config at most.
static KNOWN: OnceLock<Mask> = OnceLock::new();

/// Replaces secret values by `***`.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    values: Vec<String>,
}

impl Mask {
    /// A mask over `values`; longer ones first, so that one secret inside another leaves no tail.
    pub fn new(values: impl IntoIterator<Item = String>) -> Mask {
        let mut values: Vec<String> = values.into_iter().filter(|v| v.chars().count() >= SHORTEST).collect();
        values.sort_by_key(|v| std::cmp::Reverse(v.len()));
        values.dedup();
        Mask { values }
    }

    /// The values themselves, for a runner that masks as well.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Makes it the mask of what is printed where no config is at hand. The first one stays.
    pub fn know(self) {
        let _ = KNOWN.set(self);
    }

    /// The mask of this process; one that knows nothing until there is a config.
    pub fn known() -> Mask {
        KNOWN.get().cloned().unwrap_or_default()
    }

    /// `text` with every secret value replaced, and the beginning of one where the text was cut.
    pub fn apply(&self, text: &str) -> String {
        if self.values.is_empty() {
            return text.to_owned();
        }
        // Before whole values: a value may begin with another one.
        let mut pieces = text.split(CUT).peekable();
        let mut out = String::new();
        while let Some(piece) = pieces.next() {
            match pieces.peek() {
                Some(_) => {
                    out += &self.without_rest(piece);
                    out.push(CUT);
                }
                None => out += piece,
            }
        }
        for value in &self.values {
            if out.contains(value.as_str()) {
                out = out.replace(value.as_str(), MASKED);
            }
        }
        out
    }

    /// `text` without what it ends with of any value's beginning.
    fn without_rest(&self, text: &str) -> String {
        let beginnings = |value: &str| value.char_indices().skip(REST).map(|(at, _)| at).collect::<Vec<_>>();
        let rest = self
            .values
            .iter()
            .filter_map(|value| beginnings(value).into_iter().rev().find(|at| text.ends_with(&value[..*at])));
        match rest.max() {
            Some(length) => format!("{}{MASKED}", &text[..text.len() - length]),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_masked_and_short_ones_are_not() {
        let mask = Mask::new(["correct horse".into(), "correct horse battery".into(), "LIVE".into()]);
        assert_eq!(mask.apply("a correct horse battery, DELIVERY"), "a ***, DELIVERY");
    }
    #[test]
    fn what_a_cut_leaves_of_a_value_is_masked() {
        let mask = Mask::new(["correct horse".into(), "recollect".into()]);
        assert_eq!(mask.apply("failed: correct ho\u{2026}; next"), "failed: ***\u{2026}; next");
        assert_eq!(mask.apply("by co\u{2026}, or rec\u{2026}"), "by co\u{2026}, or ***\u{2026}");
        assert_eq!(mask.apply("what is correct"), "what is correct", "nothing was cut");
        let mask = Mask::new(["correct horse".into(), "correct horse battery".into()]);
        assert_eq!(mask.apply("a correct horse bat\u{2026}"), "a ***\u{2026}");
        let (value, line) = ("s3cret-ü-value".to_owned(), format!("{}s3cret-ü-value", "x".repeat(392)));
        let mask = Mask::new([value]);
        let cut = mask.apply(&crate::text::clean(&line, 400));
        assert!(!cut.contains("s3c"), "{cut}");
    }
}
