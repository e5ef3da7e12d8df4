//! What a project's package.json says of it, as far as shipping it goes. Absent and odd fields say nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::shown;
use super::tree::Tree;
use crate::error::{Error, Finding, Result};
use crate::text::{clean, count, list};

/// What package managers write, and how each installs what the app needs to run.
const LOCKFILES: [(&str, &str); 6] = [
    ("package-lock.json", "npm ci --omit=dev"),
    ("npm-shrinkwrap.json", "npm ci --omit=dev"),
    ("pnpm-lock.yaml", "pnpm install --prod --frozen-lockfile"),
    ("yarn.lock", "yarn install --production --frozen-lockfile"),
    ("bun.lock", "bun install --production"),
    ("bun.lockb", "bun install --production"),
];
/// How many packages a warning names.
const NAMED: usize = 5;

/// A package.json; of an absent one, nothing.
#[derive(Debug, Default)]
pub(super) struct Package {
    /// Whether there is one.
    pub(super) given: bool,
    pub(super) main: Option<String>,
    /// `scripts.start`
    pub(super) start: Option<String>,
    dependencies: Vec<String>,
    development: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    main: Option<Value>,
    #[serde(default)]
    scripts: BTreeMap<String, Value>,
    #[serde(default)]
    dependencies: BTreeMap<String, Value>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Value>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Value>,
}

impl Package {
    /// That of the project in `root`.
    pub(super) fn read(root: &Path) -> Result<Package> {
        let file = root.join("package.json");
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Package::default()),
            Err(source) => return Err(Error::File { path: file, doing: "read", source }),
        };
        let fields: Fields = serde_json::from_slice(&text).map_err(|e| Error::Artifact {
            findings: vec![Finding {
                what: format!("`{}` can't be read: {e}", shown(&file)),
                cure: "mend it; `npm pkg get name` there shows whether npm can read it".into(),
            }],
        })?;
        let string = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let dependencies: Vec<String> =
            fields.dependencies.into_keys().chain(fields.optional_dependencies.into_keys()).collect();
        let development = fields.dev_dependencies.into_keys().filter(|name| !dependencies.contains(name)).collect();
        Ok(Package {
            given: true,
            main: string(fields.main.as_ref()),
            start: string(fields.scripts.get("start")),
            dependencies,
            development,
        })
    }

    /// Whether the app needs this package to run.
    pub(super) fn depends_on(&self, name: &str) -> bool {
        self.dependencies.iter().any(|own| own == name)
    }

    /// How a package that the app imports, and that doesn't ship, gets into the release.
    pub(super) fn cure(&self, root: &Path, name: &str) -> String {
        let name = clean(name, 100);
        let install = install(root);
        if root.join("node_modules").join(&name).exists() {
            return match self.depends_on(&name) {
                true => "node_modules holds it: take it out of build.exclude".into(),
                false => "node_modules holds it: list it in dependencies, and take it out of build.exclude".into(),
            };
        }
        if let Some(above) = root.ancestors().skip(1).find(|above| above.join("node_modules").join(&name).exists()) {
            return format!(
                "a workspace keeps it in `{}`, outside of the app: bundle the app, or let `pnpm deploy` or the like \
                 make a folder that holds all it needs, and name that in build.root",
                shown(&above.join("node_modules"))
            );
        }
        match () {
            () if !self.dependencies.is_empty() && !root.join("node_modules").is_dir() => {
                format!("no package is installed: add `{install}` to build.command, or bundle the app")
            }
            () if self.depends_on(&name) => {
                format!("it is in dependencies, but not installed: add `{install}` to build.command")
            }
            () if self.development.contains(&name) => {
                format!("it is in devDependencies: move it to dependencies, then `{install}`")
            }
            () => "package.json does not name it: add it to dependencies and install it, or bundle the app".into(),
        }
    }

    /// What a release ships though the app needs it for its development only.
    pub(super) fn warning(&self, root: &Path, tree: &Tree) -> Option<String> {
        let shipped = |name: &&String| tree.contains_key(format!("node_modules/{name}").as_bytes());
        let names: Vec<String> =
            self.development.iter().filter(shipped).map(|name| format!("`{}`", clean(name, 100))).collect();
        if names.is_empty() {
            return None;
        }
        let named = match names.len() {
            n if n > NAMED => format!("{} and {}", list(&names[..NAMED]), count(n - NAMED, "more")),
            _ => list(&names),
        };
        let install = install(root);
        Some(format!(
            "node_modules ships devDependencies too: {named}; end build.command with `{install}` to leave them out"
        ))
    }
}

fn install(root: &Path) -> &'static str {
    root.ancestors()
        .find_map(|folder| lockfile_in(folder).map(|(_, install)| install))
        .unwrap_or("npm install --omit=dev")
}

fn lockfile_in(folder: &Path) -> Option<(&'static str, &'static str)> {
    LOCKFILES.into_iter().find(|(name, _)| folder.join(name).is_file())
}

/// The nearest lockfile at the project or above it, no higher than the root of which the project is `app`, and its
/// place in the release: the record of what a build was made with.
pub(super) fn lockfile(root: &Path, app: &Path) -> Option<(PathBuf, PathBuf)> {
    root.ancestors()
        .zip(app.ancestors())
        .find_map(|(folder, to)| lockfile_in(folder).map(|(name, _)| (folder.join(name), to.join(name))))
}
