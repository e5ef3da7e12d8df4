//! Which release a rollback makes live. Pure: from each host's facts and what the user named.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::release::{ReleaseId, State};
use crate::remote::{Facts, Record};
use crate::text::{clean, list};

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest release that is good on every host and older than each `current`, `steps` times (1: the previous).
    Back(usize),
    /// This one.
    Named(ReleaseId),
}

/// The record of the release, or why there is none. A plan and a run ask here alike, so that they agree. No host's word
/// decides what another one runs: where their records differ, none is believed.
pub fn choose(wanted: &Wanted, hosts: &[(&str, &Facts)], config: &Config) -> Result<Record> {
    let id = named(wanted, hosts, &config.stage)?;
    let mut records = hosts.iter().filter_map(|(name, facts)| Some((name, facts.records.get(&id)?)));
    let (first, record) = records.next().ok_or_else(|| Error::NoTarget {
        why: format!("{id} has no record, so how it was run is not known"),
        hint: "deploy its commit again".into(),
    })?;
    if let Some((other, _)) = records.find(|(_, other)| !other.runs_as(record)) {
        return Err(Error::NoTarget {
            why: format!("the records of {id} on {first} and on {other} don't say the same of how it is run"),
            hint: format!(
                "one of them was changed on its host: compare .shipit/records/{id}.json, or go back host by host: \
                 shipit rollback {} {id} --host {first}",
                config.stage
            ),
        });
    }
    let record = record.clone();
    if std::mem::discriminant(&record.service) != std::mem::discriminant(&config.service) {
        return Err(Error::NoTarget {
            why: format!("{id} was run by another service than deploy.toml names now"),
            hint: "put the [service] table of that time back, or deploy its commit".into(),
        });
    }
    Ok(record)
}

fn named(wanted: &Wanted, hosts: &[(&str, &Facts)], stage: &str) -> Result<ReleaseId> {
    let hint = format!("see what there is: shipit releases {stage}");
    let none = |why: String| Error::NoTarget { why, hint: hint.clone() };
    match wanted {
        Wanted::Named(id) => {
            for (name, facts) in hosts {
                if !facts.dirs.contains(id) {
                    return Err(none(format!("{name} has no release {id}")));
                }
                if facts.state(id) == State::Failed {
                    let why = facts.records.get(id).map(|record| record.why.clone()).unwrap_or_default();
                    return Err(none(format!("{id} failed on {name} and is never made live: {why}")));
                }
                if facts.current() == Some(id.as_str()) && hosts.len() == 1 {
                    return Err(none(format!("{id} is live already")));
                }
            }
            Ok(id.clone())
        }
        Wanted::Back(steps) => {
            let currents: BTreeSet<&str> =
                hosts.iter().map(|(_, facts)| facts.current().unwrap_or("nothing")).collect();
            if currents.len() > 1 {
                let table: Vec<String> = hosts
                    .iter()
                    .map(|(name, facts)| format!("  {name}: {}", clean(facts.current().unwrap_or("nothing"), 80)))
                    .collect();
                return Err(Error::NoTarget {
                    why: format!("the hosts don't run the same release:\n{}", table.join("\n")),
                    hint: format!("name one that all have: shipit rollback {stage} RELEASE"),
                });
            }
            let (_, first) = hosts.first().ok_or_else(|| none("there is no host".into()))?;
            let current: Option<ReleaseId> = first.current().and_then(|name| name.parse().ok());
            let mut good: Vec<&ReleaseId> = first
                .dirs
                .iter()
                .filter(|id| current.as_ref().is_none_or(|current| *id < current))
                .filter(|id| hosts.iter().all(|(_, facts)| facts.dirs.contains(id) && facts.state(id) == State::Good))
                .collect();
            good.sort_unstable_by(|a, b| b.cmp(a));
            // Those that are never chosen by themselves, but may be named.
            let mut others: Vec<&str> = first
                .dirs
                .iter()
                .filter(|id| {
                    matches!(first.state(id), State::Withdrawn | State::Unproven) && current.as_ref() != Some(id)
                })
                .map(ReleaseId::as_str)
                .collect();
            others.sort_unstable();
            let named = match others.as_slice() {
                [] => String::new(),
                some => format!("; not chosen by itself, but it may be named: {}", list(some)),
            };
            good.get(steps.saturating_sub(1)).map(|id| (*id).clone()).ok_or_else(|| {
                none(match good.len() {
                    0 => format!("there is no earlier good release to go back to{named}"),
                    n => format!(
                        "there {} only {n} earlier good release{}",
                        if n == 1 { "is" } else { "are" },
                        if n == 1 { "" } else { "s" }
                    ),
                })
            })
        }
    }
}
