//! What `check` says of a host, as rows. Pure. What a deploy would refuse is judged by findings.rs, how its steps would
//! work by the plan: this only puts their words in order, and adds what stops nothing but is worth knowing.

mod choices;
mod place;
mod service;
mod tests;

use serde::Serialize;

use super::findings::{self, Needs};
use super::suits::{self, Asks};
use crate::config::{Address, Config, Host, Service};
use crate::error::{ConnectFailure, Error, Finding};
use crate::plan::Plan;
use crate::release::ReleaseId;
use crate::remote::Facts;
use crate::text::count;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// A deploy goes on, but this should be mended.
    Warning,
    /// A deploy would be refused.
    Refuses,
}

impl Status {
    /// The word in the table and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Warning => "warning",
            Status::Refuses => "refuses",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// How bad it is.
    pub status: Status,
    /// What it is about: a word of the config or a step.
    pub about: &'static str,
    /// The finding, in a sentence.
    pub what: String,
    /// The cure: a sentence or a command; may be empty where all is well.
    pub cure: String,
}

/// What was seen of a host.
pub struct Seen {
    /// What it told.
    pub facts: Facts,
    /// Releases that a deploy would remove first if space were short.
    pub removable: usize,
    /// Whether its sshd forwards ports; none: not asked for, or not found out.
    pub forwards: Option<bool>,
    /// Our clock when it was asked, in seconds.
    pub at: i64,
}

fn ok(about: &'static str, what: impl Into<String>) -> Row {
    Row { status: Status::Ok, about, what: what.into(), cure: String::new() }
}

fn row(status: Status, about: &'static str, what: impl Into<String>, cure: impl Into<String>) -> Row {
    Row { status, about, what: what.into(), cure: cure.into() }
}

fn refused(about: &'static str, found: Finding) -> Row {
    row(Status::Refuses, about, found.what, found.cure)
}

/// What can be said without a host. `branch` is the git branch here.
pub fn here(config: &Config, branch: Option<&str>) -> Vec<Row> {
    let hosts = count(config.hosts.len(), "host");
    let mut rows = vec![ok("config", format!("{} is in order: {hosts}", config.file.display()))];
    rows.extend(config.exposed.iter().map(|name| {
        let what = format!("{name} looks like a secret, and its value would be printed as it is");
        row(Status::Warning, "secrets", what, format!("add it at the top of deploy.toml: secrets = [\"{name}\"]"))
    }));
    rows.extend(findings::wrong_branch(config, branch).map(|found| refused("branch", found)));
    let gap = crate::service::gap(&config.service).filter(|_| config.proxy.is_none());
    rows.extend(gap.map(|gap| row(Status::Note, "activate", gap.what, gap.cure)));
    if config.ask {
        rows.push(row(Status::Note, "ask", "a deploy asks before it begins", "without a terminal, answer with -y"));
    }
    rows
}

/// Why a host gave no answer.
pub fn unheard(host: &Host, error: &Error) -> Vec<Row> {
    let mut rows = Vec::new();
    let about = match error {
        Error::Connect { failure, .. } => match failure {
            ConnectFailure::Unreachable => "reachable",
            ConnectFailure::UnknownHostKey | ConnectFailure::ChangedHostKey => {
                rows.push(ok("reachable", "it answers"));
                "host key"
            }
            ConnectFailure::KeyRefused => {
                rows.push(ok("reachable", "it answers, and its host key is the known one"));
                "key"
            }
            ConnectFailure::Other => "ssh",
        },
        _ => "connection",
    };
    let said = error.to_string();
    let what = said.strip_prefix(&format!("{}: ", host.name)).unwrap_or(&said);
    rows.push(row(Status::Refuses, about, what, error.hint()));
    rows
}

/// All that can be said of a host that answered.
pub fn survey(host: &Host, config: &Config, plan: &Plan, seen: &Seen) -> Vec<Row> {
    let facts = &seen.facts;
    let user = facts.value("user").unwrap_or("?");
    let mut rows = vec![match host.address {
        Address::Local => ok("reachable", format!("this machine, as {user}")),
        Address::Ssh { .. } => ok("reachable", format!("as {user}; its host key is known, our key is accepted")),
    }];
    rows.extend(findings::findings(host, config, facts).into_iter().map(|f| refused("preflight", f)));
    // They name their own cure.
    rows.extend(facts.warnings.iter().map(|said| row(Status::Warning, "preflight", said, "")));
    rows.extend(place::lock(host, config, facts));
    rows.extend(place::home(config, facts, user));
    rows.extend(place::disk(config, facts, seen.removable));
    rows.extend(findings::skew(facts, seen.at).map(|skew| match findings::is_far(skew) {
        true => row(Status::Warning, "clock", findings::far(skew), "on the host: timedatectl set-ntp true"),
        false => ok("clock", format!("ours to within {} s", skew.abs().max(1))),
    }));
    rows.extend(place::current(config, facts));
    rows.extend(place::shared(config, facts));
    rows.extend(service::tools(facts));
    if let Service::Pm2(pm2) = &config.service {
        rows.extend(service::pm2(facts));
        rows.extend(service::service(config, facts));
        // Of a colour's port is spoken only where somebody else has it.
        rows.extend(pm2.port.filter(|_| config.proxy.is_none()).and_then(|port| service::port(facts, port)));
        rows.extend(config.proxy.as_ref().and_then(|proxy| service::proxy(proxy, facts)));
        rows.extend(service::boot(facts));
    }
    rows.extend(service::logins(facts));
    rows.extend(choices::choices(config, plan, seen));
    rows
}

/// What a host can't run of the build that is here. With a build.command the next deploy ships another one.
pub fn misfits(config: &Config, asks: &Asks, facts: &Facts) -> Vec<Row> {
    let found = suits::findings(asks, facts).into_iter();
    let of_now = |found: Finding| match &config.build.command {
        None => refused("machine", found),
        Some(_) => {
            let what =
                format!("{}: what an earlier build left would be refused, and so the next one may be", found.what);
            row(Status::Warning, "machine", what, found.cure)
        }
    };
    let warning = suits::warning(asks, facts).map(|text| row(Status::Warning, "machine", text, ""));
    found.map(of_now).chain(warning).collect()
}

/// What a release needs, going by the live one or the newest.
fn size(facts: &Facts) -> Option<Needs> {
    let live = facts.current().and_then(|name| name.parse::<ReleaseId>().ok());
    let record = live.and_then(|id| facts.records.get(&id)).or_else(|| facts.records.values().next_back())?;
    Some(Needs { bytes: record.bytes, entries: record.files })
}
