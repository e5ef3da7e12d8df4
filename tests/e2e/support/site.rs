//! A deploy path as it is on disk, read by root and judged without shipit's code: which release is live, what
//! is left behind, and whether anything was written at all.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use walkdir::WalkDir;

use super::process::eventually;
use super::tree;

/// What must be live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// This release, as before.
    Old(String),
    /// This release, which the run brought.
    New(String),
    /// Nothing, as before.
    Nothing,
}

impl Live {
    /// The release's id, if one must be live.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Live::Old(id) | Live::New(id) => Some(id),
            Live::Nothing => None,
        }
    }
}

/// A deploy path.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// What the host calls it.
    pub(crate) path: PathBuf,
    /// Where the test reads it; another place only for hosts with mounts of their own.
    pub(crate) dir: PathBuf,
    /// Folders of a release that its app writes to.
    pub(crate) written: Vec<&'static str>,
}

impl Site {
    pub(crate) fn new(path: &Path, dir: &Path) -> Site {
        Site { path: path.to_owned(), dir: dir.to_owned(), written: Vec::new() }
    }

    /// The release that `current` names; none where there is no `current`.
    pub(crate) fn current(&self) -> Option<String> {
        let target = fs::read_link(self.dir.join("current")).ok()?;
        target.strip_prefix("releases").ok()?.to_str().map(str::to_owned)
    }

    /// What `releases/` holds, oldest id first.
    pub(crate) fn releases(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("releases")).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A file of the live release, as text.
    pub(crate) fn read(&self, path: &str) -> String {
        let file = self.dir.join("current").join(path);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// The record of a release.
    pub(crate) fn record(&self, id: &str) -> serde_json::Value {
        let file = self.dir.join(".shipit/records").join(format!("{id}.json"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", file.display()))
    }

    /// Everything below the path: type, mode, owner, size, time and link text of each entry, the top included.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, String> {
        let entries = WalkDir::new(&self.dir).into_iter().map(|entry| entry.expect("root can read it"));
        entries
            .map(|entry| {
                let meta = fs::symlink_metadata(entry.path()).expect("it was there just now");
                let link = fs::read_link(entry.path()).unwrap_or_default();
                let text = format!(
                    "{:o} {}:{} {} {}.{:09} {}",
                    meta.mode(),
                    meta.uid(),
                    meta.gid(),
                    if meta.is_file() { meta.len() } else { 0 },
                    meta.mtime(),
                    meta.mtime_nsec(),
                    link.display()
                );
                (entry.path().strip_prefix(&self.dir).expect("below it").to_owned(), text)
            })
            .collect()
    }

    /// The listing without shipit's own state: what the app and its users can notice.
    pub(crate) fn production(&self) -> BTreeMap<PathBuf, String> {
        let mut listing = self.listing();
        listing.retain(|path, _| !path.starts_with(".shipit"));
        listing
    }

    /// The files' half of the invariant: `expect` is live and whole, nothing half-made is there, the lock is
    /// free, no journal and no session's directory is left. The session may need a moment to clear up.
    #[track_caller]
    pub(crate) fn assert_invariant(&self, expect: &Live) {
        self.settles_to(expect, Duration::from_secs(2));
    }

    /// The same, when it may take as long as `within`. How long it took.
    #[track_caller]
    pub(crate) fn settles_to(&self, expect: &Live, within: Duration) -> Duration {
        eventually(&format!("{expect:?} in {}", self.dir.display()), within, || self.check(expect))
    }

    /// What is wrong, if anything is.
    pub(crate) fn check(&self, expect: &Live) -> Result<(), String> {
        match (expect.id(), fs::symlink_metadata(self.dir.join("current"))) {
            (None, Ok(_)) => return Err(format!("current is there: {:?}", self.current())),
            (Some(id), _) if self.current().as_deref() != Some(id) => {
                return Err(format!("current is {:?}, not {id}", self.current()));
            }
            _ => {}
        }
        for id in self.releases() {
            let written: Vec<&str> = self.written.clone();
            tree::verify(&self.dir, &id, &written)?;
        }
        if let Some(id) = expect.id() {
            let meta = fs::metadata(self.dir.join("releases").join(id)).map_err(|e| format!("{id}: {e}"))?;
            if !meta.is_dir() {
                return Err(format!("{id} is no directory"));
            }
        }
        self.check_left_behind()
    }

    fn check_left_behind(&self) -> Result<(), String> {
        let mut highest = (0, String::new());
        let Ok(entries) = fs::read_dir(self.dir.join(".shipit")) else { return Ok(()) };
        for entry in entries {
            let name = entry.map_err(|e| e.to_string())?.file_name().to_string_lossy().into_owned();
            if let Some(n) = name.strip_prefix("lock.").and_then(|n| n.parse::<u64>().ok()) {
                let text = fs::read_link(self.dir.join(".shipit").join(&name)).unwrap_or_default();
                highest = highest.max((n, text.to_string_lossy().into_owned()));
            }
            if name == "pending" || name == "committed" || name.starts_with("t.") {
                return Err(format!(".shipit/{name} is left"));
            }
        }
        match highest {
            (0, _) => Ok(()),
            (_, text) if text == "free" => Ok(()),
            (n, text) => Err(format!("lock.{n} is held by {text}")),
        }
    }

    /// Lets accounts of one group deploy to it in turn.
    pub(crate) fn share_with_group(&self, gid: u32) {
        std::os::unix::fs::chown(&self.dir, None, Some(gid)).expect("tests run as root");
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o2775)).expect("tests run as root");
    }
}
