//! A release's record: who made it, from what, how it ran, and what became of it. The client writes all but the last
//! three fields; those are the host's lines (`previous`, `state`, `why`), so that sh can change them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::{Assets, Health, Service, Shared};
use crate::event::Transfer;
use crate::release::{ReleaseId, State};
use crate::text::clean;

/// The longest time that a record may name; no key of `deploy.toml` takes as much.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest name, and the longest sentence.
const WORD: usize = 200;
const LONGEST: usize = 2000;

/// `.shipit/records/ID.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The release.
    pub id: ReleaseId,
    /// When it was made, by the client's clock.
    pub at: DateTime<Utc>,
    /// Who made it: `user@machine`.
    pub who: String,
    /// The git commit, where there is one; `+` at its end: with uncommitted changes.
    #[serde(default)]
    pub commit: Option<String>,
    /// The git branch.
    #[serde(default)]
    pub branch: Option<String>,
    /// SHA-256 over the artifact's content.
    pub artifact: String,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The app directory: `""`, or `apps/web` in a workspace.
    pub app_dir: String,
    /// What was shared into it.
    pub shared: Shared,
    /// What it writes in its own tree: globs from the release's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutable: Vec<String>,
    /// The folders whose files outlive it, and for how many releases.
    #[serde(default, skip_serializing_if = "Assets::is_none")]
    pub assets: Assets,
    /// What the build calls itself to its pages (`NEXT_DEPLOYMENT_ID`). No proof: each rebuild may be told the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// How it was run; no secret values.
    pub service: Service,
    /// What its health was.
    pub health: Health,
    /// SHA-256 over what else of the config shapes a deploy; none: an older shipit wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The host's node when it was received (`v20.20.2`), written there; none: unknown, or no node is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// A file of it that runs only on the major version of node it was built with; none: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// How this host came by its files, written there when it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// What was live before it.
    #[serde(default)]
    pub previous: String,
    /// What became of it.
    #[serde(default = "unproven")]
    pub state: State,
    /// Why it is not good.
    #[serde(default)]
    pub why: String,
}

fn unproven() -> State {
    State::Unproven
}

impl Record {
    /// The record's text as the host keeps it: one line of the client's fields, then the host's three.
    pub fn render(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a record is plain data");
        let fields = value.as_object_mut().expect("a struct is an object");
        for host in ["previous", "state", "why"] {
            fields.remove(host);
        }
        let line = value.to_string();
        let open = line.strip_suffix('}').expect("an object ends so");
        format!("{open},\n\"previous\":\"\",\n\"state\":\"unproven\",\n\"why\":\"\"}}\n")
    }

    /// Parses a record from one line; none where the host's file is damaged, or holds what no config allows. What of it
    /// is for people is made fit for them: anybody who writes to the host may have written it.
    pub fn parse(text: &str) -> Option<Record> {
        let mut record: Record = serde_json::from_str(text).ok()?;
        for word in [&mut record.who, &mut record.previous, &mut record.artifact] {
            *word = clean(word, WORD);
        }
        for word in [&mut record.commit, &mut record.branch, &mut record.node].into_iter().flatten() {
            *word = clean(word, WORD);
        }
        record.bound = record.bound.map(|path| clean(&path, LONGEST));
        record.why = clean(&record.why, LONGEST);
        let longest = record.health.longest().max(record.service.longest());
        let is_path = |path: &String| clean(path, LONGEST) == *path && path.split('/').all(|part| part != "..");
        let Shared { dirs, files } = &record.shared;
        let is_inside = dirs.iter().chain(files).chain([&record.app_dir]).all(is_path);
        (longest <= MOST && is_inside).then_some(record)
    }

    /// Whether two hosts' records of one release say the same of what it is and how it is run.
    pub fn runs_as(&self, other: &Record) -> bool {
        (&self.artifact, &self.app_dir, &self.shared, &self.mutable)
            == (&other.artifact, &other.app_dir, &other.shared, &other.mutable)
            && (&self.service, &self.health) == (&other.service, &other.health)
    }

    /// What its hooks did and nobody took back, as the host noted it.
    pub fn not_undone(&self) -> Option<&str> {
        let left = self.why.strip_prefix("not undone: ")?;
        Some(left.split_once("`. ").map_or(left, |(left, _)| &self.why["not undone: ".len()..][..left.len() + 1]))
    }

    /// The commit in short, as listings show it.
    pub fn short_commit(&self) -> String {
        match &self.commit {
            Some(commit) => {
                let plus = if commit.ends_with('+') { "+" } else { "" };
                format!("{}{plus}", commit.chars().take(8).collect::<String>())
            }
            None => "-".into(),
        }
    }
}
