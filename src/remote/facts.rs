//! What a host told of itself: tools, space, releases, what is live, and what stands in the way. Gathered from replies,
//! by a session's start and by `look.sh` alike. Holds facts; judging them is the plan's and preflight's business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::Record;
use super::reply::{Drift, Hold, Reply};
use crate::error::Finding;
use crate::release::{ReleaseId, State};
use crate::text::clean;

/// Facts of one host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `@fact KEY VALUE`
    pub values: BTreeMap<String, String>,
    /// Records that could be read, by id.
    pub records: BTreeMap<ReleaseId, Record>,
    /// Directories in releases/ whose names are ids.
    pub dirs: Vec<ReleaseId>,
    /// Directories in releases/ that are not ours.
    pub strangers: Vec<String>,
    /// Shared files that are not there.
    pub missing: Vec<String>,
    /// What stops a run.
    pub refusals: Vec<Finding>,
    /// A journal nobody has finished: its name and its release.
    pub leftover: Option<(String, String)>,
    /// Who holds the lock, since when, and whether that is known to run.
    pub lock: Option<(String, String, bool)>,
    /// What keeps deploys off.
    pub hold: Option<Hold>,
    /// What an earlier run left was put right: committed or not, and its release.
    pub recovered: Option<(bool, String)>,
    /// Files of the live release that are not as released, where that was asked for.
    pub drift: Vec<Drift>,
    /// The service's processes.
    pub workers: Vec<Worker>,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}

/// One process of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The service's app name.
    pub name: String,
    /// PM2's number for it.
    pub pm_id: Option<i64>,
    /// Its process id.
    pub pid: Option<i64>,
    /// `online`, `errored` ...
    pub status: String,
    /// The release it runs, by its working directory.
    pub release: Option<String>,
    /// Restarts that were counted.
    pub restarts: Option<i64>,
    /// For how long it runs, in milliseconds.
    pub uptime_ms: Option<i64>,
    /// `proved`, `contradicted`, or `not provable: why`.
    pub proof: String,
    /// What it is tied to, below the home, where it was not started through `current`: no reload moves it.
    #[serde(default)]
    pub pinned: Option<String>,
    /// `cluster` or `fork`; empty where that means nothing.
    #[serde(default)]
    pub mode: String,
}

impl Worker {
    /// Parses one line of a host; its texts come from elsewhere.
    fn parse(text: &str) -> Option<Worker> {
        let mut worker: Worker = serde_json::from_str(text).ok()?;
        let texts = [&mut worker.name, &mut worker.status, &mut worker.proof, &mut worker.mode].into_iter();
        for text in texts.chain(worker.release.as_mut()).chain(worker.pinned.as_mut()) {
            *text = clean(text, 400);
        }
        Some(worker)
    }

    /// What being tied to a release means for the next deploy; none for a worker that goes by `current`.
    pub fn tie(&self) -> Option<String> {
        let to = self.pinned.as_deref()?;
        let next = match self.mode.as_str() {
            "cluster" => "a deploy moves it to current without a gap".to_owned(),
            _ => format!("a deploy is refused until: pm2 delete {} && pm2 save", self.name),
        };
        Some(format!("{} is tied to {to} and keeps that release: {next}", self.name))
    }
}

impl Facts {
    /// Takes one reply in; gives it back where it is not a fact.
    pub fn take(&mut self, reply: Reply) -> Option<Reply> {
        match reply {
            Reply::Fact(key, text) if key == "warn" => self.warnings.push(text),
            Reply::Fact(key, value) => {
                self.values.insert(key, value);
            }
            Reply::Record(text) => {
                if let Some(record) = Record::parse(&text) {
                    self.records.insert(record.id.clone(), record);
                } else {
                    self.warnings
                        .push("a release's record on the host can't be read; that release is left alone".into());
                }
            }
            Reply::Dir(name) => match name.parse() {
                Ok(id) => self.dirs.push(id),
                Err(_) => self.strangers.push(name),
            },
            Reply::Missing(path) => self.missing.push(path),
            Reply::Refuse { what, cure } => self.refusals.push(Finding { what, cure }),
            Reply::Leftover { journal, release } => self.leftover = Some((journal, release)),
            Reply::Lock { alive, who, since, .. } => self.lock = Some((who, since, alive)),
            Reply::Hold(hold) => self.hold = Some(hold),
            Reply::Drift(drift) => self.drift.push(drift),
            Reply::Recovered { committed, release } => self.recovered = Some((committed, release)),
            Reply::Worker(text) => match Worker::parse(&text) {
                Some(worker) => self.workers.push(worker),
                None => self.warnings.push("a worker's description from the host can't be read".into()),
            },
            Reply::Warn(text) => self.warnings.push(text),
            other => return Some(other),
        }
        None
    }

    /// One value.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// One value as a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.parse().ok()
    }

    /// Whether a tool is there.
    pub fn has(&self, tool: &str) -> bool {
        self.value(tool) == Some("yes")
    }

    /// A service's tool (`node`, `pm2`): which file is used, and its version.
    pub fn tool(&self, name: &str) -> Option<(&str, &str)> {
        Some((self.value(&format!("{name}_file"))?, self.value(name)?))
    }

    /// What `current` names, as text: it may be a directory that shipit didn't make.
    pub fn current(&self) -> Option<&str> {
        self.value("current").filter(|name| !name.is_empty())
    }

    /// The newest id that was ever used here.
    pub fn newest(&self) -> Option<&ReleaseId> {
        self.dirs.iter().chain(self.records.keys()).max()
    }

    /// Releases after the live one whose hooks ran, and what nobody has undone of that.
    pub fn not_undone(&self) -> Vec<(&ReleaseId, &str)> {
        let live: Option<ReleaseId> = self.current().and_then(|name| name.parse().ok());
        let after = self.records.iter().filter(|(id, _)| live.as_ref().is_none_or(|live| *id > live));
        after.filter_map(|(id, record)| Some((id, record.not_undone()?))).collect()
    }

    /// The state of a release; unproven where nothing is known.
    pub fn state(&self, id: &ReleaseId) -> State {
        self.records.get(id).map_or(State::Unproven, |record| record.state)
    }
}
