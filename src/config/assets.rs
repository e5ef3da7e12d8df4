//! `[assets]`: what of earlier releases a release keeps for pages that are open: its settings, read and judged.

use serde::{Deserialize, Serialize};

use super::reader::Section;
use super::schema::{Config, Preset};
use super::values;

/// `[assets]`: files that pages ask for by a name made of their content; a release keeps those of earlier ones for the
/// pages that are open. In a release's record the folders are those of all, the preset's too, from the release's root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assets {
    /// `keep`: for how many releases after the last one that had it a file stays; 0: not at all.
    pub keep: usize,
    /// `paths`: their folders, relative to the app directory (leading `/`: release root); empty: the preset's own.
    pub paths: Vec<String>,
}

impl Assets {
    /// Whether none are kept.
    pub fn is_none(&self) -> bool {
        self.keep == 0 || self.paths.is_empty()
    }

    /// Whether any are kept of what `preset` makes.
    pub fn any(&self, preset: Preset) -> bool {
        self.keep > 0 && (!self.paths.is_empty() || matches!(preset, Preset::Next | Preset::Astro))
    }
}

/// Reads the table.
pub(super) fn read(section: &Section<'_>) -> Assets {
    let paths = section.parsed_list("paths", values::inside).into_iter().map(|(path, _)| path).collect();
    Assets { keep: section.number("keep", 0..=100).unwrap_or(3), paths }
}

/// A wish that nothing can come of is a mistake.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    let section = root.section("assets");
    if section.has("keep") && config.assets.keep > 0 && !config.assets.any(config.build.preset) && !section.has("paths")
    {
        let hint = "name their folders: paths = [\"assets\"]; only next and astro have their own";
        section.wrong("keep", "says how long assets stay, and this preset knows of none", hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::error::Error;

    fn load(preset: &str, table: &str) -> Result<Assets, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deploy.toml");
        let text = format!(
            "app = \"it\"\n[build]\npreset = \"{preset}\"\n{}\n[assets]\n{table}\n[stages.x]\nhosts = [\"local\"]\npath = \"/srv/x\"\n",
            if preset == "files" { "output = \"dist\"" } else { "" }
        );
        std::fs::write(&file, text).unwrap();
        match Config::load(&file, None, &|_| None) {
            Ok(config) => Ok(config.assets),
            Err(Error::Config { problems, .. }) => Err(problems[0].what.clone()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_kept_by_default_is_the_presets_matter() {
        let next = load("next", "").unwrap();
        assert!(next.keep == 3 && next.any(Preset::Next) && next.any(Preset::Astro) && !next.any(Preset::Files));
        assert!(!load("next", "keep = 0").unwrap().any(Preset::Next));
        let named = load("files", "paths = [\"./a/b/\", \"/top\"]").unwrap();
        assert!(named.any(Preset::Files) && named.paths == ["a/b", "/top"], "{named:?}");
        assert_eq!(load("files", "keep = 0"), Ok(Assets { keep: 0, paths: vec![] }));
        assert!(load("files", "keep = 2").unwrap_err().contains("this preset knows of none"));
    }
}
