//! How a framework's output becomes a release: one file for each preset, named after it.
//! A preset only looks: it says which folder goes where, and what must be true of the result.

mod files;
mod next;
mod static_site;

use std::path::PathBuf;

use super::pages::Pages;
use super::tree::Source;
use crate::config::{Build, Preset};
use crate::error::{Error, Finding, Result};

/// What a preset says of a finished build.
pub(super) struct Mapping {
    /// At least one; later ones are laid over earlier ones.
    pub(super) sources: Vec<Source>,
    /// Where the app lies in the release; empty: at its top.
    pub(super) app_dir: String,
    /// What to run, relative to the app directory.
    pub(super) script: Option<String>,
    /// The prerendered pages, whose assets must ship with them.
    pub(super) pages: Option<Pages>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

impl Mapping {
    /// A single folder as the whole release.
    fn of_folder(from: PathBuf) -> Mapping {
        Mapping {
            sources: vec![Source { from, to: PathBuf::new() }],
            app_dir: String::new(),
            script: None,
            pages: None,
            warnings: Vec::new(),
        }
    }
}

/// Asks the preset.
pub(super) fn map(build: &Build) -> Result<Mapping> {
    match build.preset {
        Preset::Next => next::map(build),
        Preset::Static => static_site::map(build),
        Preset::Files => files::map(build),
    }
}

/// A refusal for a single reason.
fn refused(what: String, cure: impl Into<String>) -> Error {
    Error::Artifact { findings: vec![Finding { what, cure: cure.into() }] }
}
