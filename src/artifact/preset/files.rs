//! Any files, as they are: all that lies in `output`.
//! Guesses nothing about what is needed to run them; `exclude` says what stays here.

use super::{Mapping, refused};
use crate::artifact::shown;
use crate::config::Build;
use crate::error::Result;

pub(super) fn map(build: &Build) -> Result<Mapping> {
    let from = build.root.join(build.output.as_deref().unwrap_or("."));
    if !from.is_dir() {
        return Err(refused(format!("there is no folder `{}`", shown(&from)), "correct build.output"));
    }
    Ok(Mapping::of_folder(from))
}
