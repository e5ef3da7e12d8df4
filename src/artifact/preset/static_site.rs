//! Files that a web server serves: the `output` folder of a build is the release.
//! Knows no framework: whatever made the folder, it ships as it is.

use super::{Mapping, refused};
use crate::artifact::shown;
use crate::config::Build;
use crate::error::Result;

pub(super) fn map(build: &Build) -> Result<Mapping> {
    let Some(output) = &build.output else {
        return Err(refused(
            "the static preset needs build.output".into(),
            "name the folder that the build fills, e.g. output = \"dist\"",
        ));
    };
    let from = build.root.join(output);
    if !from.is_dir() {
        return Err(refused(
            format!("there is no folder `{}`", shown(&from)),
            match &build.command {
                Some(command) => format!("`{command}` should have made it; see build.output"),
                None => "give build.command what makes it, or correct build.output".into(),
            },
        ));
    }
    Ok(Mapping::of_folder(from))
}
