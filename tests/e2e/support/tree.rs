//! Judges a release on disk against its manifest, written from the manifest's description alone: shipit's own
//! code must not be its own judge.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// Why release `id` below `base` is not complete and exact; `base` is where it can be read, `path` what the
/// host calls it. What the app itself wrote below one of `written` is no concern.
pub(crate) fn verify(base: &Path, id: &str, written: &[&str]) -> Result<(), String> {
    let root = base.join("releases").join(id);
    let text = fs::read(base.join(".shipit/manifests").join(id)).map_err(|e| format!("no manifest of {id}: {e}"))?;
    let mut listed = BTreeMap::new();
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let entry = Entry::parse(line).ok_or_else(|| format!("manifest line: {}", String::from_utf8_lossy(line)))?;
        listed.insert(entry.path.clone(), entry);
    }
    // In a home that accounts share by their group, directories are the group's too, so that either can clean up.
    let home = fs::metadata(base).map_err(|e| e.to_string())?;
    let shared_home = home.mode() & 0o020 != 0;
    let mut seen = BTreeSet::new();
    let mut shared = Vec::new();
    for found in WalkDir::new(&root).min_depth(1) {
        let found = found.map_err(|e| e.to_string())?;
        let path = found.path().strip_prefix(&root).expect("below it").to_owned();
        if found.path_is_symlink() && links_to_shared(&root, &path) {
            shared.push(path);
            continue;
        }
        if written.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        let entry = listed.get(&path).ok_or_else(|| format!("{id}: {path:?} is in no manifest"))?;
        entry.check(&root, shared_home).map_err(|why| format!("{id}: {path:?}: {why}"))?;
        seen.insert(path);
    }
    let missing = listed.keys().find(|path| {
        let replaced = shared.iter().any(|link| path.starts_with(link));
        !seen.contains(*path) && !replaced && !written.iter().any(|prefix| path.starts_with(prefix))
    });
    match missing {
        Some(path) => Err(format!("{id}: {path:?} is missing")),
        None if seen.is_empty() => Err(format!("{id} is empty")),
        None => Ok(()),
    }
}

struct Entry {
    kind: u8,
    mode: u32,
    size: u64,
    hash: String,
    path: PathBuf,
    target: Vec<u8>,
}

impl Entry {
    fn parse(line: &[u8]) -> Option<Entry> {
        let mut fields = line.splitn(5, |b| *b == b' ');
        let kind = *fields.next()?.first()?;
        let text = |field: Option<&[u8]>| Some(String::from_utf8_lossy(field?).into_owned());
        let (mode, size, hash) = (text(fields.next())?, text(fields.next())?, text(fields.next())?);
        let mut names = fields.next()?.splitn(2, |b| *b == b'\t');
        let path = PathBuf::from(OsString::from_vec(unescape(names.next()?)));
        let target = names.next().map(unescape).unwrap_or_default();
        let mode = if kind == b'l' { 0 } else { u32::from_str_radix(&mode, 8).ok()? };
        let size = if kind == b'f' { size.parse().ok()? } else { 0 };
        Some(Entry { kind, mode, size, hash, path, target })
    }

    fn check(&self, root: &Path, shared_home: bool) -> Result<(), String> {
        let file = root.join(&self.path);
        let meta = fs::symlink_metadata(&file).map_err(|e| e.to_string())?;
        // The set-group-id bit comes from the directory above.
        let mode = meta.mode() & if shared_home && self.kind == b'd' { 0o5757 } else { 0o5777 };
        match self.kind {
            b'l' => {
                let target = fs::read_link(&file).map_err(|e| format!("should be a link: {e}"))?;
                same("link", self.target.as_slice(), target.as_os_str().as_bytes())
            }
            b'd' if meta.is_dir() => same("mode", self.mode, mode),
            b'f' if meta.is_file() => {
                same("mode", self.mode, mode)?;
                same("size", self.size, meta.len())?;
                let content = fs::read(&file).map_err(|e| e.to_string())?;
                let hash: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
                same("sha256", self.hash.as_str(), hash.as_str())
            }
            kind => Err(format!("should be of kind {}", char::from(kind))),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, listed: T, found: T) -> Result<(), String> {
    if listed == found { Ok(()) } else { Err(format!("{what} should be {listed:?}, is {found:?}")) }
}

/// `\\` is a backslash, `\0` and three octal digits a byte; everything else stands for itself.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                rest = after;
            }
            (b'\\', [b'0', a, b, c, after @ ..]) => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => out.push(first),
        }
    }
    out
}

/// Whether the link at `path` of the release leads out of it, into the `shared` beside `releases`.
fn links_to_shared(root: &Path, path: &Path) -> bool {
    let Ok(target) = fs::read_link(root.join(path)) else { return false };
    let up = path.components().count() + 1;
    let climb: PathBuf = std::iter::repeat_n("..", up).collect();
    target.starts_with(climb.join("shared"))
        || (target.is_absolute() && target.components().any(|part| part.as_os_str() == "shared"))
}
