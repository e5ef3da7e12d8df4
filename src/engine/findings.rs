//! Facts of a host against what is to run there. Pure.

use crate::config::{Address, Config, Host};
use crate::error::Finding;
use crate::remote::Facts;
use crate::text::{bytes, list};

/// Clocks further apart than this are worth a word.
const SKEW_S: i64 = 60;

/// What an artifact needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
}

/// All that stops a run on this host.
pub(super) fn findings(host: &Host, config: &Config, facts: &Facts, needs: Option<Needs>) -> Vec<Finding> {
    let mut found = facts.refusals.clone();
    let needed = ["tar", "gzip", "base64", "sha256sum", "setsid", "find", "timeout"];
    let lacking: Vec<&str> = needed.into_iter().filter(|tool| !facts.has(tool)).collect();
    if !lacking.is_empty() {
        found.push(Finding {
            what: format!("the host has no {}", list(&lacking)),
            cure: format!(
                "install {} there (Debian: apt install tar gzip coreutils findutils util-linux)",
                list(&lacking)
            ),
        });
    }
    for path in &facts.missing {
        found.push(Finding {
            what: format!("the shared file {path} is not on the host"),
            cure: copy_command(host, config, path),
        });
    }
    if let Some(needs) = needs {
        // The archive's tail and the file system's own blocks; an empty disk is no goal.
        let wanted = needs.bytes + needs.bytes / 4 + needs.entries * 512 + (8 << 20);
        if let Some(free) = facts.number("free_kb").map(|kb| kb * 1024).filter(|free| *free < wanted) {
            let (free, own, wanted) = (bytes(free), bytes(needs.bytes), bytes(wanted));
            found.push(Finding {
                what: format!("the disk has {free} free; the release of {own} needs {wanted} to unpack and to spare"),
                cure: format!(
                    "make room: shipit cleanup {} --keep 2; what fills it: df -h {}",
                    config.stage, config.path
                ),
            });
        }
        if let Some(free) = facts.number("free_inodes").filter(|free| *free > 0 && *free < needs.entries + 100) {
            found.push(Finding {
                what: format!("{free} inodes free, the release needs {}", needs.entries),
                cure: format!("make room: shipit cleanup {} --keep 2", config.stage),
            });
        }
    }
    found
}

/// Sentences that stop nothing.
pub(super) fn warnings(facts: &Facts, now: i64) -> Vec<String> {
    let mut said = facts.warnings.clone();
    if let Some(time) = facts.value("time").and_then(|time| time.parse::<i64>().ok()) {
        let skew = time - now;
        if skew.abs() > SKEW_S {
            said.push(format!(
                "its clock is {} s {}; release ids stay in order all the same",
                skew.abs(),
                if skew > 0 { "ahead" } else { "behind" }
            ));
        }
    }
    if facts.value("dangling").is_some() {
        said.push("current leads nowhere: what was live is gone, and can't be put back if this fails".into());
    }
    said
}

fn copy_command(host: &Host, config: &Config, path: &str) -> String {
    let to = format!("{}/shared/{path}", config.path);
    let name = path.rsplit('/').next().unwrap_or(path);
    match &host.address {
        Address::Local => format!("cp {name} {to}"),
        Address::Ssh { user, host, port } => {
            let at = user.as_ref().map_or(host.clone(), |user| format!("{user}@{host}"));
            let port = port.or(config.ssh.port).map(|port| format!("-P {port} ")).unwrap_or_default();
            format!("scp {port}{name} {at}:{to}")
        }
    }
}
