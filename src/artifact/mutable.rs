//! Which parts of a release need not stay as released: what the app writes there, and what a link to a shared place took
//! the place of. The one answer for drift, for the proof of a rollback, and for what two releases may not have in common.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder, escape};

use super::manifest::unescape;
use super::place;
use crate::config::Shared;

/// Globs and shared places of one release.
#[derive(Clone, Debug, Default)]
pub struct Mutable {
    globs: GlobSet,
    shared: Vec<PathBuf>,
}

impl Mutable {
    /// `recorded` are globs from the release's root, `asked` those of `release.mutable`. What is no glob names nothing.
    pub fn new(app_dir: &str, shared: &Shared, recorded: &[String], asked: &[String]) -> Mutable {
        let mut globs = GlobSetBuilder::new();
        for pattern in recorded.iter().cloned().chain(mutable_globs(app_dir, asked)) {
            if let Ok(glob) = GlobBuilder::new(&pattern).literal_separator(true).build() {
                globs.add(glob);
            }
        }
        let shared = shared.dirs.iter().chain(&shared.files).filter_map(|path| place(app_dir, path));
        Mutable { globs: globs.build().unwrap_or_default(), shared: shared.collect() }
    }

    /// Whether it is, or lies in, a part that need not stay. `path` is from the release's root, as a manifest writes it.
    pub fn names(&self, path: &[u8]) -> bool {
        let path = unescape(path);
        let mut above = Path::new(OsStr::from_bytes(&path)).ancestors().filter(|path| !path.as_os_str().is_empty());
        above.any(|path| self.globs.is_match(path) || self.shared.iter().any(|shared| shared == path))
    }
}

/// The globs of `release.mutable` as they count from the release's root.
pub fn mutable_globs(app_dir: &str, asked: &[String]) -> Vec<String> {
    let from_root = |glob: &String| match glob.strip_prefix('/') {
        Some(glob) => glob.to_owned(),
        None if app_dir.is_empty() => glob.trim_start_matches("./").to_owned(),
        None => format!("{}/{}", escape(app_dir), glob.trim_start_matches("./")),
    };
    asked.iter().map(|glob| from_root(glob).trim_end_matches('/').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_name_what_lies_below_and_shared_places_what_their_links_replaced() {
        let shared = Shared { dirs: vec!["up loads".into()], files: vec!["/.env".into()] };
        let asked = ["data/", "./tmp/**/*.{html,rsc}", "/top[1]", "[no glob"].map(String::from);
        let mutable = Mutable::new("apps/[web]", &shared, &["a/*/c".into()], &asked);
        for path in [
            "apps/[web]/data",
            "apps/[web]/data/deep/x",
            "apps/[web]/tmp/p/q.rsc",
            "top1/x",
            "a/b/c/d",
            "apps/[web]/up loads/x",
            ".env",
        ] {
            assert!(mutable.names(path.as_bytes()), "{path}");
        }
        for path in ["data", "apps/w/data", "apps/[web]/data2", "apps/[web]/tmp/q.js", "a/b/d", "a/b/b/c", "up loads/x"]
        {
            assert!(!mutable.names(path.as_bytes()), "{path}");
        }
        // A tab in a name, as the manifest has it.
        let odd = Mutable::new("", &Shared::default(), &[], &["a\tb".to_owned()]);
        assert!(odd.names(b"a\\0011b/c") && !odd.names(b"a\\0012b"));
    }
}
