//! What `check` says of a host, as rows. Pure. What a deploy would refuse is judged by findings.rs, how its steps would
//! work by the plan: this file only puts their words in order, and adds what stops nothing but is worth knowing.

use serde::Serialize;

use super::findings::{self, DANGLING, Needs};
use crate::config::{Config, Host, Service};
use crate::error::{ConnectFailure, Error, Finding};
use crate::plan::{self, Plan, Step};
use crate::release::ReleaseId;
use crate::remote::{Facts, reply};
use crate::text::{bytes, count, list};

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
    /// Whether its sshd forwards ports; none: not asked for, or not found out.
    pub forwards: Option<bool>,
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

/// All that can be said of a host that answered; `now` is our clock.
pub fn survey(host: &Host, config: &Config, plan: &Plan, seen: &Seen, now: i64) -> Vec<Row> {
    let facts = &seen.facts;
    let user = facts.value("user").unwrap_or("?");
    let mut rows = vec![match host.address {
        crate::config::Address::Local => ok("reachable", format!("this machine, as {user}")),
        crate::config::Address::Ssh { .. } => {
            ok("reachable", format!("as {user}; its host key is known, our key is accepted"))
        }
    }];
    rows.extend(findings::findings(host, config, facts, size(facts)).into_iter().map(|f| refused("preflight", f)));
    // They name their own cure.
    rows.extend(facts.warnings.iter().map(|said| row(Status::Warning, "preflight", said, "")));
    rows.extend(lock(host, config, facts));
    rows.extend(home(config, facts, user));
    rows.extend(disk(host, config, facts));
    rows.extend(findings::skew(facts, now).map(|skew| match findings::is_far(skew) {
        true => row(Status::Warning, "clock", findings::far(skew), "on the host: timedatectl set-ntp true"),
        false => ok("clock", format!("ours to within {} s", skew.abs().max(1))),
    }));
    rows.extend(current(config, facts));
    rows.extend(shared(config, facts));
    rows.extend(tools(facts));
    if let Service::Pm2(pm2) = &config.service {
        rows.extend(pm2_rows(facts));
        rows.extend(service(config, facts));
        rows.extend(pm2.port.and_then(|port| port_row(facts, port)));
        rows.extend(boot(facts));
    }
    rows.extend(logins(facts));
    rows.extend(choices(config, plan, seen));
    rows
}

/// What a release needs, going by the live one or the newest.
fn size(facts: &Facts) -> Option<Needs> {
    let live = facts.current().and_then(|name| name.parse::<ReleaseId>().ok());
    let record = live.and_then(|id| facts.records.get(&id)).or_else(|| facts.records.values().next_back())?;
    Some(Needs { bytes: record.bytes, entries: record.files })
}

fn lock(host: &Host, config: &Config, facts: &Facts) -> Vec<Row> {
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
    if rows.is_empty() {
        rows.push(ok("lock", "free, and no run left anything unfinished"));
    }
    rows
}

fn home(config: &Config, facts: &Facts, user: &str) -> Option<Row> {
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

fn disk(host: &Host, config: &Config, facts: &Facts) -> Option<Row> {
    let free = facts.number("free_kb")? * 1024;
    let size = size(facts);
    // Too little has been refused already.
    let refused =
        findings::findings(host, config, facts, size).len() > findings::findings(host, config, facts, None).len();
    if refused {
        return None;
    }
    let inodes = facts.number("free_inodes").filter(|free| *free > 0);
    let inodes = inodes.map_or(String::new(), |free| format!(", {free} inodes"));
    let needed = size.map_or("there is no release yet to measure by".into(), |needs| {
        format!("the last release has {} in {}", bytes(needs.bytes), count(needs.entries as usize, "file"))
    });
    Some(ok("disk", format!("{} free{inodes}; {needed}", bytes(free))))
}

fn current(config: &Config, facts: &Facts) -> Option<Row> {
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

fn shared(config: &Config, facts: &Facts) -> Vec<Row> {
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

fn tools(facts: &Facts) -> Vec<Row> {
    let all = ["tar", "gzip", "zstd", "sha256sum", "base64", "setsid", "timeout", "find"];
    let there: Vec<&str> = all.into_iter().filter(|tool| facts.has(tool)).collect();
    let sh = facts.value("sh").unwrap_or("sh");
    let mut rows = vec![ok("tools", format!("sh is {sh}; {}", list(&there)))];
    if !facts.has("zstd") {
        let what = "the host has no zstd: releases are sent with gzip, which is larger and slower";
        rows.push(row(Status::Note, "tools", what, "install zstd there (Debian: apt install zstd)"));
    }
    rows
}

fn pm2_rows(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    let (node, pm2) = (facts.value("node"), facts.value("pm2"));
    let found: Vec<String> = [("node", node), ("pm2", pm2)]
        .into_iter()
        .filter_map(|(tool, found)| Some(format!("{tool} {}", found?)))
        .collect();
    if !found.is_empty() {
        rows.push(ok("tools", format!("{}; PATH is {}", list(&found), facts.value("path").unwrap_or("?"))));
    }
    // The version is the last word; before it may stand which file it is.
    let version = pm2.and_then(|pm2| pm2.rsplit(' ').next()).unwrap_or("unknown");
    let home = facts.value("pm2_home").unwrap_or("its home");
    rows.extend(facts.value("daemon").map(|daemon| match daemon {
        "none" => ok("pm2", format!("no daemon runs in {home}; the first start brings it up")),
        "unknown" => ok("pm2", format!("its daemon in {home} is alive")),
        same if same == version || version == "unknown" => {
            ok("pm2", format!("its daemon in {home} is alive, version {same}"))
        }
        other => row(
            Status::Warning,
            "pm2",
            format!("its daemon is of version {other}, the command of {version}"),
            "pm2 update (starts all its apps anew, with a gap)",
        ),
    }));
    rows
}

fn service(config: &Config, facts: &Facts) -> Vec<Row> {
    let Some(said) = facts.value("service") else { return Vec::new() };
    let better = format!("shipit status {} tells more; a deploy may replace it", config.stage);
    let mut rows = vec![match said.split_once(' ') {
        Some(("broken", why)) => row(Status::Warning, "service", why, &*better),
        _ if said == "absent" => ok("service", "not there yet"),
        _ => ok("service", said),
    }];
    if let Some(fault) = facts.value("health").filter(|heard| !matches!(*heard, "ok" | "none")) {
        rows.push(row(Status::Warning, "health", format!("what runs now is not well: {fault}"), better));
    }
    for worker in facts.workers.iter().filter(|worker| worker.proof == "contradicted") {
        let runs = worker.release.as_deref().unwrap_or("no release");
        let what =
            format!("worker {} of {} runs {runs}, which is not current", worker.pm_id.unwrap_or(-1), worker.name);
        rows.push(row(Status::Warning, "service", what, format!("pm2 reload {}, or deploy", worker.name)));
    }
    rows
}

fn port_row(facts: &Facts, port: u16) -> Option<Row> {
    Some(match facts.value("port")? {
        "free" => ok("port", format!("{port} is free")),
        "ours" => ok("port", format!("{port} is held by the app itself")),
        _ => row(
            Status::Warning,
            "port",
            format!("{port} is held by a process that can't be seen from this account"),
            format!("as root on the host: ss -ltnp 'sport = :{port}'"),
        ),
    })
}

/// Whether the app comes back after a reboot.
fn boot(facts: &Facts) -> Option<Row> {
    facts.value("daemon")?;
    let running = facts.value("service").is_some_and(|said| said != "absent");
    Some(match (facts.value("boot_unit"), facts.value("boot_dump")) {
        (None, _) => row(
            Status::Note,
            "reboot",
            "nothing was seen that starts PM2 when the host does",
            "on the host: pm2 startup, and run as root what it prints",
        ),
        (Some(_), None) if running => row(
            Status::Note,
            "reboot",
            "PM2's saved list lacks the app: it would not come back",
            "on the host: pm2 save (each deploy does it)",
        ),
        (Some(unit), None) => ok("reboot", format!("{unit} starts PM2; a deploy saves its list")),
        (Some(unit), Some(_)) => ok("reboot", format!("{unit} starts PM2, whose saved list has the app")),
    })
}

fn logins(facts: &Facts) -> Option<Row> {
    Some(match facts.value("kills")? {
        "yes" => {
            let linger = if facts.value("linger").is_some() { ", in spite of its linger" } else { "" };
            let what = format!(
                "logind ends this account's processes with the login{linger}: also the one that takes a deploy back, and PM2 where a login started it"
            );
            let cure = "as root on the host: KillUserProcesses=no in /etc/systemd/logind.conf, or the account in KillExcludeUsers";
            row(Status::Warning, "logins", what, cure)
        }
        _ => ok("logins", "processes outlive the login"),
    })
}

/// How each open choice of a deploy would fall.
fn choices(config: &Config, plan: &Plan, seen: &Seen) -> Vec<Row> {
    let mut rows = Vec::new();
    for planned in &plan.steps {
        let about = planned.step.word();
        let skipped = planned.skip.as_ref().map(|why| format!("skipped: {why}"));
        match planned.step {
            Step::Receive | Step::Activate => rows.extend(plan::how(planned.step, &seen.facts).map(|how| ok(about, how))),
            Step::BootTest => rows.push(ok(about, skipped.unwrap_or_else(|| planned.how.clone()))),
            Step::Verify => rows.push(match (skipped, seen.forwards) {
                (Some(skipped), _) => ok(about, skipped),
                (None, None) => ok(about, planned.how.clone()),
                (None, Some(true)) => ok(about, format!("{}; through the connection", planned.how)),
                (None, Some(false)) if config.service != Service::None => row(
                    Status::Note,
                    about,
                    format!("{}; by the host's own node, since its sshd forwards no ports", planned.how),
                    "to look from here as well: AllowTcpForwarding yes in the host's sshd_config",
                ),
                (None, Some(false)) => row(
                    Status::Warning,
                    about,
                    "sshd forwards no ports, and without a service there is no node to look from: a deploy would be taken back",
                    "AllowTcpForwarding yes in the host's sshd_config, or health.from = \"here\"",
                ),
            }),
            _ => {}
        }
    }
    rows
}
