//! What can go wrong. One enum; the message (what happened, where), the hint (what to do next) and the exit
//! code stand beside each other, so that reading this file is reading the program's failure modes.
//! Holds plain data; knows nothing of the layers above it. Only `main.rs` and the reporters print an error.

use std::fmt;
use std::path::{Path, PathBuf};

pub use crate::problem::Problem;
use crate::text::{count, list};

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Something about a host, or about the artifact on that host, that stops a run before it changes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// The cure: a sentence or a command.
    pub cure: String,
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// No route, refused, timeout, unknown name.
    Unreachable,
    /// The host key is not in known_hosts.
    UnknownHostKey,
    /// The host key is another one than known_hosts says.
    ChangedHostKey,
    /// The host accepted none of our keys.
    KeyRefused,
    /// Anything else that ssh said.
    Other,
}

/// A host as the command lines of hints name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// For `ssh`, e.g. `-p 2222 deploy@web1`.
    pub ssh: String,
    /// Its bare name or address.
    pub host: String,
    /// The port, where one is configured.
    pub port: Option<u16>,
    /// The file of known keys, where it is not the user's own.
    pub known_hosts: Option<String>,
}

impl Target {
    /// Adds the host's key to those that are known.
    fn learn(&self) -> String {
        let port = self.port.map_or(String::new(), |port| format!("-p {port} "));
        let file = self.known_hosts.as_ref().map_or("~/.ssh/known_hosts".into(), |file| pasted(file));
        format!("ssh-keyscan {port}{} >> {file}", self.host)
    }

    /// Takes the host's keys out of those that are known. They are listed with their port unless it is ssh's own.
    fn forget(&self) -> String {
        let name = match self.port {
            None | Some(22) => self.host.clone(),
            Some(port) => format!("'[{}]:{port}'", self.host),
        };
        let file = self.known_hosts.as_ref().map_or(String::new(), |file| format!(" -f {}", pasted(file)));
        format!("ssh-keygen -R {name}{file}")
    }
}

/// A path as a word for a shell, which still replaces a leading `~`.
fn pasted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    let (home, rest) = path.strip_prefix("~/").map_or(("", path), |rest| ("~/", rest));
    if rest.chars().all(plain) {
        return path.to_owned();
    }
    format!("{home}'{}'", rest.replace('\'', r"'\''"))
}

/// Everything that ends a run.
#[derive(Debug)]
pub enum Error {
    /// The command line asks for something that does not exist or contradicts itself.
    Usage {
        /// What is wrong.
        what: String,
        /// How to put it right.
        hint: String,
    },
    /// The config file can't be used; all of its problems.
    Config {
        /// The file.
        file: PathBuf,
        /// At least one.
        problems: Vec<Problem>,
    },
    /// A question needs an answer and there is no terminal.
    Unanswered {
        /// The question.
        question: String,
    },
    /// The answer was no.
    Declined,
    /// The build command failed.
    Build {
        /// The command.
        command: String,
        /// Its exit code; none: killed.
        status: Option<i32>,
    },
    /// The build's result can't be made into an artifact; each reason with its cure.
    Artifact {
        /// At least one.
        findings: Vec<Finding>,
    },
    /// A local file can't be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What was tried: `read`, `write`, `list`.
        doing: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// A host could not be reached.
    Connect {
        /// The host.
        host: String,
        /// Why.
        failure: ConnectFailure,
        /// The last line ssh said.
        detail: String,
        /// How a command line names it.
        target: Box<Target>,
    },
    /// Somebody else works on this app.
    Locked {
        /// The host.
        host: String,
        /// Who, as `user@machine`.
        who: String,
        /// Since when, as the lock says.
        since: String,
        /// The stage, for the hint's command.
        stage: String,
    },
    /// Deploys are held: a freeze, or a rollback's pin.
    Held {
        /// The host.
        host: String,
        /// Who, as `user@machine`.
        who: String,
        /// Since when.
        since: String,
        /// In their words.
        why: String,
        /// The stage, for the hint's command.
        stage: String,
    },
    /// A lock that was to be removed belongs to a run that is seen to go on.
    Running {
        /// The host.
        host: String,
        /// Who, as `user@machine`.
        who: String,
        /// Since when, as the lock says.
        since: String,
    },
    /// The host can't take this release.
    Preflight {
        /// The host.
        host: String,
        /// At least one.
        findings: Vec<Finding>,
    },
    /// A step failed on a host.
    Step {
        /// The host.
        host: String,
        /// The step's word.
        step: &'static str,
        /// Why.
        why: String,
    },
    /// The release is live on every host, and a hook after that failed.
    AfterSwitch {
        /// The host, or `here`.
        host: String,
        /// Why.
        why: String,
    },
    /// The link to a host was lost.
    Lost {
        /// The host.
        host: String,
        /// The step's word.
        step: &'static str,
        /// What ssh or the system said.
        detail: String,
    },
    /// A host answered something that is not of the protocol.
    Protocol {
        /// The host.
        host: String,
        /// What.
        detail: String,
    },
    /// No such release, or not one that may be chosen.
    NoTarget {
        /// Why, with the releases there are.
        why: String,
        /// What to do.
        hint: String,
    },
    /// The user cancelled.
    Cancelled,
}

impl Error {
    /// The exit code where production was not touched. After a switch the engine's outcome decides instead.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage { .. } | Error::Config { .. } | Error::Unanswered { .. } => 2,
            Error::Locked { .. } | Error::Held { .. } | Error::Running { .. } => 3,
            Error::AfterSwitch { .. } => 6,
            Error::Cancelled => 130,
            Error::Declined
            | Error::Build { .. }
            | Error::Artifact { .. }
            | Error::File { .. }
            | Error::Connect { .. }
            | Error::Preflight { .. }
            | Error::Step { .. }
            | Error::Lost { .. }
            | Error::Protocol { .. }
            | Error::NoTarget { .. } => 1,
        }
    }

    /// What to do next; empty where the message says it all.
    pub fn hint(&self) -> String {
        match self {
            Error::Usage { hint, .. } | Error::NoTarget { hint, .. } => hint.clone(),
            Error::Config { .. } => "mend the file and try again; no host was contacted".into(),
            Error::Unanswered { .. } => "answer with --yes, or run it in a terminal".into(),
            Error::Declined => String::new(),
            Error::Build { .. } => "the command's own output above says why; nothing was sent to any host".into(),
            Error::Artifact { .. } | Error::Preflight { .. } => String::new(),
            Error::File { .. } => String::new(),
            Error::Connect { failure, target, .. } => match failure {
                ConnectFailure::Unreachable => format!("try it by hand: ssh {} true", target.ssh),
                ConnectFailure::UnknownHostKey => {
                    format!("compare the key's fingerprint with the host's, then: {}", target.learn())
                }
                ConnectFailure::ChangedHostKey => format!(
                    "if the host was really set up anew, remove the old key: {}; if not, somebody may be in between",
                    target.forget()
                ),
                ConnectFailure::KeyRefused => format!(
                    "check that the public key is in the user's ~/.ssh/authorized_keys on the host; see what is offered: ssh -v {} true",
                    target.ssh
                ),
                ConnectFailure::Other => format!("try it by hand: ssh -v {} true", target.ssh),
            },
            Error::Locked { stage, .. } => {
                format!("wait for it with --wait 10m; if its owner is gone for good: shipit unlock {stage}")
            }
            Error::Held { stage, .. } => {
                format!("when it is over: shipit hold {stage} --lift; rollback, cleanup and recover go on meanwhile")
            }
            Error::Running { .. } => {
                "let it end, or cancel it where it runs: the host then frees the lock itself".into()
            }
            Error::Step { .. } => String::new(),
            Error::AfterSwitch { .. } => {
                "the release stays live; mend what failed and run the hook's line by hand, or deploy again".into()
            }
            Error::Lost { .. } => "shipit status shows what is live; shipit recover finishes what was left".into(),
            Error::Protocol { .. } => "run again with -v to see what the host sent".into(),
            Error::Cancelled => String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage { what, .. } => f.write_str(what),
            Error::Config { file, problems } => f.write_str(&show_problems(file, problems, false)),
            Error::Unanswered { question } => write!(f, "{question} There is no terminal to answer in."),
            Error::Declined => f.write_str("not confirmed; nothing was done"),
            Error::Build { command, status: Some(code) } => {
                write!(f, "the build failed: `{command}` ended with exit code {code}")
            }
            Error::Build { command, status: None } => write!(f, "the build failed: `{command}` was killed"),
            Error::Artifact { findings } => write_findings(f, findings),
            Error::File { path, doing, source } => {
                write!(f, "can't {doing} {}: {source}", crate::text::clean(&path.to_string_lossy(), 300))
            }
            Error::Connect { host, failure, detail, .. } => match failure {
                ConnectFailure::Unreachable => write!(f, "{host}: not reachable: {detail}"),
                ConnectFailure::UnknownHostKey => write!(f, "{host}: its host key is not in known_hosts: {detail}"),
                ConnectFailure::ChangedHostKey => {
                    write!(f, "{host}: its host key is another one than known_hosts holds")
                }
                ConnectFailure::KeyRefused => write!(f, "{host}: no key was accepted: {detail}"),
                ConnectFailure::Other => write!(f, "{host}: ssh failed: {detail}"),
            },
            Error::Locked { host, who, since, .. } => write!(f, "{host}: locked by {who} since {since}"),
            Error::Held { host, who, since, why, .. } => {
                write!(f, "{host}: deploys are held by {who} since {since}: {why}")
            }
            Error::Running { host, who, since } => {
                write!(f, "{host}: the lock is held by a run that is going on: {who} since {since}")
            }
            Error::Preflight { host, findings } => {
                write!(f, "{host}: ")?;
                write_findings(f, findings)
            }
            Error::Step { host, step, why } => write!(f, "{host}: {step} failed: {why}"),
            Error::AfterSwitch { host, why } => write!(f, "{host}: after_switch failed: {why}"),
            Error::Lost { host, step, detail } => write!(f, "{host}: the connection was lost during {step}: {detail}"),
            Error::Protocol { host, detail } => write!(f, "{host}: unexpected answer: {detail}"),
            Error::NoTarget { why, .. } => f.write_str(why),
            Error::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Every problem of a config file; one alone needs no head.
pub fn show_problems(file: &Path, problems: &[Problem], color: bool) -> String {
    let shown: Vec<String> = problems.iter().map(|problem| problem.show(file, color)).collect();
    match shown.len() {
        1 => shown.concat(),
        n => format!("{} has {}\n\n{}", file.display(), count(n, "problem"), shown.join("\n\n")),
    }
}

fn write_findings(f: &mut fmt::Formatter<'_>, findings: &[Finding]) -> fmt::Result {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            if finding.cure.is_empty() {
                finding.what.clone()
            } else {
                format!("{}\n  cure: {}", finding.what, finding.cure)
            }
        })
        .collect();
    f.write_str(&lines.join("\n"))
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A usage error for a word that is not one of `known`.
pub fn unknown_word(kind: &str, word: &str, known: &[&str]) -> Error {
    let hint = match crate::text::nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there {} {}", if known.len() == 1 { "is" } else { "are" }, list(known)),
    };
    Error::Usage { what: format!("no {kind} is called `{}`", crate::text::clean(word, 80)), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(failure: ConnectFailure, port: Option<u16>, known_hosts: Option<&str>) -> String {
        let (host, known_hosts) = ("web1".into(), known_hosts.map(str::to_owned));
        let target = Target { ssh: "deploy@web1".into(), host, port, known_hosts };
        Error::Connect { host: "web".into(), failure, detail: String::new(), target: Box::new(target) }.hint()
    }

    #[track_caller]
    fn ends(hint: &str, command: &str) {
        let said =
            hint.split_once(": ").map(|(_, command)| command.trim_end_matches("; if not, somebody may be in between"));
        assert_eq!(said, Some(command));
    }

    #[test]
    fn a_hint_for_an_unknown_host_key_names_the_bare_host() {
        let hint = |port, file| hint(ConnectFailure::UnknownHostKey, port, file);
        ends(&hint(None, None), "ssh-keyscan web1 >> ~/.ssh/known_hosts");
        ends(&hint(Some(2222), Some("~/our hosts")), "ssh-keyscan -p 2222 web1 >> ~/'our hosts'");
    }

    #[test]
    fn a_hint_for_a_changed_host_key_names_it_as_known_hosts_does() {
        let hint = |port, file| hint(ConnectFailure::ChangedHostKey, port, file);
        ends(&hint(None, None), "ssh-keygen -R web1");
        ends(&hint(Some(22), Some("/ci/known_hosts")), "ssh-keygen -R web1 -f /ci/known_hosts");
        ends(&hint(Some(2222), None), "ssh-keygen -R '[web1]:2222'");
    }
}
