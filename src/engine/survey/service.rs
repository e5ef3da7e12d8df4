//! What runs on a host, what it runs with, and whether it outlives logins and reboots.

use super::{Row, Status, ok, row};
use crate::config::{Config, Proxy};
use crate::remote::Facts;
use crate::text::list;

pub(super) fn tools(facts: &Facts) -> Vec<Row> {
    let all = ["tar", "gzip", "zstd", "sha256sum", "base64", "setsid", "timeout", "find"];
    let there: Vec<&str> = all.into_iter().filter(|tool| facts.has(tool)).collect();
    let shell = facts.value("shell").unwrap_or("not known");
    let mut rows = vec![ok("tools", format!("sh is {shell}; {}", list(&there)))];
    if !facts.has("zstd") {
        let what = "the host has no zstd: releases are sent with gzip, which is larger and slower";
        rows.push(row(Status::Note, "tools", what, "install zstd there (Debian: apt install zstd)"));
    }
    rows
}

pub(super) fn pm2(facts: &Facts) -> Vec<Row> {
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

pub(super) fn service(config: &Config, facts: &Facts) -> Vec<Row> {
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

pub(super) fn port(facts: &Facts, port: u16) -> Option<Row> {
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

/// Whether the proxy is ready to be told, and leads to the app.
pub(super) fn proxy(proxy: &Proxy, facts: &Facts) -> Option<Row> {
    let word = proxy.kind.word();
    Some(match facts.value("proxy")? {
        "leads" => ok("proxy", format!("{word} takes its config, which leads to {}", proxy.upstream)),
        why => {
            row(Status::Note, "proxy", format!("{word} takes its config; {why}"), "the first deploy writes that file")
        }
    })
}

/// Whether the app comes back after a reboot.
pub(super) fn boot(facts: &Facts) -> Option<Row> {
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

pub(super) fn logins(facts: &Facts) -> Option<Row> {
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
