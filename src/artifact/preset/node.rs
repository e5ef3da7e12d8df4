//! A plain Node app: the whole project as it lies there, or with `build.output` that part of it, its package.json and
//! the installed packages that its code imports. All keeps its place, so that paths in scripts stay true.

use std::path::{Path, PathBuf};

use super::{Mapping, plain, refused};
use crate::artifact::code::Code;
use crate::artifact::package::{Package, lockfile};
use crate::artifact::shown;
use crate::artifact::tree::Source;
use crate::config::{Build, Service, Starts};
use crate::error::{Error, Result};
use crate::text::clean;

/// Where a server begins in a folder of built files, when package.json says nothing of it.
const ENTRIES: [&str; 6] = ["server", "index", "main", "app", "server/index", "server/entry"];
const ENDINGS: [&str; 3] = [".mjs", ".js", ".cjs"];
/// Options of node that take the next word.
const TAKE_ONE: [&str; 7] = ["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"];

pub(super) fn map(build: &Build, service: &Service) -> Result<Mapping> {
    let root = &build.root;
    let package = Package::read(root)?;
    let output = match &build.output {
        Some(output) => shipped(root, output, build)?,
        None => PathBuf::new(),
    };
    let mut warnings = Vec::new();
    let script = match service.starts() {
        Starts::Given(script) => Some(script.trim_start_matches('/').to_owned()),
        Starts::Preset => Some(entry(root, &output, &package, &mut warnings)?),
        Starts::Own => None,
    };
    let whole = output.as_os_str().is_empty();
    let modules = Source { from: root.join("node_modules"), to: "node_modules".into() };
    let mut sources = vec![Source { from: root.join(&output), to: output }];
    if !whole {
        sources.extend(package.given.then(|| Source { from: root.join("package.json"), to: "package.json".into() }));
        sources.extend(lockfile(root, Path::new("")).map(|(from, to)| Source { from, to }));
    }
    let modules = (!whole && modules.from.is_dir()).then_some(modules);
    let code = script.as_ref().map(|script| Code { entry: script.into(), whole: false, modules });
    Ok(Mapping { script, code, warnings, ..Mapping::of(sources) })
}

/// `build.output` as a path below the root; empty for the root itself.
fn shipped(root: &Path, output: &str, build: &Build) -> Result<PathBuf> {
    let Some(path) = plain(output) else {
        return Err(refused(
            format!("build.output is `{}`, which is outside of build.root", clean(output, 200)),
            "name the app's folder in build.root, or ship that folder with preset = \"files\"",
        ));
    };
    if root.join(&path).exists() {
        return Ok(path);
    }
    Err(refused(
        format!("there is no `{}`", shown(&root.join(&path))),
        match &build.command {
            Some(command) => format!("`{command}` should have made it; see build.output"),
            None => "give build.command what makes it, or correct build.output".into(),
        },
    ))
}

/// What is started: the file that `output` names; what package.json starts; or what a folder's names suggest.
fn entry(root: &Path, output: &Path, package: &Package, warnings: &mut Vec<String>) -> Result<String> {
    if root.join(output).is_file() {
        return Ok(text(output));
    }
    let mut said = None;
    if let Some(start) = &package.start {
        match started(start) {
            Some((script, more)) => {
                if !more.is_empty() {
                    warnings.push(format!(
                        "scripts.start has `{}` as well: what node or the app needs of it belongs in node_args, args or \
                         env of [service.pm2]",
                        clean(&more, 200)
                    ));
                }
                said = Some(("scripts.start", script));
            }
            None => said = Some(("scripts.start", String::new())),
        }
    }
    let by_main = package.main.clone().filter(|_| said.as_ref().is_none_or(|(_, script)| script.is_empty()));
    if let Some(main) = by_main.filter(|main| file(root, main).is_some()) {
        said = Some(("main", main));
    }
    if let Some((_, script)) = &said
        && let Some(path) = file(root, script).filter(|path| path.starts_with(output))
    {
        return Ok(text(&path));
    }
    let guessed = ENTRIES.iter().flat_map(|name| ENDINGS.map(|end| output.join(format!("{name}{end}"))));
    match (said, guessed.into_iter().find(|path| root.join(path).is_file())) {
        // A start that isn't node's, such as a watcher's, doesn't stop a build from having a server.
        (None, Some(path)) => Ok(text(&path)),
        (Some((_, script)), Some(path)) if script.is_empty() || !output.as_os_str().is_empty() => Ok(text(&path)),
        (Some((field, script)), _) if !script.is_empty() => Err(no_entry(root, output, field, &script)),
        (Some(_), _) => Err(refused(
            format!(
                "package.json starts the app by `{}`, which is not a plain `node FILE`",
                clean(package.start.as_deref().unwrap_or(""), 200)
            ),
            "name the file that node runs: script = \"dist/server.js\" under [service.pm2]; TypeScript has to be built first",
        )),
        (None, None) => Err(refused(
            format!(
                "nothing tells what to start: `{}` has no scripts.start and no main",
                shown(&root.join("package.json"))
            ),
            "name the file that node runs: script = \"server.js\" under [service.pm2]",
        )),
    }
}

fn no_entry(root: &Path, output: &Path, field: &str, script: &str) -> Error {
    let script = clean(script, 200);
    match file(root, &script) {
        Some(_) => refused(
            format!("{field} of package.json names `{script}`, and build.output ships only `{}`", shown(output)),
            "leave build.output out to ship the whole project, or name the file under [service.pm2]: script = \"...\"",
        ),
        None => refused(
            format!("{field} of package.json names `{script}`, and there is no such file in `{}`", shown(root)),
            "build.command should make it; or name another under [service.pm2]: script = \"...\"",
        ),
    }
}

/// The file that node would run for this name.
fn file(root: &Path, name: &str) -> Option<PathBuf> {
    let path = plain(name)?;
    let with = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let tried = [path.clone(), with(".js"), path.join("index.js")];
    tried.into_iter().find(|path| !path.as_os_str().is_empty() && root.join(path).is_file())
}

/// The file of a `node FILE` line, and what else the line says to node or to the app.
fn started(line: &str) -> Option<(String, String)> {
    if line.contains(['|', '&', ';', '<', '>', '`', '$', '(', '"', '\'']) {
        return None;
    }
    let mut more = Vec::new();
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next_if(|word| {
        *word == "cross-env" || word.split_once('=').is_some_and(|(name, _)| !name.contains(['/', '-']))
    }) {
        if word != "cross-env" && word != "NODE_ENV=production" {
            more.push(word);
        }
    }
    if words.next()? != "node" {
        return None;
    }
    while let Some(option) = words.next_if(|word| word.starts_with('-')) {
        more.push(option);
        if TAKE_ONE.contains(&option) {
            more.extend(words.next());
        }
    }
    let script = words.next()?.to_owned();
    more.extend(words);
    Some((script, more.join(" ")))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::started;
    use crate::artifact::fixture::Project;
    use crate::config::Preset;

    /// A project that PM2 runs, with this package.json.
    fn project(package: &str) -> Project {
        let project = Project::new(Preset::Node).with_pm2(None);
        project.file("package.json", package);
        project
    }

    #[track_caller]
    fn script(project: &Project) -> String {
        project.collect().unwrap().script.unwrap()
    }

    #[test]
    fn a_start_line_names_its_file() {
        let named = |line: &str| started(line).map(|(script, more)| format!("{script}|{more}"));
        assert_eq!(named("node server.js").as_deref(), Some("server.js|"));
        assert_eq!(named("NODE_ENV=production node ./dist/app").as_deref(), Some("./dist/app|"));
        assert_eq!(named("cross-env A=1 node -r x --y=z a.js b").as_deref(), Some("a.js|A=1 -r x --y=z b"));
        for other in ["next start", "node", "npm run build && node a.js", "tsx src/a.ts", "", "node -e 'x'"] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn the_whole_project_ships_with_its_packages() {
        let project = project(r#"{"scripts":{"start":"node src/server"},"dependencies":{"a":"1"}}"#);
        project.file("src/server.js", "require('a'); require('./x')").file("src/x.js", "").file(".env", "secret");
        project.file("node_modules/a/index.js", "").link("node_modules/.bin/a", "../a/index.js");
        let artifact = project.collect().unwrap();
        assert_eq!((artifact.script.as_deref(), artifact.app_dir.as_str()), (Some("src/server.js"), ""));
        assert!(project.release().contains(&"node_modules/.bin/a -> ../a/index.js".into()));
        assert_eq!(artifact.warnings.len(), 1, "{:?}", artifact.warnings);
    }

    #[test]
    fn with_an_output_only_that_ships_and_the_packages_if_they_are_used() {
        let mut project = project(r#"{"main":"dist/main.mjs","dependencies":{"a":"1"}}"#);
        project.build.output = Some("./dist".into());
        project
            .file("dist/main.mjs", "import './chunk.mjs'")
            .file("dist/chunk.mjs", "import 'node:fs'; import 'fs/promises'");
        project.file("src/main.ts", "no").file("package-lock.json", "{}").file("node_modules/a/index.js", "");
        assert_eq!(script(&project), "dist/main.mjs");
        let bundle = ["dist/", "dist/chunk.mjs", "dist/main.mjs", "package-lock.json", "package.json"];
        let paths = |project: &Project| -> Vec<String> {
            project.release().iter().map(|line| line.split(" = ").next().unwrap().to_owned()).collect()
        };
        assert_eq!(paths(&project), bundle);
        project.file("dist/chunk.mjs", "import 'a/deep/file.js'");
        assert!(paths(&project).contains(&"node_modules/a/index.js".into()));
        // What is only tried counts where package.json asks for it.
        project.file("dist/chunk.mjs", "try { require('a') } catch {}");
        assert!(paths(&project).contains(&"node_modules/a/index.js".into()));
        project.file("package.json", r#"{"main":"dist/main.mjs"}"#);
        assert_eq!(paths(&project), bundle);
    }

    #[test]
    fn an_output_says_by_its_names_where_it_begins() {
        let mut project = project(r#"{"scripts":{"start":"vite dev"}}"#);
        project.build.output = Some("build/server.mjs".into());
        project.file("build/server.mjs", "").file("build/index.js", "").file("out/server/index.mjs", "");
        assert_eq!(script(&project), "build/server.mjs");
        project.build.output = Some("build".into());
        assert_eq!(script(&project), "build/server.mjs");
        project.build.output = Some("out".into());
        assert_eq!(script(&project), "out/server/index.mjs");
        project.build.output = Some("../out".into());
        assert!(project.refusals()[0].contains("outside of build.root"));
        project.build.output = Some("none".into());
        assert!(project.refusals()[0].contains("none`"));
    }

    #[test]
    fn a_start_that_node_cannot_run_needs_a_script() {
        let why = |package: &str| project(package).refusals().remove(0);
        assert!(why("{}").contains("no scripts.start"));
        assert!(why(r#"{"scripts":{"start":"tsx a.ts"}}"#).contains("`tsx a.ts`"));
        assert!(why(r#"{"scripts":{"start":"node dist/a.js"}}"#).contains("`dist/a.js`, and there is no such file"));
        assert!(why("{").contains("can't be read"));
        let mut project = project(r#"{"scripts":{"start":"node a.js"}}"#).with_pm2(Some("b.js"));
        project.file("a.js", "").file("b.js", "").file("out/x.js", "");
        assert_eq!(script(&project), "b.js");
        project = project.with_pm2(None);
        assert_eq!(script(&project), "a.js");
        project.build.output = Some("out".into());
        assert!(project.refusals()[0].contains("ships only"), "{:?}", project.refusals());
    }

    #[test]
    fn options_of_a_start_line_are_not_lost_silently() {
        let project = project(r#"{"scripts":{"start":"node --max-old-space-size=99 a.js"}}"#);
        project.file("a.js", "");
        assert!(project.collect().unwrap().warnings[0].contains("--max-old-space-size=99"));
    }
}
