//! Where an import leads, among the files of a release: as node looks for it, through links, but never outside.
//! A package is only looked for, not looked into.

use std::fs;

use serde_json::Value;

use super::super::check;
use super::super::tree::{Node, Tree};
use crate::error::{Error, Result};

/// What node brings along, without `node:`.
const BUILTINS: &str = "assert async_hooks buffer child_process cluster console constants crypto dgram \
    diagnostics_channel dns domain events fs http http2 https inspector module net os path perf_hooks process punycode \
    querystring readline repl stream string_decoder sys timers tls trace_events tty url util v8 vm wasi \
    worker_threads zlib";
/// What `require` adds to a name by itself.
const ENDINGS: [&str; 6] = ["", ".js", ".mjs", ".cjs", ".json", ".node"];
/// The conditions of package.json that hold for node, in the order in which they are tried here.
const CONDITIONS: [&str; 5] = ["node", "import", "require", "module-sync", "default"];

/// Where an import leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To this file of the release.
    File(Vec<u8>),
    /// To a file that the release lacks.
    NoFile,
    /// To a package that ships.
    Package(String),
    /// To a package that doesn't.
    NoPackage(String),
    /// To node itself, to what the host holds, or to something that only node can tell.
    Elsewhere,
}

/// Looks in a tree.
pub(super) struct Resolver<'a> {
    pub(super) tree: &'a Tree,
    /// Shared places: what lies there is the host's matter.
    pub(super) stops: &'a [Vec<u8>],
}

impl Resolver<'_> {
    /// Where `name` leads when the file at `from` imports it.
    pub(super) fn import(&self, from: &[u8], name: &str) -> Result<Place> {
        let folder = parent(from);
        if name.starts_with("./") || name.starts_with("../") || name == "." || name == ".." {
            // Bundlers may leave a query behind the name.
            return Ok(self.file(&joined(folder, name.split(['?', '#']).next().unwrap_or(name))));
        }
        if name.starts_with('#') {
            return self.own_import(folder, name);
        }
        // An absolute path is the host's matter; `node:`, `data:`, `bun:` and the like are no packages.
        if name.is_empty() || name.starts_with('/') || name.contains(':') {
            return Ok(Place::Elsewhere);
        }
        self.package(folder, name)
    }

    /// The file that `path` means, as `require` would complete it.
    pub(super) fn file(&self, path: &[u8]) -> Place {
        let mut lost = false;
        for start in [path.to_vec(), joined(path, "index")] {
            for ending in ENDINGS {
                match self.follow(&[&start, ending.as_bytes()].concat()) {
                    Some(place) => match self.tree.get(&place) {
                        Some(Node::File { .. }) => return Place::File(place),
                        Some(Node::Dir) => lost |= self.tree.contains_key(&joined(&place, "package.json")),
                        _ => return Place::Elsewhere,
                    },
                    None => continue,
                }
            }
        }
        // A folder with a package.json of its own says itself where it begins.
        if lost { Place::Elsewhere } else { Place::NoFile }
    }

    fn follow(&self, path: &[u8]) -> Option<Vec<u8>> {
        check::follow(self.tree, self.stops, Vec::new(), check::parts(path).collect()).ok()
    }

    fn package(&self, folder: &[u8], name: &str) -> Result<Place> {
        let mut parts = name.splitn(3, '/');
        let first = parts.next().unwrap_or(name);
        if BUILTINS.split(' ').any(|own| own == first) && !name.ends_with('/') {
            return Ok(Place::Elsewhere);
        }
        let package = match parts.next() {
            Some(second) if first.starts_with('@') => format!("{first}/{second}"),
            _ => first.to_owned(),
        };
        for above in ancestors(folder) {
            if self.follow(&joined(above, &format!("node_modules/{package}"))).is_some() {
                return Ok(Place::Package(package));
            }
        }
        let own = self.about(folder)?.is_some_and(|(_, about)| about.get("name") == Some(&Value::from(&*package)));
        Ok(if own { Place::Elsewhere } else { Place::NoPackage(package) })
    }

    /// A name of the package's own `imports`.
    fn own_import(&self, folder: &[u8], name: &str) -> Result<Place> {
        let Some((home, about)) = self.about(folder)? else { return Ok(Place::Elsewhere) };
        let target = about.get("imports").and_then(|imports| chosen(imports.get(name)?));
        match target {
            Some(file) if file.starts_with("./") => Ok(self.file(&joined(&home, file))),
            Some(package) if !package.starts_with('#') => self.package(folder, package),
            _ => Ok(Place::Elsewhere),
        }
    }

    /// The nearest package.json at or above `folder`, with its folder; an unreadable one says nothing.
    fn about(&self, folder: &[u8]) -> Result<Option<(Vec<u8>, Value)>> {
        for above in ancestors(folder) {
            if let Some(Node::File { source, .. }) = self.tree.get(&joined(above, "package.json")) {
                let text =
                    fs::read(source).map_err(|e| Error::File { path: source.clone(), doing: "read", source: e })?;
                return Ok(serde_json::from_slice(&text).ok().map(|about| (above.to_vec(), about)));
            }
        }
        Ok(None)
    }
}

/// The first string that node could choose.
fn chosen(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) => items.iter().find_map(chosen),
        Value::Object(fields) => CONDITIONS.iter().find_map(|condition| chosen(fields.get(*condition)?)),
        _ => None,
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(b"", |at| &path[..at])
}

/// The folder and all above it, up to the release's root.
fn ancestors(folder: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(folder), |folder| (!folder.is_empty()).then(|| parent(folder)))
}

fn joined(folder: &[u8], name: &str) -> Vec<u8> {
    if folder.is_empty() { name.as_bytes().to_vec() } else { [folder, b"/", name.as_bytes()].concat() }
}
