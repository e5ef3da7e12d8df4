//! Whether what is served is what was to be deployed: nobody wins by doing less. Only reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What tools put into a release of their own: shipit's mark, Capistrano's.
const THEIRS: [&str; 2] = [".release.json", "REVISION"];

/// Fails unless the tree `live` has the files of `artifact` and no others. A folder without a file is none: git knows
/// no such thing.
pub(crate) fn assert_same(artifact: &Path, live: &Path) {
    let (wanted, there) = (files(artifact), files(live));
    let names = |files: &BTreeMap<PathBuf, bool>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&wanted), names(&there), "the files of {}", live.display());
    for (name, link) in wanted {
        let (wanted, there) = (artifact.join(&name), live.join(&name));
        let same = match link {
            true => fs::read_link(wanted).ok() == fs::read_link(there).ok(),
            false => fs::read(wanted).expect("readable") == fs::read(there).expect("readable"),
        };
        assert!(same, "{} is not as it was deployed", live.join(&name).display());
    }
}

/// All files and links below `dir`, and whether they are links.
fn files(dir: &Path) -> BTreeMap<PathBuf, bool> {
    let dir = dir.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let entries = walkdir::WalkDir::new(&dir).into_iter().map(|entry| entry.expect("readable"));
    entries
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| {
            let name = entry.path().strip_prefix(&dir).expect("below it").to_owned();
            (name, entry.file_type().is_symlink())
        })
        .filter(|(name, _)| !THEIRS.iter().any(|theirs| name == Path::new(theirs)))
        .collect()
}
