//! What a project is: each framework's eyes in turn, the first that knows it wins. Decides the order and joins it
//! with the package manager; what each framework looks like stands in its own file.

use std::path::{Path, PathBuf};

use super::files::{Package, first};
use super::manager::Manager;
use super::{astro, next, node, site, workspace};
use crate::error::{Error, Finding, Result};
use crate::text::clean;

/// An app and how it is deployed.
#[derive(Clone, Debug)]
pub struct Project {
    /// The app's folder.
    pub folder: PathBuf,
    /// The same, relative to where `deploy.toml` goes; empty where it is the same.
    pub root: String,
    /// What it may be called.
    pub name: String,
    /// What it is.
    pub shape: Shape,
    /// What installs its packages; none without a `package.json`.
    pub manager: Option<Manager>,
    /// Builds it, in its folder; none: there is nothing to build.
    pub command: Option<String>,
    /// Whether it is part of a workspace.
    pub workspace: bool,
}

/// What a framework's eyes saw.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// For people: `Next.js 16, App Router`.
    pub what: String,
    /// `build.preset`
    pub preset: &'static str,
    /// `build.output`
    pub output: Option<String>,
    /// `build.exclude`
    pub exclude: Vec<&'static str>,
    /// How it is built.
    pub(super) built: Built,
    /// What PM2 is to run; none: files for a web server.
    pub runs: Option<Runs>,
    /// Where it answers by now, for `health.path`.
    pub health: Option<String>,
    /// The health route that could be added.
    pub route: Option<Route>,
    /// What is missing or will not work, each with its cure.
    pub missing: Vec<Finding>,
}

/// How an app is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// `service.pm2.script`; none: the preset's.
    pub script: Option<String>,
    /// `service.pm2.port`
    pub port: u16,
    /// `service.pm2.instances`; 0 is "max".
    pub instances: u32,
    /// `service.pm2.max_memory`
    pub max_memory: Option<String>,
}

/// A health route that a framework would serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its file, relative to the app's folder.
    pub file: String,
    /// Where it answers.
    pub path: String,
    /// Whether it belongs to the App Router; else to the Pages Router.
    pub app_router: bool,
}

/// What a build takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Built {
    /// Nothing.
    #[default]
    Not,
    /// The packages, then the script `build`, or this program where there is no such script.
    By(&'static str),
    /// The packages, the script `build` where there is one, and only the packages of production stay.
    Lean,
}

/// How far up a project reaches from `folder`: the repository's root, else that of a workspace, else `folder` itself.
pub fn top(folder: &Path) -> &Path {
    let repository = folder.ancestors().find(|above| above.join(".git").exists());
    repository.or_else(|| workspace::root_of(folder, Path::new("/"))).unwrap_or(folder)
}

/// The folders below `here` that hold an app, where `here` is the root of a workspace; `""` for `here` itself.
pub fn apps(here: &Path) -> Vec<String> {
    let packages = workspace::packages(here);
    let app = |relative: &str| seen(&here.join(relative)).is_ok_and(|seen| seen.is_some());
    let own = Some(String::new()).filter(|_| packages.is_empty() || app(""));
    own.into_iter().chain(packages.into_iter().filter(|package| app(package))).collect()
}

/// The app in `root`, a folder relative to `here`.
pub fn look(here: &Path, root: &str) -> Result<Project> {
    let folder = if root.is_empty() { here.to_owned() } else { here.join(root) };
    if !folder.is_dir() {
        return Err(Error::Usage {
            what: format!("there is no folder {}", folder.display()),
            hint: "name the app's folder with --root, relative to here".into(),
        });
    }
    let Some((shape, package)) = seen(&folder)? else { return Err(unknown(&folder)) };
    let top = top(&folder);
    let manager = package.as_ref().map(|_| Manager::find(&folder, top));
    let workspace = workspace::root_of(&folder, top);
    let package = package.unwrap_or_default();
    let command = manager.as_ref().and_then(|manager| command(&shape, &package, manager, workspace));
    let own = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = package.short_name().map(str::to_owned).or(own).unwrap_or_default();
    Ok(Project {
        root: root.to_owned(),
        name: plain(&name),
        shape,
        manager,
        command,
        workspace: workspace.is_some(),
        folder,
    })
}

type Seen = Option<(Shape, Option<Package>)>;

fn seen(folder: &Path) -> Result<Seen> {
    let package = Package::read(folder).map_err(|why| Error::Usage {
        what: format!("{} can't be read: {}", folder.join("package.json").display(), clean(&why, 200)),
        hint: "mend it first; `npm pkg get name` reads it as well".into(),
    })?;
    let Some(package) = package else { return Ok(site::plain(folder).map(|shape| (shape, None))) };
    let shape = next::look(folder, &package)
        .or_else(|| astro::look(folder, &package))
        .or_else(|| node::started(folder, &package))
        .or_else(|| site::built(folder, &package))
        .or_else(|| node::unsaid(folder, &package))
        .or_else(|| site::plain(folder));
    Ok(shape.map(|shape| (shape, Some(package))))
}

fn unknown(folder: &Path) -> Error {
    let what = match first(folder, &["package.json"]) {
        Some(_) => format!("nothing says how the app in {} is run or built", folder.display()),
        None => format!("there is nothing to deploy in {}: no package.json and no index.html", folder.display()),
    };
    let hint = match first(folder, &["package.json"]) {
        Some(_) => "add a start script such as \"node server.js\" to package.json, or write deploy.toml by hand",
        None => "run it in the project's folder, or name that with --root",
    };
    Error::Usage { what, hint: hint.into() }
}

/// A name that PM2, paths and `deploy.toml` all take.
fn plain(name: &str) -> String {
    let fits = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(fits).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() || name.bytes().all(|b| b.is_ascii_digit()) { format!("app{name}") } else { name.to_owned() }
}

fn command(shape: &Shape, package: &Package, manager: &Manager, workspace: Option<&Path>) -> Option<String> {
    let script = package.scripts.contains_key("build");
    let steps = match shape.built {
        Built::Not => return None,
        Built::By(_) if script => vec![manager.install(false), build(package, manager, workspace)],
        Built::By("") => return None,
        Built::By(program) => vec![manager.install(false), manager.exec(program)],
        Built::Lean if script => {
            vec![manager.install(false), build(package, manager, workspace), manager.prune()]
        }
        Built::Lean if package.dependencies.is_empty() => return None,
        Built::Lean => vec![manager.install(true)],
    };
    Some(steps.join(" && "))
}

/// Runs the script `build`, and in a workspace first that of each package it needs.
fn build(package: &Package, manager: &Manager, workspace: Option<&Path>) -> String {
    let (Some(root), Some(name)) = (workspace, &package.name) else { return manager.run("build") };
    if root.join("turbo.json").is_file() {
        return manager.exec(&format!("turbo run build --filter={name}"));
    }
    let inner = package.dependencies.iter().chain(&package.dev_dependencies);
    let inner = inner.filter(|(_, version)| version.starts_with("workspace:")).count();
    match manager.tool {
        super::Tool::Pnpm if inner > 0 => format!("pnpm --filter '{name}...' run build"),
        _ => manager.run("build"),
    }
}

/// A finding.
pub(super) fn lacks(what: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding { what: what.into(), cure: cure.into() }
}

impl Project {
    /// Files in `folder`, of which nothing else is known.
    pub fn of_files(folder: &Path) -> Project {
        let shape = Shape { what: "files".into(), preset: "files", output: Some(".".into()), ..Shape::default() };
        let (root, name, folder) = (String::new(), String::new(), folder.to_owned());
        Project { folder, root, name, shape, manager: None, command: None, workspace: false }
    }

    /// What it is, in one line for people.
    pub fn describe(&self) -> String {
        let tool = self.manager.as_ref().map_or(String::new(), |manager| format!(", {}", manager.program()));
        let workspace = if self.workspace { ", in a workspace" } else { "" };
        format!("{}{tool}{workspace}", self.shape.what)
    }
}
