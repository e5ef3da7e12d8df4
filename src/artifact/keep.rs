//! An artifact in one file, to be shipped later or to several stages: a head that says what a deploy has to know, the
//! manifest, the tree; one tar, compressed. The same tree and commit give the same bytes. Written here, read in kept.rs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tar::EntryType;

use super::archive::Tar;
use super::manifest::{content, escape};
use super::{Artifact, Codec, EntryKind, Source, Way, engines, hash, shown};
use crate::config::{Build, Config, Preset};
use crate::error::{Error, Finding, Result};
use crate::text::{clean, list};

/// The form that is written here; a file of a later one is refused.
pub(super) const FORMAT: u32 = 1;
/// The head's name in the tar, and the manifest's.
pub(super) const HEAD: &[u8] = b"shipit-artifact.json";
pub(super) const MANIFEST: &[u8] = b"manifest";
/// Where the release lies in the tar.
pub(super) const TREE: &[u8] = b"tree/";
/// Modes and time of all members: a stage's own are given when it is shipped, and these would make equal trees differ.
pub(super) const MODES: super::Modes = (0o755, 0o644, 0o755);
pub(super) const MTIME: u64 = 0;

/// What a deploy has to know of an artifact beside its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub(super) format: u32,
    /// The project: `app` as it stands at the top of deploy.toml.
    pub(super) app: String,
    pub(super) app_dir: String,
    pub(super) script: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) mutable: Vec<String>,
    #[serde(default)]
    pub(super) assets: Vec<PathBuf>,
    #[serde(default)]
    pub(super) deployment: Option<String>,
    /// The git commit; `+` at its end: with uncommitted changes.
    pub commit: Option<String>,
    /// The git branch.
    pub branch: Option<String>,
    pub(super) artifact: String,
    pub(super) preset: Preset,
    /// For each setting of `[build]` that shapes the artifact a digest of its value, never the value.
    build: BTreeMap<String, String>,
    /// What was left to the shared files.
    shared_files: Vec<String>,
    /// The major version of node that the project's own file names, and the file.
    node: Option<(String, u32)>,
}

impl Head {
    /// What is to be known of an artifact that was built with `config`, from this commit and branch.
    pub fn of(artifact: &Artifact, config: &Config, commit: Option<String>, branch: Option<String>) -> Head {
        let mut shared_files = config.shared.files.clone();
        shared_files.sort();
        Head {
            format: FORMAT,
            app: config.project.clone(),
            app_dir: artifact.app_dir.clone(),
            script: artifact.script.clone(),
            env: artifact.env.clone(),
            mutable: artifact.mutable.clone(),
            assets: artifact.assets.clone(),
            deployment: artifact.deployment.clone(),
            commit,
            branch,
            artifact: artifact.hash.clone(),
            preset: config.build.preset,
            build: digests(&config.build, &artifact.hash),
            shared_files,
            node: engines::pinned(&config.build.root).map(|(file, major)| (file.to_owned(), major)),
        }
    }

    /// The node that the project names, in which of the files that may do so.
    pub fn pinned(&self) -> Option<(&'static str, u32)> {
        let (file, major) = self.node.as_ref()?;
        Some((engines::PINS.into_iter().find(|name| name == file)?, *major))
    }

    /// Refuses to ship it with a config that it was not built with.
    pub(super) fn suits(&self, config: &Config, file: &Path) -> Result<()> {
        let file = shown(file);
        let refuse = |what: String, hint: String| Err(Error::Usage { what, hint });
        if self.app != config.project {
            return refuse(
                format!("`{file}` holds the app `{}`, this is `{}`", clean(&self.app, 80), config.project),
                "name the file of this app, or the other app's deploy.toml with --config".into(),
            );
        }
        let wanted = digests(&config.build, &self.artifact);
        let differ: Vec<String> = wanted
            .keys()
            .chain(self.build.keys().filter(|key| !wanted.contains_key(*key)))
            .filter(|key| wanted.get(*key) != self.build.get(*key))
            .map(|key| format!("build.{}", clean(key, 80)))
            .collect();
        if !differ.is_empty() {
            return refuse(
                format!(
                    "`{file}` was built with another {} than stage {} has: what they say is in its files",
                    list(&differ),
                    config.stage
                ),
                format!("build one for this stage: shipit build {} -o FILE", config.stage),
            );
        }
        let lacks: Vec<String> = self
            .shared_files
            .iter()
            .filter(|path| !config.shared.files.contains(path))
            .map(|path| format!("`{}`", clean(path, 80)))
            .collect();
        if !lacks.is_empty() {
            return refuse(
                format!("`{file}` leaves {} to the shared files, which stage {} does not", list(&lacks), config.stage),
                format!(
                    "add it to shared.files of the stage, or build one for it: shipit build {} -o FILE",
                    config.stage
                ),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
impl Head {
    /// Names another artifact, with digests that fit.
    pub(super) fn forge(&mut self, artifact: &str, config: &Config) {
        self.artifact = artifact.to_owned();
        self.build = digests(&config.build, artifact);
    }
}

/// Each setting's value, hashed with its name and with the artifact: nobody can look a value up, and equal values of two
/// settings or two artifacts can't be told.
fn digests(build: &Build, artifact: &str) -> BTreeMap<String, String> {
    let include: Vec<String> =
        build.include.iter().map(|include| format!("{}\0{}", include.from, include.to)).collect();
    let settings = [
        ("preset", Some(format!("{:?}", build.preset))),
        ("command", build.command.clone()),
        ("output", build.output.clone()),
        ("include", (!include.is_empty()).then(|| include.join("\n"))),
        ("exclude", (!build.exclude.is_empty()).then(|| build.exclude.join("\n"))),
    ];
    let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let env = build.env.iter().map(|(name, value)| (format!("env.{name}"), value.clone()));
    settings
        .chain(env)
        .map(|(name, value)| {
            let digest = hash::sha256(format!("{artifact}\0{name}\0{value}").as_bytes());
            (name, digest)
        })
        .collect()
}

/// Writes an artifact with its head into `file`, which is there as a whole or as it was before.
pub fn keep(artifact: &Artifact, head: &Head, file: &Path) -> Result<()> {
    let failed = |source: io::Error| Error::File { path: file.to_owned(), doing: "write", source };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    not_in_itself(artifact, file)?;
    let unnamed = tempfile::Builder::new().prefix(".shipit-").tempfile_in(folder).map_err(failed)?;
    let mut encoder = Codec::Zstd.encoder(Way::Wire, BufWriter::with_capacity(256 * 1024, unnamed)).map_err(failed)?;
    write(artifact, head, &mut encoder)?;
    let mut writer = encoder.finish().map_err(failed)?;
    writer.flush().map_err(failed)?;
    let unnamed = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    unnamed.as_file().sync_all().map_err(failed)?;
    unnamed.persist(file).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A file inside of what is shipped would be in the next one.
fn not_in_itself(artifact: &Artifact, file: &Path) -> Result<()> {
    let Ok(own) = fs::canonicalize(file) else { return Ok(()) };
    let ships = |source: &Source| {
        source.path().file_name() == own.file_name() && source.path().canonicalize().is_ok_and(|path| path == own)
    };
    let inside =
        artifact.entries.iter().any(|entry| matches!(&entry.kind, EntryKind::File { source, .. } if ships(source)));
    match inside {
        false => Ok(()),
        true => Err(Error::Artifact {
            findings: vec![Finding {
                what: format!("`{}` lies in what is shipped, and would ship itself", shown(file)),
                cure: "write it elsewhere, or name it in build.exclude".into(),
            }],
        }),
    }
}

pub(super) fn write(artifact: &Artifact, head: &Head, out: &mut impl Write) -> Result<()> {
    let text = serde_json::to_vec(head).expect("a head is plain data");
    let (dir, file, program) = MODES;
    let mut tar = Tar::new(out, MTIME);
    tar.bytes(HEAD, file, &text)?;
    tar.bytes(MANIFEST, file, &content(&artifact.entries))?;
    for entry in &artifact.entries {
        let name = [TREE, entry.dest.as_os_str().as_bytes()].concat();
        match &entry.kind {
            EntryKind::Dir => tar.bare(&name, EntryType::Directory, dir, b"")?,
            EntryKind::Link { target } => tar.bare(&name, EntryType::Symlink, 0o777, target.as_os_str().as_bytes())?,
            EntryKind::File { source, size, sha256, executable } => {
                tar.file(&name, if *executable { program } else { file }, source, *size, sha256)?;
            }
        }
    }
    tar.end()
}

/// A path of the manifest for a message.
pub(super) fn named(path: &[u8]) -> String {
    clean(&String::from_utf8_lossy(&escape(path)), 300)
}
