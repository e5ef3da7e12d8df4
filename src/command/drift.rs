//! What of the live release is not as it was released, for `status`: the host's list without what is mutable, bounded.

use serde_json::{Value, json};

use crate::artifact::Mutable;
use crate::config::Config;
use crate::remote::Facts;
use crate::remote::reply::Drift;
use crate::text::{count, list};

/// How many files a person is told of.
const NAMED: usize = 10;
/// How many a program is told of.
const LISTED: usize = 1000;
/// How many a host tells of: more than that is no list.
const TOLD: usize = 20_000;

/// The files that changed though nothing says that they may; none where the host can't tell.
pub(super) fn of(facts: &Facts, config: &Config) -> Option<Vec<Drift>> {
    facts.value("drift").filter(|_| facts.drift.len() < TOLD)?;
    let record = facts.records.get(&facts.current()?.parse().ok()?)?;
    let mutable = Mutable::new(&record.app_dir, &record.shared, &record.mutable, &config.release.mutable);
    let mut drift: Vec<Drift> =
        facts.drift.iter().filter(|file| !mutable.names(file.path.as_bytes())).cloned().collect();
    drift.sort();
    // Who can't say which files are damaged says that the whole may be.
    (!drift.iter().any(|file| file.path == ".")).then_some(drift)
}

/// For programs: how many, and the first of them.
pub(super) fn to_json(drift: Option<&[Drift]>) -> Value {
    drift.map_or(Value::Null, |drift| json!({"files": drift.len(), "first": &drift[..drift.len().min(LISTED)]}))
}

/// For people: one line, where there is anything to say.
pub(super) fn line(drift: &[Drift]) -> Option<String> {
    let named: Vec<String> =
        drift.iter().take(NAMED).map(|file| format!("{} ({})", file.path, file.how.word())).collect();
    let all = match drift.len() {
        0 => return None,
        n if n > NAMED => format!("{} and {} more", named.join(", "), n - NAMED),
        _ => list(&named),
    };
    let are = if drift.len() == 1 { "is" } else { "are" };
    Some(format!(
        "{} {are} not as released: {all}; the next deploy leaves that behind, unless shared.dirs names it; release.mutable \
         names what the app may write",
        count(drift.len(), "file")
    ))
}
