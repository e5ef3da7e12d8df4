//! Lays the sources of a release over each other: later ones win, so `include` wins over the preset.
//! Decides what is left out (`exclude`, `.env*`, `.git`, shared files); reads directories, never file contents.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::WalkDir;

use super::preset::Mapping;
use super::{shown, unread};
use crate::config::{Build, Shared};
use crate::error::{Error, Finding, Result};
use crate::text::{count, list};

/// Something local that has a place in the release.
#[derive(Clone)]
pub(super) struct Source {
    /// A file or a directory, absolute. Where it is a link, what it names is meant.
    pub(super) from: PathBuf,
    /// Relative to the release root; empty: the root itself.
    pub(super) to: PathBuf,
}

/// A path of the release whose content has not been read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File { source: PathBuf, executable: bool },
    Dir,
    Link { target: PathBuf },
}

/// By the bytes of the path: `Path`'s own order goes by components, and would put `a/b` before `a-b`.
pub(super) type Tree = BTreeMap<Vec<u8>, Node>;

/// Where a path of the config lies in the release: relative to the app directory, or with a leading `/` to the
/// release root. None where it would leave the release.
pub fn place(app_dir: &str, path: &str) -> Option<PathBuf> {
    let (base, path) = match path.strip_prefix('/') {
        Some(path) => ("", path),
        None => (app_dir, path),
    };
    let mut placed = PathBuf::new();
    for component in Path::new(base).components().chain(Path::new(path).components()) {
        match component {
            Component::Normal(name) if !name.as_bytes().contains(&0) => placed.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(placed)
}

/// The release's paths, what was left out that somebody may miss, and what can't be shipped.
pub(super) struct Laid {
    pub(super) tree: Tree,
    pub(super) warnings: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

/// Lays the preset's sources and `include` into one tree.
pub(super) fn lay(mapping: &Mapping, build: &Build, shared: &Shared) -> Result<Laid> {
    let mut layer = Layer {
        root: &build.root,
        exclude: globs(&build.exclude)?,
        tree: Tree::new(),
        secrets: Vec::new(),
        warnings: Vec::new(),
        findings: Vec::new(),
    };
    for source in &mapping.sources {
        layer.lay(source)?;
    }
    for include in &build.include {
        let from = build.root.join(&include.from);
        match placed_include(&mapping.app_dir, &from, &include.to) {
            Some(to) => layer.lay(&Source { from, to })?,
            None => layer.refuse(
                format!("build.include: `{}` would leave the release", include.to),
                "give `to` a path inside it: relative to the app directory, or with a leading `/` to the release root",
            ),
        }
    }
    layer.add_parents();
    layer.findings.extend(leave_to_shared(&mut layer.tree, &mapping.app_dir, shared));
    layer.forget_shared(&mapping.app_dir, shared);
    Ok(layer.done())
}

/// The place of an include; a file goes *into* a `to` that ends with a slash or names no file.
fn placed_include(app_dir: &str, from: &Path, to: &str) -> Option<PathBuf> {
    let placed = place(app_dir, to)?;
    let into = to.is_empty() || to == "." || to.ends_with('/');
    if into && from.is_file() { Some(placed.join(from.file_name()?)) } else { Some(placed) }
}

fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    let mut findings = Vec::new();
    for pattern in patterns {
        match GlobBuilder::new(pattern.trim_end_matches('/')).literal_separator(true).build() {
            Ok(glob) => {
                set.add(glob);
            }
            Err(e) => findings.push(Finding {
                what: format!("build.exclude: `{pattern}` is not a pattern: {}", e.kind()),
                cure: "`*` matches within a name, `**` across folders".into(),
            }),
        }
    }
    match set.build() {
        Ok(set) if findings.is_empty() => Ok(set),
        Ok(_) => Err(Error::Artifact { findings }),
        Err(e) => Err(Error::Artifact {
            findings: vec![Finding { what: format!("build.exclude can't be used: {e}"), cure: String::new() }],
        }),
    }
}

struct Layer<'a> {
    root: &'a Path,
    exclude: GlobSet,
    tree: Tree,
    /// Places of `.env` files that were left out.
    secrets: Vec<PathBuf>,
    warnings: Vec<String>,
    findings: Vec<Finding>,
}

impl Layer<'_> {
    fn lay(&mut self, source: &Source) -> Result<()> {
        let meta = match fs::metadata(&source.from) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.refuse(
                    format!("`{}` is to be shipped, and does not exist", shown(&source.from)),
                    "does the build make it? see build.include and build.output",
                );
                return Ok(());
            }
            Err(e) => return Err(Error::File { path: source.from.clone(), doing: "read", source: e }),
        };
        if !meta.is_dir() {
            self.put(&source.from, &source.to, &meta);
            return Ok(());
        }
        if !source.to.as_os_str().is_empty() {
            self.insert(&source.to, Node::Dir);
        }
        let mut walk = WalkDir::new(&source.from).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|e| {
                let path = e.path().unwrap_or(&source.from).to_owned();
                unread(&path, "list", e.into())
            })?;
            let below = entry.path().strip_prefix(&source.from).unwrap_or(entry.path());
            let dest = source.to.join(below);
            if self.leaves_out(entry.path(), &dest, entry.file_type().is_dir()) {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            let meta = entry.metadata().map_err(|e| unread(entry.path(), "read", e.into()))?;
            self.put(entry.path(), &dest, &meta);
        }
        Ok(())
    }

    /// Rules for what is met on the way. What a source names itself is never tested: naming it is the exception.
    fn leaves_out(&mut self, path: &Path, dest: &Path, dir: bool) -> bool {
        let name = path.file_name().unwrap_or_default().as_bytes();
        if name == b".git" {
            return true;
        }
        if self.exclude.is_match(path.strip_prefix(self.root).unwrap_or(path)) || self.exclude.is_match(dest) {
            return true;
        }
        if name == b".env" || name.starts_with(b".env.") {
            self.secrets.push(dest.to_owned());
            return true;
        }
        // A stage on this machine may lie inside what it deploys: each release would hold all that came before.
        if dir && path.join(".shipit").is_dir() {
            self.warnings.push(format!("left out `{}`: shipit keeps releases there", shown(dest)));
            return true;
        }
        false
    }

    fn put(&mut self, path: &Path, dest: &Path, meta: &Metadata) {
        let kind = meta.file_type();
        if kind.is_dir() {
            self.insert(dest, Node::Dir);
        } else if kind.is_file() {
            let executable = meta.permissions().mode() & 0o111 != 0;
            self.insert(dest, Node::File { source: path.to_owned(), executable });
        } else if kind.is_symlink() {
            match fs::read_link(path) {
                Ok(target) => self.insert(dest, Node::Link { target }),
                Err(e) => self.refuse(format!("can't read the link `{}`: {e}", shown(path)), ""),
            }
        } else {
            self.refuse(
                format!("`{}` is a socket, a pipe or a device", shown(path)),
                "only files, folders and links can be shipped; remove it or name it in build.exclude",
            );
        }
    }

    fn insert(&mut self, dest: &Path, node: Node) {
        let key = dest.as_os_str().as_bytes().to_vec();
        let dir = node == Node::Dir;
        match self.tree.get(&key) {
            Some(old) if (*old == Node::Dir) != dir => self.refuse_clash(dest),
            _ => {
                self.tree.insert(key, node);
            }
        }
    }

    fn add_parents(&mut self) {
        let keys: Vec<Vec<u8>> = self.tree.keys().cloned().collect();
        for key in keys {
            for parent in parents(&key) {
                match self.tree.get(parent) {
                    Some(Node::Dir) => break,
                    Some(_) => {
                        let parent = PathBuf::from(OsStr::from_bytes(parent));
                        self.refuse_clash(&parent);
                        break;
                    }
                    None => {
                        self.tree.insert(parent.to_vec(), Node::Dir);
                    }
                }
            }
        }
    }

    /// What is shared needs no word about being left out.
    fn forget_shared(&mut self, app_dir: &str, shared: &Shared) {
        self.secrets.retain(|dest| !shared.files.iter().any(|path| place(app_dir, path).as_ref() == Some(dest)));
    }

    fn refuse_clash(&mut self, dest: &Path) {
        self.refuse(
            format!("`{}` is a folder in one part of the build and a file or link in another", shown(dest)),
            "look at build.include, and leave one of them out with build.exclude",
        );
    }

    fn refuse(&mut self, what: String, cure: &str) {
        let finding = Finding { what, cure: cure.to_owned() };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn done(mut self) -> Laid {
        self.secrets.sort();
        self.secrets.dedup();
        self.secrets.retain(|dest| !self.tree.contains_key(dest.as_os_str().as_bytes()));
        if !self.secrets.is_empty() {
            const NAMED: usize = 5;
            let mut names: Vec<String> =
                self.secrets.iter().take(NAMED).map(|path| format!("`{}`", shown(path))).collect();
            if self.secrets.len() > NAMED {
                names.push(count(self.secrets.len() - NAMED, "other"));
            }
            let them = if self.secrets.len() == 1 { "it" } else { "them" };
            self.warnings.push(format!(
                "left out {}: such files hold secrets; name {them} in shared.files, or in build.include to ship {them}",
                list(&names)
            ));
        }
        Laid { tree: self.tree, warnings: self.warnings, findings: self.findings }
    }
}

/// A shared file replaces a shipped one. A shared directory's content stays: a host is seeded from it.
pub(super) fn leave_to_shared(tree: &mut Tree, app_dir: &str, shared: &Shared) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in shared.files.iter().filter_map(|path| place(app_dir, path)) {
        let file = file.as_os_str().as_bytes();
        tree.retain(|key, _| !at_or_below(key, file));
    }
    for dir in shared.dirs.iter().filter_map(|path| place(app_dir, path)) {
        let key = dir.as_os_str().as_bytes();
        match tree.get(key) {
            Some(Node::Link { .. }) => {
                tree.remove(key);
            }
            Some(Node::File { .. }) => findings.push(Finding {
                what: format!("`{}` is a shared directory, and a file in the build", shown(&dir)),
                cure: "take it out of shared.dirs, or out of the build with build.exclude".into(),
            }),
            Some(Node::Dir) | None => {}
        }
    }
    findings
}

/// The directories that hold a path, the nearest first, without the root.
pub(super) fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..path.len()).rev().filter(|&i| path[i] == b'/').map(|i| &path[..i])
}

/// Whether `path` is `top` or lies in it.
pub(super) fn at_or_below(path: &[u8], top: &[u8]) -> bool {
    top.is_empty() || path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// A key of the tree as a path.
pub(super) fn path(key: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(key))
}
