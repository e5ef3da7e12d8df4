//! What shipit is to reach, and whether it did: each target is a ratio of two medians of the same run. Measures nothing.

use std::fmt::Write;

use super::table::Table;
use super::world::{BYTES_PER_SECOND, FAR, NEAR, Sample, Tool};
use super::{CHANGED, FIRST, LARGE_CHANGED, ONE_HOST, TWENTY_HOSTS};

/// What a redeploy may send beside the changed files.
const AROUND: f64 = 20_000.0;

/// A target: what is measured, as a part of what, and how large that part may be.
struct Target {
    what: String,
    part: f64,
    most: f64,
}

/// The targets of everything that was measured, a line of a list each. `changed` is how many bytes the changed files
/// are when compressed.
pub(crate) fn text(table: &Table, changed: Option<u64>) -> String {
    let mut all: Vec<Target> = [
        (FAR, CHANGED, Tool::Rsync, 0.9),
        (FAR, CHANGED, Tool::Capistrano, 0.35),
        (FAR, CHANGED, Tool::Bare, 1.6),
        (FAR, FIRST, Tool::Tar, 0.7),
        (NEAR, CHANGED, Tool::Rsync, 1.0),
        (FAR, LARGE_CHANGED, Tool::Rsync, 0.8),
        (NEAR, LARGE_CHANGED, Tool::Rsync, 0.8),
    ]
    .into_iter()
    .filter_map(|(link, task, tool, most)| {
        let of = |tool| table.of(link, task, tool).map(|sample| sample.seconds);
        let part = of(Tool::Shipit)? / of(tool)?;
        Some(Target { what: format!("{task}, {link}: seconds of {}", tool.name()), part, most })
    })
    .collect();
    all.extend(bytes(table, changed));
    all.extend(hosts(table));
    all.iter().fold(String::new(), |mut text, Target { what, part, most }| {
        let met = if part <= most { "met" } else { "**missed**" };
        let _ = writeln!(text, "- {what}: {part:.2}, at most {most:.2}: {met}");
        text
    })
}

fn bytes(table: &Table, changed: Option<u64>) -> Option<Target> {
    let up = table.of(FAR, CHANGED, Tool::Shipit)?.wire?.up as f64;
    let changed = changed? as f64;
    let what = format!("{CHANGED}: bytes up of the changed files' {changed} compressed ones and 20 KB");
    Some(Target { what, part: up / (1.2 * changed + AROUND), most: 1.0 })
}

/// Many hosts may take what one takes, half as much again, and the time in which one link carries what they are sent.
fn hosts(table: &Table) -> Option<Target> {
    let of = |task| table.of(FAR, task, Tool::Shipit);
    let (one, all): (Sample, Sample) = (of(ONE_HOST)?, of(TWENTY_HOSTS)?);
    let bytes = all.wire?.up as f64 / BYTES_PER_SECOND as f64;
    Some(Target {
        what: "20 hosts: seconds of one, without the bytes'".into(),
        part: (all.seconds - bytes) / one.seconds,
        most: 1.6,
    })
}
