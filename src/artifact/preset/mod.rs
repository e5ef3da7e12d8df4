//! How a framework's output becomes a release: one file for each preset, named after it.
//! A preset only looks: it says which folder goes where, and what must be true of the result.

mod astro;
mod files;
mod next;
mod node;
mod static_site;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::code::Code;
use super::pages::Pages;
use super::tree::Source;
use crate::config::{Build, Preset, Service};
use crate::error::{Error, Finding, Result};

/// What a preset says of a finished build.
pub(super) struct Mapping {
    /// At least one; later ones are laid over earlier ones.
    pub(super) sources: Vec<Source>,
    /// Where the app lies in the release; empty: at its top.
    pub(super) app_dir: String,
    /// What to run, relative to the app directory.
    pub(super) script: Option<String>,
    /// The code that `script` is, where the preset leaves it to be checked.
    pub(super) code: Option<Code>,
    /// What the app's environment holds unless somebody says otherwise.
    pub(super) env: BTreeMap<String, String>,
    /// What the app writes in its release: globs from the release's root.
    pub(super) mutable: Vec<String>,
    /// Folders of files that are named by their content, from the release's root.
    pub(super) assets: Vec<PathBuf>,
    /// What the build calls itself to its pages, where it was told a name.
    pub(super) deployment: Option<String>,
    /// The prerendered pages, whose assets must ship with them.
    pub(super) pages: Option<Pages>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

impl Mapping {
    /// Sources of which nothing else is known.
    fn of(sources: Vec<Source>) -> Mapping {
        Mapping {
            sources,
            app_dir: String::new(),
            script: None,
            code: None,
            env: BTreeMap::new(),
            mutable: Vec::new(),
            assets: Vec::new(),
            deployment: None,
            pages: None,
            warnings: Vec::new(),
        }
    }

    /// A single folder as the whole release.
    fn of_folder(from: PathBuf) -> Mapping {
        Mapping::of(vec![Source { from, to: PathBuf::new() }])
    }
}

/// Asks the preset.
pub(super) fn map(build: &Build, service: &Service) -> Result<Mapping> {
    match build.preset {
        Preset::Astro => astro::map(build, service),
        Preset::Node => node::map(build, service),
        Preset::Next => next::map(build),
        Preset::Static => static_site::map(build),
        Preset::Files => files::map(build),
    }
}

/// A refusal for a single reason.
fn refused(what: String, cure: impl Into<String>) -> Error {
    Error::Artifact { findings: vec![Finding { what, cure: cure.into() }] }
}

/// A relative path of plain components, without `.`; none for any other.
fn plain(path: &str) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(plain)
}

/// Whether a build uses this key, and not one that it makes up: what builds it sees our own environment too.
fn is_fixed(build: &Build, key: &str) -> bool {
    let given = build.env.get(key).is_some_and(|value| !value.is_empty());
    given || std::env::var_os(key).is_some_and(|value| !value.is_empty())
}
