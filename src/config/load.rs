//! From a file to the resolved config of one stage: finds it, reads it, lays the stage over the rest, and reports
//! every problem at once. Reads nothing but that file; variables come through `env`.

use std::path::{Path, PathBuf};

use super::reader::{Reader, Section, problem};
use super::schema::{Address, Config, Service};
use super::tree::{self, Lines, Node, Position, Value};
use super::{check, exposed, keys, sections, stages, values};
use crate::error::{Error, Problem, Result, unknown_word};
use crate::release::ReleaseId;
use crate::secret::Mask;
use crate::text::{clean, list, nearest};

/// The name that is looked for.
pub const FILE: &str = "deploy.toml";

/// The config file: `explicit` (or the `deploy.toml` in it, where it is a folder), else the nearest one from `cwd`
/// up to the root of its git repository. Never beyond: a stray file in a home directory is nobody's intention.
pub fn find(explicit: Option<&Path>, cwd: &Path) -> Result<PathBuf> {
    if let Some(given) = explicit {
        let path = values::resolve(cwd, &given.to_string_lossy());
        let path = if path.is_dir() { path.join(FILE) } else { path };
        if path.is_file() {
            return Ok(path);
        }
        return Err(Error::Usage {
            what: format!("there is no config file {}", path.display()),
            hint: "name the file with -c FILE".into(),
        });
    }
    let depth = cwd.ancestors().position(|folder| folder.join(".git").exists()).unwrap_or(0);
    let mut folders = cwd.ancestors().take(depth + 1);
    match folders.find(|folder| folder.join(FILE).is_file()) {
        Some(folder) => Ok(folder.join(FILE)),
        None => Err(Error::Usage {
            what: format!("there is no {FILE} in {} or above it in the repository", cwd.display()),
            hint: format!("write one ({FILE} needs app, [build] and [stages.NAME]), or name it with -c FILE"),
        }),
    }
}

impl Config {
    /// The config of `stage` (or of the only or default one) in `file`. `env` gives the variables.
    pub fn load(file: &Path, stage: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
        let file = absolute(file)?;
        let (root, text) = read(&file)?;
        let reader = Reader::new(env);
        let unknown = keys::unknown(&root);
        for unknown in &unknown {
            reader.report(Some(unknown.at), &unknown.key, "is not a key that shipit knows", &unknown.hint);
        }
        stages::check(&reader, &root);
        let chosen = match choose(&reader, &root, stage) {
            Ok(chosen) => chosen,
            // What else is wrong is told with it, not after it.
            Err(Error::Usage { what, hint }) if reader.found() => {
                let mut problems = reader.into_problems();
                problems.push(problem(None, String::new(), what, hint));
                return Err(refused(file, &text, problems));
            }
            Err(error) => return Err(error),
        };
        let project = root.get("app").and_then(|app| match &app.value {
            Value::Text(app) => Some(app.clone()),
            _ => None,
        });
        let over = chosen.as_deref().and_then(|name| root.get("stages")?.get(name));
        let (merged, chosen) = match over {
            Some(over) if over.is_table() => (Node { key: String::new(), ..tree::merge(&root, over) }, chosen),
            Some(over) => {
                reader.mistyped(over, "a table", "hosts and path go into it");
                (root, None)
            }
            None => (root, None),
        };
        let mut config = resolve(&reader, &merged, file, chosen);
        config.project = project.unwrap_or_else(|| config.app.clone());
        let mut problems = reader.into_problems();
        // A mistyped key is one mistake, not two.
        let meant = |key: &str| unknown.iter().any(|unknown| unknown.meant.as_deref() == Some(key));
        problems.retain(|problem| !(problem.what.ends_with("is missing") && meant(&problem.key)));
        if problems.is_empty() {
            return Ok(config);
        }
        // An expanded value may be told, and a secret may be in it.
        let mask = Mask::new(config.secret_values);
        let masked =
            |problem: Problem| Problem { what: mask.apply(&problem.what), hint: mask.apply(&problem.hint), ..problem };
        Err(refused(config.file, &text, problems.into_iter().map(masked).collect()))
    }

    /// The stages' names in the order of the file.
    pub fn stages(file: &Path) -> Result<Vec<String>> {
        let (root, _) = read(&absolute(file)?)?;
        Ok(stage_names(&root))
    }
}

fn absolute(file: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(file);
    path.map_err(|source| Error::File { path: file.to_owned(), doing: "read", source })
}

fn read(file: &Path) -> Result<(Node, String)> {
    let bytes = std::fs::read(file).map_err(|source| Error::File { path: file.to_owned(), doing: "read", source })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let what = "the file is not UTF-8 text".to_owned();
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let at = Lines::new(&before).position(before.len()..before.len());
        refused(file.to_owned(), &before, vec![problem(Some(at), String::new(), what, "save it as UTF-8".into())])
    })?;
    match tree::parse(&text) {
        Ok(root) => Ok((root, text)),
        Err(broken) => {
            let shown = |(at, what): (Option<Position>, String)| {
                let what = what.lines().map(str::trim).collect::<Vec<_>>().join(", ");
                problem(at, String::new(), format!("this is not TOML: {}", clean(&what, 200)), String::new())
            };
            Err(refused(file.to_owned(), &text, broken.into_iter().map(shown).collect()))
        }
    }
}

/// The error with all problems of `file`, each with its line of `text`.
fn refused(file: PathBuf, text: &str, mut problems: Vec<Problem>) -> Error {
    for problem in &mut problems {
        let line = problem.at.and_then(|(line, _)| text.lines().nth(line - 1));
        problem.source = line.unwrap_or_default().to_owned();
    }
    Error::Config { file, problems }
}

fn stage_names(root: &Node) -> Vec<String> {
    root.get("stages").map(Node::names).unwrap_or_default().into_iter().map(str::to_owned).collect()
}

/// The stage to use. None only where a problem was recorded instead.
fn choose(reader: &Reader<'_>, root: &Node, asked: Option<&str>) -> Result<Option<String>> {
    let section = Section::root(reader, root);
    let names = stage_names(root);
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if name.is_empty() || name.starts_with('-') || name.contains(odd) || name.parse::<ReleaseId>().is_ok() {
            section.section("stages").wrong(name, "is no name for a stage", "a plain word, e.g. production");
        }
    }
    let default = section.string("default_stage");
    if let Some(default) = &default
        && !names.contains(default)
    {
        let hint = match nearest(default, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => String::new(),
            None => format!("the stages are {}", list(&known)),
        };
        section.wrong("default_stage", format!("is \"{}\", which is no stage", clean(default, 40)), hint);
    }
    if names.is_empty() {
        section.section("stages").none("has no stage", "add [stages.production] with hosts and path");
        return Ok(None);
    }
    match (asked, default, &known[..]) {
        (Some(asked), _, _) if known.contains(&asked) => Ok(Some(asked.to_owned())),
        (Some(asked), _, _) => Err(unknown_word("stage", asked, &known)),
        (None, Some(default), _) => Ok(Some(default).filter(|default| names.contains(default))),
        (None, None, [only]) => Ok(Some((*only).to_owned())),
        (None, None, _) => Err(Error::Usage {
            what: format!("which stage? There are {}", list(&known)),
            hint: format!("name one, or write default_stage = \"{}\" in {FILE}", known[0]),
        }),
    }
}

/// The config that the merged tree says; complete only where no problem was recorded.
fn resolve(reader: &Reader<'_>, merged: &Node, file: PathBuf, stage: Option<String>) -> Config {
    let root = Section::root(reader, merged);
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    if !root.has("app") {
        reader.report(None, "app", "is missing", "the app's name, e.g. app = \"blog\"");
    }
    let app = root.parsed("app", sections::app).unwrap_or_default();
    let build = sections::build(&root.section("build"), &folder);
    let mut service = sections::service(&root.section("service"), &app, build.preset);
    let proxy = super::proxy::read(&root.section("proxy"), &app);
    // Which of the two it is, the host knows.
    if let (Some(proxy), Service::Pm2(pm2)) = (&proxy, &mut service) {
        pm2.port = Some(proxy.ports[0]);
    }
    let mut config = Config {
        build,
        shared: sections::shared(&root.section("shared")),
        health: sections::health(&root.section("health")),
        release: sections::release(&root.section("release"), &service),
        assets: super::assets::read(&root.section("assets")),
        rollout: sections::rollout(&root.section("rollout")),
        hooks: super::hooks::read(&root.section("hooks")),
        ssh: sections::ssh(&root.section("ssh"), &folder),
        hosts: Vec::new(),
        path: String::new(),
        ask: root.flag("ask").unwrap_or(false),
        branch: root.string("branch"),
        secret_values: secrets(&root),
        exposed: exposed::names(merged),
        service,
        proxy,
        project: app.clone(),
        app,
        file,
        stage: stage.clone().unwrap_or_default(),
    };
    if let Some(stage) = stage {
        // These stand in the stage only, so what is absent is named as the stage's.
        let at = merged.named_at;
        for (name, hint) in [("hosts", "hosts = [\"deploy@web1\"], or [\"local\"]"), ("path", "path = \"/srv/blog\"")] {
            if !root.has(name) {
                reader.report(Some(at), &format!("stages.{stage}.{name}"), "is missing", hint);
            }
        }
        config.hosts = sections::hosts(&root);
        let path = root.string("path");
        if path.as_deref() == Some("") {
            root.wrong("path", "must not be empty", "");
        }
        config.path = path.unwrap_or_default();
    }
    check::check(&root, &config);
    let remote = config.hosts.iter().any(|host| host.address != Address::Local);
    config.path = match remote {
        true => config.path.trim_end_matches('/').to_owned(),
        false => values::resolve(&folder, &config.path).to_string_lossy().into_owned(),
    };
    config
}

fn secrets(root: &Section<'_>) -> Vec<String> {
    let names = root.parsed_list("secrets", |name| {
        if values::is_variable(name) {
            return Ok(name.to_owned());
        }
        let hint = "list the variables' names, e.g. [\"SA_KEY\"], not their values";
        Err(("must name a variable".into(), hint.into()))
    });
    let values = names.into_iter().filter_map(|(name, _)| root.reader.variable(&name));
    // Output is masked line by line, and a key in PEM form has many lines.
    let with_lines = values.flat_map(|value| match value.contains('\n') {
        true => value.lines().map(str::to_owned).chain([value.clone()]).collect(),
        false => vec![value],
    });
    with_lines.filter(|value| !value.trim().is_empty()).collect()
}
