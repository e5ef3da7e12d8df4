//! Small trees for this module's tests, made when a test runs and gone when it ends.
//! For tests only.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Artifact, Entry, EntryKind};
use crate::config::{Build, Include, Preset, Service, Shared};
use crate::error::{Error, Result};

/// A project folder, and how it is built and shared.
pub(super) struct Project {
    dir: TempDir,
    pub(super) build: Build,
    pub(super) shared: Shared,
    pub(super) service: Service,
}

impl Project {
    pub(super) fn new(preset: Preset) -> Project {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let build = Build {
            preset,
            root,
            command: None,
            output: None,
            env: Default::default(),
            include: vec![],
            exclude: vec![],
        };
        Project { dir, build, shared: Shared::default(), service: Service::None }
    }

    /// Lets PM2 run `script`, or what the preset says.
    pub(super) fn with_pm2(mut self, script: Option<&str>) -> Project {
        let pm2 = serde_json::json!({
            "kind": "pm2", "name": "app", "script": script, "only": [], "instances": 1, "mode": "cluster", "env": {},
            "boot_test": true, "node_args": [], "args": [], "kill_timeout_ms": 1, "listen_timeout_ms": 1,
        });
        self.service = serde_json::from_value(pm2).unwrap();
        self
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    /// Writes a file, with the folders above it. Paths are relative to the temporary folder, not to `root`.
    pub(super) fn file(&self, path: &str, content: &str) -> &Project {
        self.parent(path);
        fs::write(self.path(path), content).unwrap();
        self
    }

    pub(super) fn program(&self, path: &str) -> &Project {
        self.file(path, "#!/bin/sh\n");
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o700)).unwrap();
        self
    }

    pub(super) fn link(&self, path: &str, target: &str) -> &Project {
        self.parent(path);
        symlink(target, self.path(path)).unwrap();
        self
    }

    fn parent(&self, path: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap_or(Path::new("/"))).unwrap();
    }

    pub(super) fn include(&mut self, from: &str, to: &str) -> &mut Project {
        self.build.include.push(Include { from: from.into(), to: to.into() });
        self
    }

    pub(super) fn collect(&self) -> Result<Artifact> {
        Artifact::collect(&self.build, &self.shared, &self.service)
    }

    /// The release as one line for each path: `a/`, `a/file = content`, `a/program* = content`, `a/link -> target`.
    pub(super) fn release(&self) -> Vec<String> {
        self.collect().unwrap().entries.iter().map(line).collect()
    }

    /// Why there is no release.
    pub(super) fn refusals(&self) -> Vec<String> {
        match self.collect() {
            Err(Error::Artifact { findings }) => findings.into_iter().map(|f| f.what + " / " + &f.cure).collect(),
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn line(entry: &Entry) -> String {
    let dest = entry.dest.display();
    match &entry.kind {
        EntryKind::Dir => format!("{dest}/"),
        EntryKind::Link { target } => format!("{dest} -> {}", target.display()),
        EntryKind::File { source, executable, size, .. } => {
            let content = String::from_utf8(source.read().unwrap()).unwrap();
            assert_eq!(content.len() as u64, *size);
            format!("{dest}{} = {}", if *executable { "*" } else { "" }, content.trim_end())
        }
    }
}
