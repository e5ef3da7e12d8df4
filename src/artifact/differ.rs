//! What a deploy would send and remove, for people: an artifact compared with what a host says it has. Pure, and no
//! judge of its own: what travels is decided in delta.rs, as for a deploy.

use std::collections::HashMap;

use super::delta::{Line, lines};
use super::{Artifact, Fate, Held, Modes, delta, manifest};
use crate::config::Assets;
use crate::text::clean;

/// What a deploy would do with the files of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Files that travel.
    pub sent: Vec<Sent>,
    /// Links that are new or lead elsewhere.
    pub links: Vec<String>,
    /// Files whose content the host has under another name: how many, and their bytes.
    pub copied: (usize, u64),
    /// Files that stay as they are, and their bytes.
    pub kept: (usize, u64),
    /// Files of another mode, whatever else becomes of them.
    pub modes: usize,
    /// Assets of earlier releases that may stay, and their bytes: what goes of them for its age the host alone knows.
    pub assets: (usize, u64),
    /// What the new release lacks, with its size.
    pub removed: Vec<(String, u64)>,
}

/// A file that travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where it lies in the release.
    pub path: String,
    /// Without compression.
    pub bytes: u64,
    /// Why.
    pub why: Why,
}

/// Why a file travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The live release has no such path.
    New,
    /// It has other content there.
    Changed,
    /// It is the same, but the host's file can't be reused: it was changed there, has a name that its tools can't take,
    /// or `release.reuse` is off.
    Same,
}

impl Why {
    /// For programs.
    pub fn word(self) -> &'static str {
        match self {
            Why::New => "new",
            Why::Changed => "changed",
            Why::Same => "same",
        }
    }
}

impl Difference {
    /// Bytes of the files that would be sent, without compression.
    pub fn bytes(&self) -> u64 {
        self.sent.iter().map(|sent| sent.bytes).sum()
    }

    /// Whether the release would be the same.
    pub fn is_none(&self) -> bool {
        self.sent.iter().all(|sent| sent.why == Why::Same)
            && self.links.is_empty()
            && self.removed.is_empty()
            && (self.copied.0, self.modes) == (0, 0)
    }
}

/// Compares `artifact`, as it is with these modes, with what a host has; `reuse`: whether that may be used, `assets`: what
/// outlives a release.
pub fn differ(artifact: &Artifact, modes: Modes, held: &Held, reuse: bool, assets: &Assets) -> Difference {
    // Without the release's own marker: it is new in every release, and no matter for people.
    let manifest = manifest(artifact, modes, &[]);
    // A link on the host instead of a copy changes nothing of what travels.
    let fates = if reuse { delta(&manifest, held, None) } else { None }.map(|delta| delta.fates);
    let release = held.release();
    let mut old: HashMap<&[u8], &Line<'_>> = release.iter().map(|line| (line.path, line)).collect();
    old.remove(&b".release.json"[..]);
    let mut difference = Difference::default();
    for (number, line) in lines(&manifest).unwrap_or_default().iter().enumerate() {
        // A file that became a folder is gone, and the other way round.
        let before = old.get(line.path).copied().filter(|before| before.kind == line.kind);
        if before.is_some() {
            old.remove(line.path);
        }
        if line.kind == b'l' {
            if before.is_none_or(|before| before.text != line.text) {
                difference.links.push(shown(line));
            }
            continue;
        }
        if line.kind != b'f' {
            continue;
        }
        let same = before.is_some_and(|before| before.sha256 == line.sha256);
        difference.modes += usize::from(same && before.is_some_and(|before| before.text != line.text));
        let count = |(files, bytes): (usize, u64)| (files + 1, bytes + line.size);
        match fates.as_ref().map_or(Fate::Sent, |fates| fates[number]) {
            Fate::Kept | Fate::Linked => difference.kept = count(difference.kept),
            Fate::Copied => difference.copied = count(difference.copied),
            Fate::Sent => {
                let why = match before {
                    None => Why::New,
                    Some(_) if same => Why::Same,
                    Some(_) => Why::Changed,
                };
                difference.sent.push(Sent { path: shown(line), bytes: line.size, why });
            }
        }
    }
    let stays = |line: &&Line<'_>| {
        let below =
            |folder: &String| line.path.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
        line.kind == b'f' && assets.paths.iter().any(below)
    };
    let (staying, gone): (Vec<&Line<'_>>, Vec<&Line<'_>>) = old.into_values().partition(stays);
    difference.assets = (staying.len(), staying.iter().map(|line| line.size).sum());
    let mut removed: Vec<&Line<'_>> = gone.into_iter().filter(|line| line.kind != b'd').collect();
    removed.sort_unstable_by_key(|line| &line.key);
    difference.removed = removed.iter().map(|line| (shown(line), line.size)).collect();
    difference
}

fn shown(line: &Line<'_>) -> String {
    clean(&String::from_utf8_lossy(line.path), 300)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::super::{Entry, EntryKind};
    use super::*;

    const MODES: Modes = (0o750, 0o640, 0o750);

    fn artifact(files: &[(&str, &str)]) -> Artifact {
        let entries = files.iter().map(|(path, content)| {
            let kind = match content.strip_prefix("-> ") {
                Some(target) => EntryKind::Link { target: target.into() },
                None => EntryKind::File {
                    source: PathBuf::new().into(),
                    size: content.len() as u64,
                    sha256: super::super::hash::sha256(content.as_bytes()),
                    executable: false,
                },
            };
            Entry { dest: path.into(), kind }
        });
        Artifact {
            entries: entries.collect(),
            app_dir: String::new(),
            hash: String::new(),
            script: None,
            env: BTreeMap::new(),
            mutable: Vec::new(),
            assets: Vec::new(),
            deployment: None,
            warnings: Vec::new(),
        }
    }

    /// What a host with these files tells, and what follows.
    fn held(files: &[(&str, &str)], more: &str) -> Held {
        let extra = [(".release.json".to_owned(), b"{}".to_vec())];
        let mut told = manifest(&artifact(files), MODES, &extra);
        told.extend_from_slice(more.as_bytes());
        told.extend_from_slice(b"e\n");
        Held::parse(&told).unwrap()
    }

    fn sent(path: &str, bytes: u64, why: Why) -> Sent {
        Sent { path: path.into(), bytes, why }
    }

    #[test]
    fn what_the_host_holds_under_any_name_is_not_sent() {
        let before = held(&[("a", "one"), ("b", "two"), ("c", "three"), ("l", "-> a"), ("m", "-> a")], "");
        let now = artifact(&[("a", "one"), ("b", "2"), ("d", "three"), ("e", "four!"), ("l", "-> b")]);
        let difference = differ(&now, MODES, &before, true, &Assets::default());
        assert_eq!(difference.sent, [sent("b", 1, Why::Changed), sent("e", 5, Why::New)]);
        assert_eq!((difference.bytes(), difference.copied, difference.kept), (6, (1, 5), (1, 3)));
        assert_eq!(difference.links, ["l"]);
        assert_eq!(difference.removed, [("c".into(), 5), ("m".into(), 0)]);
        assert!(!difference.is_none());
    }

    #[test]
    fn what_is_equal_may_have_to_travel_all_the_same() {
        let files = [("a", "one"), ("b", "two"), ("l", "-> a")];
        let equal = differ(&artifact(&files), MODES, &held(&files, ""), true, &Assets::default());
        assert!(equal.is_none() && equal.sent.is_empty());
        let touched = differ(&artifact(&files), MODES, &held(&files, "b a\n"), true, &Assets::default());
        assert_eq!(touched.sent, [sent("a", 3, Why::Same)]);
        assert!(touched.is_none());
        let off = differ(&artifact(&files), MODES, &held(&files, ""), false, &Assets::default());
        assert!(off.is_none() && off.sent.len() == 2 && off.kept.0 == 0);
        let first = differ(&artifact(&files), MODES, &Held::default(), true, &Assets::default());
        assert_eq!((first.sent.len(), first.links.len(), first.removed.len()), (2, 1, 0));
        let wider = differ(&artifact(&files), (0o755, 0o644, 0o755), &held(&files, ""), true, &Assets::default());
        assert!(wider.modes == 2 && wider.kept.0 == 2 && !wider.is_none());
    }

    #[test]
    fn an_asset_that_the_new_release_lacks_may_stay() {
        let before = held(&[("a/old.js", "one"), ("a/same.js", "two"), ("ab.js", "four"), ("b", "three")], "");
        let now = artifact(&[("a/new.js", "1"), ("a/same.js", "two")]);
        let assets = Assets { keep: 1, paths: vec!["a".into()] };
        let difference = differ(&now, MODES, &before, true, &assets);
        assert_eq!(difference.assets, (1, 3));
        assert_eq!(difference.removed, [("ab.js".into(), 4), ("b".into(), 5)]);
        let equal = differ(&artifact(&[("ab.js", "four"), ("b", "three")]), MODES, &before, true, &assets);
        assert!(equal.is_none() && equal.assets == (2, 6), "{equal:?}");
    }

    #[test]
    fn what_is_compared_is_what_travels() {
        let before = held(&[("a", "one"), ("b\n", "two"), ("c", "three")], "b c\n");
        let now = artifact(&[("a", "one"), ("b\n", "two"), ("c", "three"), ("d", "three")]);
        let delta = delta(&manifest(&now, MODES, &[]), &before, None).unwrap();
        let difference = differ(&now, MODES, &before, true, &Assets::default());
        assert_eq!((difference.sent.len(), difference.bytes()), (delta.sent.files, delta.sent.bytes));
        assert_eq!(difference.kept.0 + difference.copied.0, delta.reused.files);
    }
}
