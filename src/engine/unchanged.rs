//! Whether a deploy would change anything: what it would make, against what each host's record says of the live release.
//! Pure. A release that is live but not well is no reason to stay: what deploys the same again may mend it.

use crate::remote::{Facts, Record};

/// What `--if-changed` comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Equal and well everywhere: there is nothing to do, and what is live.
    Equal(String),
    /// Equal, and yet to be deployed: why.
    Unwell(String),
    /// Something differs.
    Differs,
}

/// Holds the record of the release to be made against each host: its name, its facts, and what is wrong with what is
/// live there, if anything is.
pub(super) fn verdict(new: &Record, hosts: &[(&str, &Facts, Option<String>)]) -> Verdict {
    let mut live = Vec::new();
    let mut unwell = None;
    for (name, facts, ill) in hosts {
        let record = facts.current().and_then(|id| facts.records.get(&id.parse().ok()?));
        let Some(record) = record.filter(|record| equal(new, record) && facts.value("dangling").is_none()) else {
            return Verdict::Differs;
        };
        let id = record.id.to_string();
        let state = (record.state != crate::release::State::Good).then(|| format!("it is {}", record.state.word()));
        if let Some(why) = state.or_else(|| ill.clone()) {
            unwell.get_or_insert(format!("{id} is live and equal on {name}, but {why}"));
        }
        if !live.contains(&id) {
            live.push(id);
        }
    }
    match unwell {
        Some(why) => Verdict::Unwell(why),
        None => {
            let are = if live.len() == 1 { "is" } else { "are" };
            Verdict::Equal(format!("{} {are} live and equal", crate::text::list(&live)))
        }
    }
}

/// Whether two releases are made of the same files and run in the same way.
fn equal(new: &Record, live: &Record) -> bool {
    new.artifact == live.artifact
        && new.app_dir == live.app_dir
        && new.shared == live.shared
        && new.service == live.service
        && new.health == live.health
        // An older shipit didn't write it down: then nobody knows.
        && new.config.is_some()
        && new.config == live.config
}
