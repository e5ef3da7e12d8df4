//! What git knows of the way from a live release to what is here. Asks git and writes nothing; what a host says of a
//! commit is a name at most.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::text::clean;

/// The longest list that is asked for.
const MOST: &str = "1000";

/// The commits between a live release and what is checked out here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commits {
    /// As git tells them.
    Known {
        /// Those that the live release lacks: short name and subject, the newest first.
        new: Vec<(String, String)>,
        /// How many the live release has and HEAD lacks.
        undone: usize,
    },
    /// Why nothing can be said.
    Unknown(String),
}

impl Commits {
    /// Those since `live`, the commit in a release's record, in the repository around `root`.
    pub async fn since(root: &Path, live: Option<&str>) -> Commits {
        let Some(live) = live else { return Commits::Unknown("the live release names none".into()) };
        let live = live.trim_end_matches('+');
        // Nothing that git could take for an option or another expression.
        if !(7..=64).contains(&live.len()) || !live.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Commits::Unknown(format!("the live release names `{}`", clean(live, 60)));
        }
        let log = |range: String| async move {
            let mut command = Command::new("git");
            command.arg("-C").arg(root).args(["log", "--no-color", "--format=%h %s", "-n", MOST, &range, "--"]);
            let output = command.stdin(Stdio::null()).output().await.ok()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success().then_some(text)
        };
        let (Some(new), Some(undone)) = (log(format!("{live}..HEAD")).await, log(format!("HEAD..{live}")).await) else {
            return Commits::Unknown(format!("git here does not know {}", live.chars().take(8).collect::<String>()));
        };
        let line = |line: &str| {
            let (id, subject) = line.split_once(' ').unwrap_or((line, ""));
            (clean(id, 40), clean(subject, 120))
        };
        Commits::Known { new: new.lines().map(line).collect(), undone: undone.lines().count() }
    }
}
