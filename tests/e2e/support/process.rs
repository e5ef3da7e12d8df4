//! Looking at processes and ending them, by number and never by name; and waiting for what can't be awaited
//! as an event, by asking again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A signal's name, as `kill` knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Kill,
    Int,
    Term,
    Hup,
    Stop,
    Cont,
}

/// Sends a signal to one process; whether it was still there.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    let name = match signal {
        Signal::Kill => "KILL",
        Signal::Int => "INT",
        Signal::Term => "TERM",
        Signal::Hup => "HUP",
        Signal::Stop => "STOP",
        Signal::Cont => "CONT",
    };
    // The shell's own `kill`: the program is not on every machine.
    let output = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "kill", name, &pid.to_string()]).output();
    output.expect("sh is everywhere").status.success()
}

/// All processes that stem from `root`, itself not included.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        all().into_iter().filter_map(|pid| Some((pid, status_field(pid, "PPid:")?.parse().ok()?))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Every process there is.
pub(crate) fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Whether the process exists and is no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    status_field(pid, "State:").is_some_and(|state| !state.starts_with('Z'))
}

/// Where a process stands; none when it is gone.
pub(crate) fn cwd(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The command line of a process, its words joined by blanks.
pub(crate) fn command_line(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ")
}

/// The most memory that a process has had so far, in KB; none when it is gone.
pub(crate) fn most_memory(pid: u32) -> Option<u64> {
    status_field(pid, "VmHWM:")?.trim_end_matches(" kB").parse().ok()
}

fn status_field(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

/// Asks until the answer is `Ok`; panics with the last answer when `within` is over. Returns how long it took.
pub(crate) fn eventually(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> std::result::Result<(), String>,
) -> Duration {
    let start = Instant::now();
    loop {
        let asked = start.elapsed();
        match ask() {
            Ok(()) => return start.elapsed(),
            Err(why) if asked > within => panic!("{what}: not within {within:?}: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(25)),
        }
    }
}
