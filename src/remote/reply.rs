//! What a host says: one `@word rest` line at a time. The only parser of host answers; a line it doesn't know is noise
//! (a chatty `.bashrc`), never an error. Text in replies is cleaned here and nowhere else.

use serde::Serialize;

use crate::event::Amount;
use crate::text::clean;

/// The longest line that is read; longer ones are cut.
pub const LONGEST: usize = 256 * 1024;

/// No path on a host is longer.
const PATH: usize = 4096;

/// One answer of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `@fact KEY VALUE`
    Fact(String, String),
    /// `@record JSON`: a release's record, still unparsed.
    Record(String),
    /// `@dir NAME`: a directory in releases/.
    Dir(String),
    /// `@missing PATH`: a shared file that is not there.
    Missing(String),
    /// `@leftover JOURNAL RELEASE`: a switch nobody has finished.
    Leftover {
        /// `pending` or `committed`.
        journal: String,
        /// The release it leads to.
        release: String,
    },
    /// `@lock alive|dead WHO SINCE [TOKEN]`: who holds the lock.
    Lock {
        /// Whether the owner is known to run.
        alive: bool,
        /// `user@machine`.
        who: String,
        /// `20260321T140000Z`.
        since: String,
        /// The owner's token, where asked for.
        token: String,
    },
    /// `@hold WHO SINCE WHY`: deploys are held.
    Hold(Hold),
    /// `@locked WHO SINCE`: the session can't begin.
    Locked {
        /// `user@machine`.
        who: String,
        /// `20260321T140000Z`.
        since: String,
    },
    /// `@refuse WHAT<TAB>CURE`: something that stops a run.
    Refuse {
        /// What is wrong.
        what: String,
        /// The cure.
        cure: String,
    },
    /// `@recovered reverted|committed RELEASE`: an earlier run was put right.
    Recovered {
        /// Whether it was finished forward.
        committed: bool,
        /// The release that run wanted live.
        release: String,
    },
    /// `@facts`: all facts are told; the session is idle.
    Facts,
    /// `@pong STATE`
    Pong(String),
    /// `@ready`: switched, every worker proved; held.
    Ready,
    /// `@shifted N`: so many percent of the requests go to the new colour.
    Shifted(u8),
    /// `@reverted WHY`: what was live before is live again.
    Reverted(String),
    /// `@stuck WHY`: it could not be put back.
    Stuck(String),
    /// `@held TEXT`: a piece of what a release can be made of, packed.
    Held(String),
    /// `@told`: that is all of it.
    Told,
    /// `@committed`
    Committed,
    /// `@recorded`
    Recorded,
    /// `@removed RELEASE`
    Removed(String),
    /// `@pruned N`
    Pruned(usize),
    /// `@bye WHY`: the session is over, the lock is free.
    Bye(String),
    /// `@done CODE`: a side channel's job ended.
    Done(i32),
    /// `@why TEXT`
    Why(String),
    /// `@note TEXT`: progress for people.
    Note(String),
    /// `@log LINE`: a line of a log that explains a failure.
    Log(String),
    /// `@out LINE`: what a line of the user's own prints.
    Out(String),
    /// `@warn TEXT`
    Warn(String),
    /// `@bad PATH`: differs from the manifest.
    Bad(String),
    /// `@drift changed|missing|added PATH`: a file of the live release is not as released.
    Drift(Drift),
    /// `@assets FILES BYTES`: assets of earlier releases that the new one keeps.
    Assets(Amount),
    /// `@dangling PATH`: a link that leads nowhere.
    Dangling(String),
    /// `@worker JSON`
    Worker(String),
}

impl Reply {
    /// Parses one line; none where it is not one of ours.
    pub fn parse(line: &str) -> Option<Reply> {
        let line = line.strip_prefix('@')?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let text = || clean(rest, 400);
        let two = || {
            let (a, b) = rest.split_once(' ').unwrap_or((rest, ""));
            (clean(a, 120), clean(b, 400))
        };
        Some(match word {
            "fact" => {
                let (key, value) = two();
                Reply::Fact(key, value)
            }
            "record" => Reply::Record(rest.to_owned()),
            "dir" => Reply::Dir(text()),
            "missing" => Reply::Missing(text()),
            "leftover" => {
                let (journal, release) = two();
                Reply::Leftover { journal, release }
            }
            "lock" => {
                let mut words = rest.split(' ').map(|w| clean(w, 120));
                Reply::Lock {
                    alive: words.next()? == "alive",
                    who: words.next()?,
                    since: words.next()?,
                    token: words.next().unwrap_or_default(),
                }
            }
            "hold" => {
                let mut words = rest.splitn(3, ' ');
                Reply::Hold(Hold {
                    who: clean(words.next()?, 120),
                    since: since(&clean(words.next()?, 120)),
                    why: clean(words.next()?, 400),
                })
            }
            "locked" => {
                let (who, since) = two();
                Reply::Locked { who, since }
            }
            "refuse" => {
                let (what, cure) = rest.split_once('\t').unwrap_or((rest, ""));
                Reply::Refuse { what: clean(what, 400), cure: clean(cure, 400) }
            }
            "recovered" => {
                let (how, release) = two();
                Reply::Recovered { committed: how == "committed", release }
            }
            "facts" => Reply::Facts,
            "pong" => Reply::Pong(text()),
            "ready" => Reply::Ready,
            "shifted" => Reply::Shifted(rest.trim().parse().ok()?),
            "reverted" => Reply::Reverted(text()),
            "stuck" => Reply::Stuck(text()),
            "held" => Reply::Held(rest.to_owned()),
            "told" => Reply::Told,
            "committed" => Reply::Committed,
            "recorded" => Reply::Recorded,
            "removed" => Reply::Removed(text()),
            "pruned" => Reply::Pruned(rest.trim().parse().ok()?),
            "bye" => Reply::Bye(text()),
            "done" => Reply::Done(rest.trim().parse().ok()?),
            "why" => Reply::Why(text()),
            "note" => Reply::Note(text()),
            "log" => Reply::Log(text()),
            "out" => Reply::Out(clean(rest, 2000)),
            "warn" => Reply::Warn(text()),
            "bad" => Reply::Bad(clean(rest, PATH)),
            "drift" => {
                let (how, path) = rest.split_once(' ')?;
                Reply::Drift(Drift { how: How::parse(how)?, path: clean(path, PATH) })
            }
            "assets" => {
                let (files, bytes) = rest.trim().split_once(' ')?;
                Reply::Assets(Amount { files: files.parse().ok()?, bytes: bytes.parse().ok()? })
            }
            "dangling" => Reply::Dangling(text()),
            "worker" => Reply::Worker(rest.to_owned()),
            _ => return None,
        })
    }
}

impl Reply {
    /// The assets that are kept, where it tells that.
    pub fn assets(&self) -> Option<Amount> {
        match self {
            Reply::Assets(amount) => Some(*amount),
            _ => None,
        }
    }
}

/// A file of the live release that is not as it was released.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Drift {
    /// From the release's root, as its manifest writes it.
    pub path: String,
    /// In what way.
    pub how: How,
}

/// In what way a file is not as released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Another content.
    Changed,
    /// It is gone, or no file any more.
    Missing,
    /// It was not released.
    Added,
}

impl How {
    fn parse(word: &str) -> Option<How> {
        [How::Changed, How::Missing, How::Added].into_iter().find(|how| how.word() == word)
    }

    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            How::Changed => "changed",
            How::Missing => "missing",
            How::Added => "added",
        }
    }
}

/// What keeps deploys off a home: a freeze, or a rollback's pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// `user@machine`.
    pub who: String,
    /// As people read it.
    pub since: String,
    /// In the words of who put it.
    pub why: String,
}

/// A lock's time, `20260321T140000Z`, as people read it; the text itself where it is none.
pub fn since(text: &str) -> String {
    match chrono::NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ") {
        Ok(at) => format!("{} UTC", at.format("%Y-%m-%d %H:%M:%S")),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed_and_noise_is_not() {
        assert_eq!(Reply::parse("@pong held"), Some(Reply::Pong("held".into())));
        assert_eq!(Reply::parse("@ready"), Some(Reply::Ready));
        assert_eq!(Reply::parse("@pruned 3"), Some(Reply::Pruned(3)));
        assert_eq!(Reply::parse("@pruned x"), None);
        assert_eq!(Reply::parse("welcome to web1"), None);
        assert_eq!(Reply::parse("@unheard of"), None);
        assert_eq!(
            Reply::parse("@refuse current is a directory\tmv it"),
            Some(Reply::Refuse { what: "current is a directory".into(), cure: "mv it".into() })
        );
        let hold =
            Hold { who: "ann@ci".into(), since: "2026-03-21 14:00:00 UTC".into(), why: "sale until 5 pm".into() };
        assert_eq!(Reply::parse("@hold ann@ci 20260321T140000Z sale until 5 pm"), Some(Reply::Hold(hold)));
        assert_eq!(Reply::parse("@why \u{1b}[31mred"), Some(Reply::Why("[31mred".into())));
    }
}
