//! The app's home on a host: its lock, owner, space, `current`, and what is shared.

use super::{Row, Status, ok, row, size};
use crate::config::{Config, Host};
use crate::engine::findings::{self, DANGLING};
use crate::error::Error;
use crate::remote::{Facts, reply};
use crate::text::{bytes, count, list};

pub(super) fn lock(host: &Host, config: &Config, facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some((who, since, alive)) = &facts.lock {
        let (who, since, stage) = (who.clone(), reply::since(since), config.stage.clone());
        let said = format!("locked by {who} since {since}");
        let error = Error::Locked { host: host.name.clone(), who, since, stage };
        rows.push(match alive {
            true => row(Status::Refuses, "lock", said, error.hint()),
            false => row(Status::Note, "lock", format!("{said}; that run is dead"), "the next run takes it over"),
        });
    }
    if let Some((journal, release)) = &facts.leftover {
        let way = if journal == "pending" { "takes it back" } else { "finishes it" };
        let what = format!("an unfinished switch to {release}");
        rows.push(row(
            Status::Warning,
            "lock",
            what,
            format!("shipit recover {} {way}, as any next run", config.stage),
        ));
    }
    if let Some(hold) = &facts.hold {
        let error = Error::Held {
            host: host.name.clone(),
            who: hold.who.clone(),
            since: hold.since.clone(),
            why: hold.why.clone(),
            stage: config.stage.clone(),
        };
        let what = format!("deploys are held by {} since {}: {}", hold.who, hold.since, hold.why);
        rows.push(row(Status::Refuses, "hold", what, error.hint()));
    }
    if rows.is_empty() {
        rows.push(ok("lock", "free, and no run left anything unfinished"));
    }
    rows
}

pub(super) fn home(config: &Config, facts: &Facts, user: &str) -> Option<Row> {
    // Where it can't be written, preflight has said so.
    facts.value("writable")?;
    if facts.value("home") == Some("absent") {
        return Some(ok("path", format!("{} is not there; the first deploy makes it", config.path)));
    }
    let owner = facts.value("owner").unwrap_or("?");
    let umask = facts.value("umask").unwrap_or("?");
    let what = format!("{} belongs to {owner} and is writable, umask {umask}", config.path);
    Some(match owner == user {
        true => ok("path", what),
        false => {
            let cure =
                format!("if no other account deploys there, as root on the host: chown -R {user} {}", config.path);
            row(Status::Note, "path", what, cure)
        }
    })
}

pub(super) fn disk(config: &Config, facts: &Facts, removable: usize) -> Option<Row> {
    let free = facts.number("free_kb")? * 1024;
    let size = size(facts);
    if let Some(short) = size.and_then(|needs| findings::space(config, facts, needs, 0).into_iter().next()) {
        return Some(match removable {
            0 => row(Status::Refuses, "disk", short.what, short.cure),
            n => {
                let first = format!("{}; a deploy first removes {}", short.what, count(n, "old release"));
                row(Status::Warning, "disk", first, short.cure)
            }
        });
    }
    let inodes = facts.number("free_inodes").filter(|free| *free > 0);
    let inodes = inodes.map_or(String::new(), |free| format!(", {free} inodes"));
    let needed = size.map_or("there is no release yet to measure by".into(), |needs| {
        format!("the last release has {} in {}", bytes(needs.bytes), count(needs.entries as usize, "file"))
    });
    Some(ok("disk", format!("{} free{inodes}; {needed}", bytes(free))))
}

pub(super) fn current(config: &Config, facts: &Facts) -> Option<Row> {
    // A directory or a foreign link is refused.
    let kind = facts.value("current_is");
    if facts.value("dangling").is_some() {
        let cure = format!("shipit rollback {}, or deploy", config.stage);
        return Some(row(Status::Warning, "current", DANGLING, cure));
    }
    match (kind, facts.current()) {
        (Some("link"), Some(name)) => {
            let state = name.parse().ok().and_then(|id| facts.records.get(&id)).map(|record| record.state.word());
            Some(ok("current", format!("leads to {name}{}", state.map_or(String::new(), |word| format!(", {word}")))))
        }
        (Some(_), _) => Some(ok("current", "not there; the first deploy makes it")),
        (None, _) => None,
    }
}

pub(super) fn shared(config: &Config, facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    let files = &config.shared.files;
    if !files.is_empty() && facts.missing.is_empty() {
        rows.push(ok("shared", format!("{}: there", list(files))));
    }
    let dirs = &config.shared.dirs;
    if !dirs.is_empty() {
        let made = match facts.value("absent_dirs") {
            Some("") => "there".into(),
            Some(absent) => format!("the next deploy makes {absent}, filled from the release"),
            None => "the first deploy makes them, filled from the release".into(),
        };
        rows.push(ok("shared", format!("{}/: {made}", dirs.join("/, "))));
    }
    rows
}
