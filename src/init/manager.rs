//! Which package manager a project uses, where its lockfile lies, and the commands that install and build with it.
//! Believes `packageManager` first, then the nearest lockfile up to the root of the repository.

use std::path::Path;

use super::files::{Package, first, read};

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// npm
    Npm,
    /// pnpm
    Pnpm,
    /// Yarn 1
    Yarn,
    /// Yarn 2 or newer
    Berry,
    /// Bun
    Bun,
}

/// How a project's packages are installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// By what.
    pub tool: Tool,
    /// Whether there is a lockfile.
    pub locked: bool,
    /// Whether `packageManager` names it, with its version.
    pub pinned: bool,
    /// From the app's folder up to the lockfile's, as `../..`; empty where it is the same.
    pub up: String,
}

const LOCKFILES: [(&str, Tool); 6] = [
    ("pnpm-lock.yaml", Tool::Pnpm),
    ("yarn.lock", Tool::Yarn),
    ("bun.lock", Tool::Bun),
    ("bun.lockb", Tool::Bun),
    ("package-lock.json", Tool::Npm),
    ("npm-shrinkwrap.json", Tool::Npm),
];

impl Manager {
    /// That of the app in `folder`; nothing above `top` is looked at.
    pub(super) fn find(folder: &Path, top: &Path) -> Manager {
        let folders: Vec<&Path> = folder.ancestors().take_while(|above| above.starts_with(top)).collect();
        let said = folders.iter().find_map(|above| {
            let package = Package::read(above).ok()??;
            said(&package.package_manager?)
        });
        let lock = folders.iter().enumerate().find_map(|(depth, above)| {
            let found = LOCKFILES.iter().filter(|(name, _)| above.join(name).is_file()).map(|(_, tool)| *tool);
            let fits = |tool: &Tool| said.is_none_or(|said| plain(said) == plain(*tool));
            found.into_iter().find(fits).map(|tool| (depth, tool))
        });
        let tool = match (said, lock) {
            (Some(said), _) => said,
            (None, Some((depth, Tool::Yarn))) if is_berry(folders[depth]) => Tool::Berry,
            (None, Some((_, tool))) => tool,
            (None, None) => Tool::Npm,
        };
        let up = vec![".."; lock.map_or(0, |(depth, _)| depth)].join("/");
        Manager { tool, locked: lock.is_some(), pinned: said.is_some(), up }
    }

    /// Its program.
    pub fn program(&self) -> &'static str {
        match self.tool {
            Tool::Npm => "npm",
            Tool::Pnpm => "pnpm",
            Tool::Yarn | Tool::Berry => "yarn",
            Tool::Bun => "bun",
        }
    }

    /// Installs what the lockfile says; `production`: without what only a build needs.
    pub(super) fn install(&self, production: bool) -> String {
        let (mut command, lean) = match (self.tool, self.locked) {
            (Tool::Npm, true) => ("npm ci".to_owned(), " --omit=dev"),
            (Tool::Npm, false) => ("npm install".to_owned(), " --omit=dev"),
            (Tool::Pnpm, true) => ("pnpm install --frozen-lockfile".to_owned(), " --prod"),
            (Tool::Pnpm, false) => ("pnpm install".to_owned(), " --prod"),
            (Tool::Yarn, true) => ("yarn install --frozen-lockfile".to_owned(), " --production"),
            (Tool::Yarn, false) => ("yarn install".to_owned(), " --production"),
            (Tool::Berry, _) if production => return "yarn workspaces focus --production".to_owned(),
            (Tool::Berry, true) => ("yarn install --immutable".to_owned(), ""),
            (Tool::Berry, false) => ("yarn install".to_owned(), ""),
            (Tool::Bun, true) => ("bun install --frozen-lockfile".to_owned(), " --production"),
            (Tool::Bun, false) => ("bun install".to_owned(), " --production"),
        };
        // The others find a workspace's root by themselves.
        if self.tool == Tool::Npm && !self.up.is_empty() {
            command += &format!(" --prefix {}", self.up);
        }
        if production { command + lean } else { command }
    }

    /// After a build: away with what only it needed.
    pub(super) fn prune(&self) -> String {
        match self.tool {
            Tool::Npm if self.up.is_empty() => "npm prune --omit=dev".to_owned(),
            Tool::Npm => format!("npm prune --omit=dev --prefix {}", self.up),
            Tool::Pnpm => "CI=true pnpm prune --prod".to_owned(),
            Tool::Bun => format!("rm -rf node_modules && {}", self.install(true)),
            Tool::Yarn | Tool::Berry => self.install(true),
        }
    }

    /// Runs a script of `package.json`.
    pub(super) fn run(&self, script: &str) -> String {
        format!("{} run {script}", self.program())
    }

    /// Runs a program of an installed package.
    pub(super) fn exec(&self, command: &str) -> String {
        match self.tool {
            Tool::Npm => format!("npx {command}"),
            Tool::Pnpm => format!("pnpm exec {command}"),
            Tool::Yarn | Tool::Berry => format!("yarn run {command}"),
            Tool::Bun => format!("bunx {command}"),
        }
    }
}

/// What `packageManager` says, e.g. `pnpm@9.12.0+sha512.ab`.
fn said(text: &str) -> Option<Tool> {
    let (name, version) = text.split_once('@').unwrap_or((text, ""));
    match name {
        "npm" => Some(Tool::Npm),
        "pnpm" => Some(Tool::Pnpm),
        "yarn" if version.starts_with("1.") => Some(Tool::Yarn),
        "yarn" => Some(Tool::Berry),
        "bun" => Some(Tool::Bun),
        _ => None,
    }
}

/// The two Yarns share their lockfile's name.
fn plain(tool: Tool) -> Tool {
    if tool == Tool::Berry { Tool::Yarn } else { tool }
}

fn is_berry(folder: &Path) -> bool {
    let lock = || read(&folder.join("yarn.lock")).is_some_and(|text| text.contains("\n__metadata:"));
    first(folder, &[".yarnrc.yml"]).is_some() || lock()
}
