//! What a deploy would send and remove, for people: an artifact compared with the manifest of a release on a host. Pure.
//! A host's manifest is text from outside: it names paths for a listing, and nothing is opened by it.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::ffi::OsStrExt;

use super::manifest::escape;
use super::{Artifact, EntryKind};
use crate::text::clean;

/// A release as its host's manifest tells it.
#[derive(Debug, Default)]
pub struct Base {
    paths: BTreeMap<String, Known>,
    hashes: HashSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Known {
    File { size: u64, sha256: String },
    Link { target: String },
}

/// What a deploy would do with the files of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Content that the host doesn't hold: paths with their sizes, and whether the path is new.
    pub sent: Vec<(String, u64, bool)>,
    /// Links that are new or lead elsewhere.
    pub links: Vec<String>,
    /// Files whose content the host holds under another name: how many.
    pub copied: usize,
    /// Files that stay as they are, and their bytes.
    pub kept: (usize, u64),
    /// What the new release lacks, with its size.
    pub removed: Vec<(String, u64)>,
}

impl Base {
    /// Takes in one line of the manifest; one that is none says nothing.
    pub fn take(&mut self, line: &str) {
        let mut fields = line.splitn(5, ' ');
        let mut next = || fields.next();
        let (Some(what), Some(_), Some(size), Some(sha256), Some(rest)) = (next(), next(), next(), next(), next())
        else {
            return;
        };
        let known = match (what, rest.split_once('\t')) {
            ("f", None) if rest != ".release.json" => {
                let Ok(size) = size.parse() else { return };
                self.hashes.insert(sha256.to_owned());
                (rest, Known::File { size, sha256: sha256.to_owned() })
            }
            ("l", Some((path, target))) => (path, Known::Link { target: target.to_owned() }),
            _ => return,
        };
        self.paths.insert(known.0.to_owned(), known.1);
    }
}

impl Difference {
    /// Bytes of the files that would be sent, without compression.
    pub fn bytes(&self) -> u64 {
        self.sent.iter().map(|(_, size, _)| size).sum()
    }

    /// Whether the release would be the same.
    pub fn is_none(&self) -> bool {
        self.sent.is_empty() && self.links.is_empty() && self.removed.is_empty() && self.copied == 0
    }
}

/// Compares `artifact` with what a host has.
pub fn differ(base: &Base, artifact: &Artifact) -> Difference {
    let mut difference = Difference::default();
    let mut stays = HashSet::new();
    for entry in &artifact.entries {
        let path = text(entry.dest.as_os_str().as_bytes());
        let known = base.paths.get(&path);
        match &entry.kind {
            EntryKind::Dir => continue,
            EntryKind::File { size, sha256, .. } => match known {
                Some(Known::File { sha256: old, .. }) if old == sha256 => {
                    difference.kept.0 += 1;
                    difference.kept.1 += size;
                }
                _ if base.hashes.contains(sha256) => difference.copied += 1,
                _ => difference.sent.push((clean(&path, 300), *size, known.is_none())),
            },
            EntryKind::Link { target } => {
                let target = text(target.as_os_str().as_bytes());
                if known != Some(&Known::Link { target }) {
                    difference.links.push(clean(&path, 300));
                }
            }
        }
        stays.insert(path);
    }
    let gone = base.paths.iter().filter(|(path, _)| !stays.contains(*path));
    difference.removed = gone
        .map(|(path, known)| {
            let size = if let Known::File { size, .. } = known { *size } else { 0 };
            (clean(path, 300), size)
        })
        .collect();
    difference
}

/// A path as it comes from a host: a name that is not UTF-8 has lost some of its bytes on the way.
fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(&escape(path)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Entry, manifest};
    use super::*;

    fn artifact(files: &[(&str, &str)]) -> Artifact {
        let entries = files.iter().map(|(path, content)| {
            let kind = match content.strip_prefix("-> ") {
                Some(target) => EntryKind::Link { target: target.into() },
                None => EntryKind::File {
                    source: PathBuf::new().into(),
                    size: content.len() as u64,
                    sha256: super::super::hash::hex(content.as_bytes()),
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
            warnings: Vec::new(),
        }
    }

    fn base(files: &[(&str, &str)]) -> Base {
        let extra = [(".release.json".to_owned(), b"{}".to_vec())];
        let text = String::from_utf8(manifest(&artifact(files), (0o750, 0o640, 0o750), &extra)).unwrap();
        let mut base = Base::default();
        text.lines().for_each(|line| base.take(line));
        base
    }

    #[test]
    fn what_the_host_holds_under_any_name_is_not_sent() {
        let before = base(&[("a", "one"), ("b", "two"), ("c", "three"), ("l", "-> a"), ("m", "-> a"), ("x\ny", "odd")]);
        let now = artifact(&[("a", "one"), ("b", "2"), ("d", "three"), ("e", "four!"), ("l", "-> b"), ("x\ny", "odd")]);
        let difference = differ(&before, &now);
        assert_eq!(difference.sent, [("b".into(), 1, false), ("e".into(), 5, true)]);
        assert_eq!((difference.bytes(), difference.copied, difference.kept), (6, 1, (2, 6)));
        assert_eq!(difference.links, ["l"]);
        assert_eq!(difference.removed, [("c".into(), 5), ("m".into(), 0)]);
        assert!(!difference.is_none());
    }

    #[test]
    fn an_equal_release_and_no_release() {
        let files = [("a", "one"), ("l", "-> a")];
        assert!(differ(&base(&files), &artifact(&files)).is_none());
        let first = differ(&Base::default(), &artifact(&files));
        assert_eq!((first.sent.len(), first.links.len(), first.removed.len()), (1, 1, 0));
    }

    #[test]
    fn what_is_no_manifest_says_nothing() {
        let mut base = Base::default();
        for line in ["", "f", "f 0640 x 00 a", "l - - - a", "q 1 2 3 4", "f 0640 1 00 a\tb"] {
            base.take(line);
        }
        assert!(base.paths.is_empty());
    }
}
