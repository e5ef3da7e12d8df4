//! Facts of a host against what is to run there. Pure.

use crate::config::{Address, Config, Host};
use crate::error::Finding;
use crate::remote::Facts;
use crate::text::{bytes, count, list};

/// Clocks further apart than this are worth a word.
const SKEW_S: i64 = 60;

/// What is said of a link that leads to no release.
pub(super) const DANGLING: &str = "current leads nowhere: what was live is gone, and can't be put back if this fails";

/// What an artifact needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
}

/// All that stops a run on this host, but for the space that it needs.
pub(super) fn findings(host: &Host, config: &Config, facts: &Facts) -> Vec<Finding> {
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
    found
}

/// What a disk lacks for a new release. `removed`: releases that were removed already to make room.
pub(super) fn space(config: &Config, facts: &Facts, needs: Needs, removed: usize) -> Vec<Finding> {
    let after = match removed {
        0 => String::new(),
        n => format!(" after {} had been removed", count(n, "old release")),
    };
    let cure = format!("make room: shipit cleanup {} --keep 2; what fills it: df -h {}", config.stage, config.path);
    let finding = |what: String| Finding { what, cure: cure.clone() };
    let mut found = Vec::new();
    // The file system's own blocks, and a little: an empty disk is no goal.
    let wanted = needs.bytes + needs.bytes / 4 + needs.entries * 512 + (8 << 20);
    let free = facts.number("free_kb").map(|kb| kb * 1024);
    if let Some(free) = free.filter(|free| *free < wanted) {
        let (free, own, wanted) = (bytes(free), bytes(needs.bytes), bytes(wanted));
        found.push(finding(format!(
            "the disk has {free} free{after}; the release of {own} needs {wanted} to unpack and to spare"
        )));
    }
    // A file system without a fixed number of inodes says 0.
    let free = facts.number("free_inodes").filter(|free| *free > 0 && *free < needs.entries + 100);
    found.extend(free.map(|free| finding(format!("{free} inodes free{after}, the release needs {}", needs.entries))));
    found
}

/// A branch that the stage is not deployed from.
pub(super) fn wrong_branch(config: &Config, here: Option<&str>) -> Option<Finding> {
    let wanted = config.branch.as_deref().filter(|wanted| here != Some(*wanted))?;
    Some(Finding {
        what: format!("{} is deployed from branch {wanted}, this is {}", config.stage, here.unwrap_or("no branch")),
        cure: format!("git switch {wanted}"),
    })
}

/// How many seconds the host's clock is ahead of ours.
pub(super) fn skew(facts: &Facts, now: i64) -> Option<i64> {
    Some(facts.value("time")?.parse::<i64>().ok()? - now)
}

/// Whether clocks are so far apart that it is worth a word.
pub(super) fn is_far(skew: i64) -> bool {
    skew.abs() > SKEW_S
}

/// Sentences that stop nothing.
pub(super) fn warnings(facts: &Facts, now: i64) -> Vec<String> {
    let mut said = facts.warnings.clone();
    if let Some(skew) = skew(facts, now).filter(|skew| is_far(*skew)) {
        said.push(far(skew));
    }
    if facts.value("dangling").is_some() {
        said.push(DANGLING.into());
    }
    said
}

/// Clocks that are far apart, in a sentence.
pub(super) fn far(skew: i64) -> String {
    let way = if skew > 0 { "ahead" } else { "behind" };
    format!("its clock is {} s {way}; release ids stay in order all the same", skew.abs())
}

fn copy_command(host: &Host, config: &Config, path: &str) -> String {
    // Its folder may not be there before the first deploy.
    let (folder, name) = match path.rsplit_once('/') {
        Some((folder, name)) => (format!("{}/shared/{folder}", config.path), name),
        None => (format!("{}/shared", config.path), path),
    };
    match &host.address {
        Address::Local => format!("mkdir -p {folder} && cp {name} {folder}/"),
        Address::Ssh { user, host, port } => {
            let at = user.as_ref().map_or(host.clone(), |user| format!("{user}@{host}"));
            let port = |flag| port.or(config.ssh.port).map(|port| format!("{flag} {port} ")).unwrap_or_default();
            format!("ssh {}{at} mkdir -p {folder} && scp {}{name} {at}:{folder}/", port("-p"), port("-P"))
        }
    }
}
