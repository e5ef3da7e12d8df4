//! A small disk of a case's own, in memory, that a fault fills to the last block.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk of its own, in memory.
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Puts it over a directory.
    pub(crate) fn mount(at: &Path) -> Disk {
        let mut command = Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", "size=16m,nr_inodes=2000", "tmpfs"]).arg(at).status().unwrap();
        assert!(mounted.success(), "tests run as root, who may mount");
        Disk { at: at.to_owned() }
    }

    /// Takes up all that is free: space and inodes.
    pub(crate) fn fill(&self) {
        fs::create_dir(self.at.join("filled")).unwrap();
        (0..4000).take_while(|n| fs::write(self.at.join(format!("filled/{n}")), "").is_ok()).for_each(drop);
        let mut file = fs::File::options().write(true).open(self.at.join("filled/0")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Gives it back.
    pub(crate) fn empty(&self) {
        let _ = fs::remove_dir_all(self.at.join("filled"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
