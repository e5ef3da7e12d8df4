//! Masks the values of the variables listed in `secrets` wherever text leaves the program.
//! Short values are left alone: masking `LIVE` would turn DELIVERY into DE***RY.

/// Values shorter than this many characters are never masked.
pub const SHORTEST: usize = 8;

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

    /// `text` with every secret value replaced.
    pub fn apply(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for value in &self.values {
            if out.contains(value.as_str()) {
                out = out.replace(value.as_str(), "***");
            }
        }
        out
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
}
