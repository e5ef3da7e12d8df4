//! A test's own directory: everything that it makes is below it, and it goes when the test ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A temporary directory that every account may pass through.
#[derive(Debug)]
pub(crate) struct Area {
    dir: tempfile::TempDir,
}

impl Area {
    pub(crate) fn new() -> Area {
        // A short name: sockets below it must stay under 108 bytes.
        let dir = tempfile::Builder::new().prefix("st-").tempdir_in("/tmp").expect("/tmp is writable");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        Area { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A directory in it, made now, that everybody may pass through and only root may write.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).expect("the area is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path
    }
}
