//! Release ids and states. The one place that makes, parses and orders ids; a name that doesn't parse here
//! is not a release and never reaches a removal.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Duration, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

const TIME: &str = "%Y%m%d-%H%M%S";
const SUFFIX: usize = 4;
/// No id is of this year or a later one: after each that parses there is another one of the same form.
const END_OF_TIME: i32 = 9999;
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// `PREFIX` + UTC `YYYYMMDD-HHMMSS` + `-` + four characters, e.g. `20260321-140000-k3f9`.
/// Ordered by time, then suffix, never by a file's time stamp.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId {
    text: String,
    prefix_len: usize,
}

impl ReleaseId {
    /// A new id at `now`, but always above `newest` (the newest id on any host), so that a client whose clock
    /// is behind can't make a release that sorts as old. `random` supplies the suffix.
    pub fn new(prefix: &str, now: DateTime<Utc>, newest: Option<&ReleaseId>, random: u32) -> ReleaseId {
        let floor = newest.map(|id| id.time() + Duration::seconds(1));
        let at = floor.map_or(now, |floor| now.max(floor));
        let suffix: String =
            (0..SUFFIX).map(|i| char::from(ALPHABET[(random >> (5 * i)) as usize % ALPHABET.len()])).collect();
        ReleaseId { text: format!("{prefix}{}-{suffix}", at.format(TIME)), prefix_len: prefix.len() }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The time in the id, UTC, to the second.
    pub fn time(&self) -> DateTime<Utc> {
        let stamp = &self.text[self.prefix_len..self.text.len() - SUFFIX - 1];
        NaiveDateTime::parse_from_str(stamp, TIME).expect("checked when the id was made or parsed").and_utc()
    }

    fn key(&self) -> &str {
        &self.text[self.prefix_len..]
    }
}

impl FromStr for ReleaseId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{}` is not a release id like 20260321-140000-k3f9", crate::text::clean(text, 80));
        // Fixed width from the end: -XXXX, then HHMMSS, -, YYYYMMDD; what is before is the prefix.
        const TAIL: usize = 15 + 1 + SUFFIX;
        if !text.is_ascii() || text.len() < TAIL || text.len() > TAIL + 64 {
            return Err(bad());
        }
        let (prefix, tail) = text.split_at(text.len() - TAIL);
        let (stamp, suffix) = tail.split_at(15);
        let prefix_ok = is_prefix(prefix);
        let suffix_ok =
            suffix.starts_with('-') && suffix[1..].bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let digits_ok = stamp.bytes().enumerate().all(|(i, b)| if i == 8 { b == b'-' } else { b.is_ascii_digit() });
        if !(prefix_ok
            && suffix_ok
            && digits_ok
            && NaiveDateTime::parse_from_str(stamp, TIME).is_ok_and(|at| at.year() < END_OF_TIME))
        {
            return Err(bad());
        }
        Ok(ReleaseId { text: text.to_owned(), prefix_len: prefix.len() })
    }
}

/// Whether `prefix` may stand before the time: letters, digits, `_` and `-`, so that no id is hidden, climbs
/// a directory or looks like an option.
pub fn is_prefix(prefix: &str) -> bool {
    prefix.is_empty()
        || (prefix.as_bytes()[0].is_ascii_alphanumeric()
            && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))
}

impl TryFrom<String> for ReleaseId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> String {
        id.text
    }
}

impl Ord for ReleaseId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key()).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for ReleaseId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is known of a release on one host. Kept in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Committed: it was live and healthy. A rollback target.
    Good,
    /// Complete and verified, but reverted only for want of a commit or by cancel, or never activated. May be named.
    Unproven,
    /// Failed its boot test, activation or verification. Never a target.
    Failed,
    /// Rolled back from. Never chosen by default.
    Withdrawn,
    /// Its files are gone; only the record is left.
    Removed,
}

impl State {
    /// The word in records, listings and scripts.
    pub fn word(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Unproven => "unproven",
            State::Failed => "failed",
            State::Withdrawn => "withdrawn",
            State::Removed => "removed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_made_parsed_and_ordered_by_time() {
        let a = ReleaseId::new("", at("2026-03-21T14:00:00Z"), None, 7);
        assert!(a.as_str().starts_with("20260321-140000-"));
        assert_eq!(a.as_str().parse::<ReleaseId>().unwrap(), a);
        let b = ReleaseId::new("blog-", at("2026-03-21T14:00:01Z"), None, 7);
        assert!(a < b, "the prefix does not take part in the order");
        assert_eq!(b.time(), at("2026-03-21T14:00:01Z"));
    }

    #[test]
    fn a_clock_that_is_behind_still_makes_the_newest_id() {
        let newest: ReleaseId = "20260321-140000-k3f9".parse().unwrap();
        let id = ReleaseId::new("", at("2020-01-01T00:00:00Z"), Some(&newest), 0);
        assert!(id > newest, "{id} > {newest}");
    }

    #[test]
    fn what_is_not_an_id_does_not_parse() {
        for text in [
            "",
            "..",
            ".",
            "x",
            "20260321140000",
            "20261321-140000-k3f9",
            "../../20260321-140000-k3f9",
            "-x20260321-140000-k3f9",
            "20260321-140000-k3f9\n",
            "20260321-140000-K3F9",
            "99990101-000000-aaaa",
        ] {
            assert!(text.parse::<ReleaseId>().is_err(), "{text:?}");
        }
    }
}
