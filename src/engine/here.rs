//! What is done on this machine before a host gets anything: the build command, and what git and the system say of us.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::process::{Child, Command};

use crate::config::Build;
use crate::error::{Error, Result};
use crate::event::{EventKind, Events};
use crate::text::clean;
use crate::transport::each_line;

/// How long the command's output may stay open once it has ended: what it left behind (a compiler's server, say) may
/// hold it for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the build command by `sh -c` in the app's root; its lines become events. Dropping this ends the command with
/// all that it started, as with every `line`.
pub(super) async fn build(build: &Build, events: &Events) -> Result<()> {
    let Some(text) = &build.command else { return Ok(()) };
    let tell = |line: String| events.send(EventKind::Output { step: "build", line });
    match line(text, &build.root, &build.env, &tell).await? {
        Some(0) => Ok(()),
        status => Err(Error::Build { command: text.clone(), status }),
    }
}

/// Runs a line of the user's own on this machine and hands on what it prints; its exit code, none where it was killed.
pub(super) async fn line(
    text: &str,
    folder: &Path,
    env: &BTreeMap<String, String>,
    tell: &dyn Fn(String),
) -> Result<Option<i32>> {
    let failed = |source| Error::File { path: folder.to_owned(), doing: "run a command in", source };
    let group = Group::lead(folder).map_err(failed)?;
    let mut child = Command::new("sh")
        .args(["-c", text])
        .current_dir(folder)
        .envs(env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(group.id)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut said = pin!(async { tokio::join!(lines(stdout, tell), lines(stderr, tell)) });
    let status = tokio::select! {
        _ = &mut said => child.wait().await,
        status = child.wait() => {
            let _ = tokio::time::timeout(LAST_WORDS, said).await;
            status
        }
    };
    status.map(|status| status.code()).map_err(failed)
}

async fn lines(from: Option<impl AsyncRead + Unpin>, tell: &dyn Fn(String)) {
    let Some(from) = from else { return };
    each_line(from, usize::MAX, |line| {
        tell(clean(&line, 2000));
        std::future::ready(true)
    })
    .await;
}

/// What ends a line when this process no longer can.
const LEADER: &str = include_str!("build.sh");

/// A line's process group: a cancelled `npm run build` must not go on in the background, however shipit ends.
struct Group {
    id: i32,
    // Its input is held by us alone, and closed by the system when we are killed.
    leader: Child,
}

impl Group {
    /// Starts the leader. It is there for as long as the group is in use, so that its number is given to nobody else.
    fn lead(root: &Path) -> std::io::Result<Group> {
        let mut command = Command::new("sh");
        command.args(["-c", LEADER]).current_dir(root).process_group(0);
        let leader = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Ok(Group { id: id.ok_or_else(|| std::io::Error::other("the command's leader has ended"))?, leader })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The same sign that our death gives. What doesn't heed the first signal is ended by the second.
        drop(self.leader.stdin.take());
    }
}

/// Where an artifact comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The git commit; `+` at its end: the tree has uncommitted changes.
    pub commit: Option<String>,
    /// The git branch.
    pub branch: Option<String>,
    /// `user@machine`, safe to stand in a lock's text.
    pub who: String,
}

impl Origin {
    /// Asks git and the system. What can't be found out is left open.
    pub async fn find(root: &Path) -> Origin {
        let git = async |arguments: &[&str]| -> Option<String> {
            let output =
                Command::new("git").arg("-C").arg(root).args(arguments).stdin(Stdio::null()).output().await.ok()?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.success()).then_some(text)
        };
        let mut commit = git(&["rev-parse", "HEAD"]).await.filter(|commit| !commit.is_empty());
        if let Some(commit) = &mut commit
            && git(&["status", "--porcelain", "--untracked-files=no", "--", "."])
                .await
                .is_some_and(|changes| !changes.is_empty())
        {
            commit.push('+');
        }
        let branch = match std::env::var("GITHUB_REF_NAME") {
            Ok(name) if !name.is_empty() => Some(name),
            _ => git(&["rev-parse", "--abbrev-ref", "HEAD"])
                .await
                .filter(|branch| branch != "HEAD" && !branch.is_empty()),
        };
        Origin { commit, branch, who: who() }
    }
}

/// Who works here: the person behind a CI job, or the login, and the machine.
fn who() -> String {
    let word = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let said = |tool: &str, flag: &str| {
        let output = std::process::Command::new(tool).arg(flag).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let user = ["GITHUB_ACTOR", "USER", "LOGNAME"].into_iter().find_map(word).or_else(|| said("id", "-un"));
    let (user, machine) = (user.unwrap_or_default(), said("uname", "-n").unwrap_or_default());
    let safe = |text: &str| -> String {
        text.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(60).collect()
    };
    let known = |text: String| if text.is_empty() { "unknown".to_owned() } else { text };
    let machine = if word("GITHUB_ACTIONS").is_some() { "github".into() } else { safe(&machine) };
    format!("{}@{}", known(safe(&user)), known(machine))
}
