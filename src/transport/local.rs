//! The same protocol to a shell on this machine: for sites on the machine that deploys, and for tests.

use std::process::Stdio;

use tokio::process::Command;

use super::{BOOTSTRAP, Running};
use crate::error::{Error, Result};

/// What a login would set: nothing else of our environment reaches a host's tools.
const KEPT: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "PM2_HOME"];

/// Starts the bootstrap, in a session of its own: a Ctrl-C for us is not for it.
pub(super) fn channel() -> Result<Running> {
    let mut child = Command::new("setsid")
        .args(["sh", "-c", BOOTSTRAP, "shipit"])
        .env_clear()
        .envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Error::File { path: "setsid".into(), doing: "start", source })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let piped = "asked for above";
    Ok(Running::new(Box::pin(stdin.expect(piped)), stdout.expect(piped), stderr.expect(piped), child))
}
