//! What is shipped: the files of a build, each with its place in the release, its hash, and whether it may go.
//! A preset maps sources to destinations; nothing is copied here, and nothing is known of hosts.

pub mod archive; // the byte stream that a host receives
mod check; // links and names
mod code; // what an app's code imports
mod codec; // zstd and gzip
mod differ; // two releases compared, for people
pub mod delta; // what a host need not be sent
mod engines; // which node is asked for
mod hash; // sizes and SHA-256, in parallel
mod machine; // headers of compiled files
mod manifest; // one line for each entry
mod mutable; // what need not stay as released
mod natives; // compiled files against a host
mod keep; // an artifact in one file: written
mod kept; // an artifact in one file: read and verified
mod pace; // how tight to pack for a link
mod package; // package.json
mod pages; // the assets that HTML names
mod preset; // which files a framework's build consists of
mod sharp; // whether the images' library is there for those who use it
mod source; // where a file's content is
mod tree; // sources laid over each other

mod fixture;
mod hostile;
mod kept_tests;
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub use archive::{Payload, end_archive, write_archive};
pub use codec::{Codec, Encoder, Way};
pub use delta::{Delta, Fate, Held, delta};
pub use differ::{Difference, Why, differ};
pub use engines::{Engine, engines, major, pinned, satisfies};
pub use hash::sha256;
pub use keep::{Head, keep};
pub use kept::Kept;
pub use manifest::{escape, manifest};
pub use mutable::{Mutable, mutable_globs};
pub use natives::{Machine, Natives};
pub use pace::Gauge;
pub use sharp::sharp;
pub use source::Source;
pub use tree::place;

use self::preset::Mapping;
use crate::config;
use crate::error::{Error, Finding, Result};
use crate::text::clean;

/// A file that exists in the release only: its path from the release root, and its content.
pub type Extra = (String, Vec<u8>);

/// Modes of a directory, of a file, and of an executable file, as `config::Access::modes` gives them.
pub type Modes = (u32, u32, u32);

/// Everything that one release consists of.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Sorted by the bytes of `dest`: a directory comes before what it holds, and each one is present.
    pub entries: Vec<Entry>,
    /// Where the app lies in the release: empty, or e.g. `apps/web`.
    pub app_dir: String,
    /// SHA-256 over types, execute bits, content, link targets and paths; access modes and times don't count.
    pub hash: String,
    /// What the preset would run, relative to `app_dir`.
    pub script: Option<String>,
    /// What the preset adds to the app's environment, where nobody says otherwise.
    pub env: BTreeMap<String, String>,
    /// What the app writes in its release, as the preset knows: globs from the release's root.
    pub mutable: Vec<String>,
    /// Folders of files that are named by their content, as the preset knows: from the release's root.
    pub assets: Vec<PathBuf>,
    /// What the build calls itself to its pages (`NEXT_DEPLOYMENT_ID`): a hint for people, no proof of anything.
    pub deployment: Option<String>,
    /// What the user should know, though nothing is wrong.
    pub warnings: Vec<String>,
}

/// One path of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the release root; only plain components.
    pub dest: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Where its content is, on this machine.
        source: Source,
        /// Its size when it was hashed.
        size: u64,
        /// SHA-256 in lower-case hex.
        sha256: String,
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A directory.
    Dir,
    /// A symbolic link, kept as it is.
    Link {
        /// Its text.
        target: PathBuf,
    },
}

impl Artifact {
    /// Maps a finished build into a release that `service` can run, hashes it, and refuses it with all reasons at once.
    pub fn collect(build: &config::Build, shared: &config::Shared, service: &config::Service) -> Result<Artifact> {
        let mut mapping = preset::map(build, service)?;
        let mut laid = tree::lay(&mapping, build, shared)?;
        if let Some(code) = mapping.code.take() {
            laid = with_code(laid, &mut mapping, code, build, shared)?;
        }
        let tree::Laid { tree, mut warnings, mut findings } = laid;
        findings.extend(check::findings(&tree, &mapping.app_dir, shared));
        if findings.is_empty() && !tree.values().any(|node| matches!(node, tree::Node::File { .. })) {
            findings.push(Finding {
                what: format!("there is nothing to ship: `{}` holds no file", shown(&mapping.sources[0].from)),
                cure: "build the app first, and look at build.output and build.exclude".into(),
            });
        }
        if let (true, Some(pages)) = (findings.is_empty(), &mapping.pages) {
            findings = pages.missing(&tree)?;
        }
        if !findings.is_empty() {
            return Err(Error::Artifact { findings });
        }
        let entries = hash::entries(tree)?;
        let hash = hash::sha256(&manifest::content(&entries));
        warnings.splice(0..0, mapping.warnings);
        let Mapping { app_dir, script, env, mutable, assets, deployment, .. } = mapping;
        Ok(Artifact { entries, app_dir, hash, script, env, mutable, assets, deployment, warnings })
    }

    /// Which assets outlive it, and for how long: below the preset's folders or those that are asked for, as they count
    /// from the release's root.
    pub fn assets(&self, asked: &config::Assets) -> config::Assets {
        let named: Vec<PathBuf> = asked.paths.iter().filter_map(|path| place(&self.app_dir, path)).collect();
        let paths = if named.is_empty() { &self.assets } else { &named };
        let paths = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let assets = config::Assets { keep: asked.keep, paths };
        if assets.is_none() { config::Assets::default() } else { assets }
    }

    /// The size of all files.
    pub fn bytes(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| match entry.kind {
                EntryKind::File { size, .. } => size,
                EntryKind::Dir | EntryKind::Link { .. } => 0,
            })
            .sum()
    }

    /// The number of files.
    pub fn files(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. })).count()
    }
}

/// The release with the installed packages that its code needs, and what is wrong with the code.
fn with_code(
    mut laid: tree::Laid,
    mapping: &mut Mapping,
    code: code::Code,
    build: &config::Build,
    shared: &config::Shared,
) -> Result<tree::Laid> {
    let package = package::Package::read(&build.root)?;
    let stops = check::stops(&mapping.app_dir, shared);
    let mut uses = code::read(&laid.tree, &stops, &code)?;
    if let Some(modules) = code.modules.as_ref().filter(|modules| uses.want(modules, &package)) {
        mapping.sources.push(modules.clone());
        laid = tree::lay(mapping, build, shared)?;
        uses = code::read(&laid.tree, &stops, &code)?;
    }
    laid.findings.extend(uses.findings(&build.root, &package));
    laid.warnings.extend(uses.warning());
    laid.warnings.extend(package.warning(&build.root, &laid.tree));
    Ok(laid)
}

/// Why something of the build can't be read, with the cure where there is one.
fn unread(path: &Path, doing: &'static str, source: io::Error) -> Error {
    let finding = |what: String, cure: &str| Error::Artifact { findings: vec![Finding { what, cure: cure.into() }] };
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => finding(
            format!("`{}` was changed or removed while it was being packed", shown(path)),
            "let nothing write to the build during a deploy, then try again",
        ),
        io::ErrorKind::PermissionDenied => finding(
            format!("`{}` may not be read by this account", shown(path)),
            "make it readable with chmod u+r, or name it in build.exclude",
        ),
        _ => Error::File { path: path.to_owned(), doing, source },
    }
}

/// A path for a message.
fn shown(path: &Path) -> String {
    clean(&path.to_string_lossy(), 300)
}
