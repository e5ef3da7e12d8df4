//! `shipit init`: looks at the project, asks what it can't know, writes `deploy.toml` and what was asked for beside it,
//! and names the next command. Never overwrites; asks only on a terminal and without `--yes`.

mod answers;
mod ask;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use self::answers::{answer, choose_app, known};
use self::ask::agreed;
use super::{env, print, print_json, terminal};
use crate::cli::{Global, InitArgs};
use crate::config::{Config, FILE};
use crate::error::{Error, Result};
use crate::init::{self, Answers, Beside, Project};
use crate::text::clean;

/// What happened, to be told at the end.
#[derive(Default)]
struct Told {
    wrote: Vec<String>,
    left: Vec<String>,
    /// What the user should know, with what to do about it.
    notes: Vec<(String, String)>,
}

impl Told {
    fn note(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.notes.push((what.into(), cure.into()));
    }
}

pub(super) fn run(global: &Global, args: InitArgs) -> Result<u8> {
    let cwd = std::env::current_dir().map_err(|source| Error::File { path: ".".into(), doing: "list", source })?;
    let file = file(global, &cwd);
    let here = file.parent().unwrap_or(&cwd).to_owned();
    let asks = terminal() && !args.yes && !global.json;
    let mut told = Told::default();
    let exists = file.exists();
    let root = match (&args.root, exists) {
        (Some(root), _) => root.trim_start_matches("./").trim_end_matches('/').to_owned(),
        (None, true) => existing_root(&file)?,
        (None, false) => choose_app(&here, asks)?,
    };
    let root = if root == "." { String::new() } else { root };
    let mut project = init::look(&here, &root)?;
    if asks {
        eprintln!("{} in {}", project.describe(), project.folder.display());
    }
    let answers = if exists { known(&file)? } else { answer(&mut project, &args, asks, &mut told)? };
    let wants = wants(&project, &here, &args, asks)?;
    let answers = settle(&project, answers, &wants, exists, &mut told)?;

    if exists {
        told.left.push(shown(&file, &cwd));
    } else {
        put(&file, &init::deploy_toml(&project, &answers), &cwd, &mut told)?;
    }
    beside(&project, &answers, &wants, &here, &cwd, &mut told)?;
    // What was just added is no longer missing.
    project.shape.missing.retain(|finding| !(wants.health && finding.cure.contains("--health")));
    tell(global, &project, &answers, &told);
    Ok(0)
}

/// Where the config goes.
fn file(global: &Global, cwd: &Path) -> PathBuf {
    let given = global.config.as_ref().map(|given| cwd.join(given));
    match given {
        Some(path) if path.is_dir() => path.join(FILE),
        Some(path) => path,
        None => cwd.join(FILE),
    }
}

/// The app's folder as an existing config names it.
fn existing_root(file: &Path) -> Result<String> {
    let stage = Config::stages(file)?.into_iter().next();
    let config = Config::load(file, stage.as_deref(), &env)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let relative = config.build.root.strip_prefix(folder).unwrap_or(&config.build.root);
    Ok(relative.to_string_lossy().into_owned())
}

/// What goes beside `deploy.toml`.
struct Wants {
    github: bool,
    ecosystem: bool,
    health: bool,
}

fn wants(project: &Project, here: &Path, args: &InitArgs, asks: bool) -> Result<Wants> {
    let route = project.shape.route.is_some();
    let mut wants = Wants { github: args.github, ecosystem: args.ecosystem, health: args.health };
    if asks && route && !wants.health {
        wants.health = agreed("add a health route at /api/health?", true)?;
    }
    let top = init::top(here);
    let on_github = top.join(".github").is_dir()
        || fs::read_to_string(top.join(".git/config")).is_ok_and(|text| text.contains("github.com"));
    if asks && on_github && !wants.github && !top.join(".github/workflows/deploy.yml").exists() {
        wants.github = agreed("add a GitHub workflow that deploys?", false)?;
    }
    Ok(wants)
}

/// Makes the answers fit what is added, and says what an existing config lacks for it.
fn settle(project: &Project, mut answers: Answers, wants: &Wants, exists: bool, told: &mut Told) -> Result<Answers> {
    if wants.health {
        match &project.shape.route {
            Some(route) if exists && answers.health.as_ref() != Some(&route.path) => {
                told.note(
                    format!("{FILE} does not ask the health route"),
                    format!("[health] path = \"{}\"", route.path),
                );
            }
            Some(route) => answers.health = Some(route.path.clone()),
            None => {
                let has = project.shape.health.as_ref().filter(|path| *path != "/");
                let what = match has {
                    Some(path) => format!("no health route was added: {path} is there already"),
                    None => format!(
                        "no health route was added: there is a template for Next.js only, not for {}",
                        project.shape.what
                    ),
                };
                told.note(what, if has.is_some() { "" } else { "answer 200 at a path and name it as health.path" });
            }
        }
    }
    if wants.ecosystem {
        let file = init::beside(project, &answers).ecosystem()?;
        if exists {
            told.note(
                format!("{FILE} does not use {}", file.path),
                format!("[service.pm2] ecosystem = \"{}\"", file.path),
            );
        } else if !project.folder.join(&file.path).exists() {
            answers.ecosystem = Some(file.path);
        }
    }
    Ok(answers)
}

fn beside(project: &Project, answers: &Answers, wants: &Wants, here: &Path, cwd: &Path, told: &mut Told) -> Result<()> {
    let templates = init::beside(project, answers);
    let mut files: Vec<(PathBuf, Beside)> = Vec::new();
    if wants.health {
        files.extend(templates.route().map(|file| (project.folder.clone(), file)));
    }
    if wants.ecosystem {
        files.push((project.folder.clone(), templates.ecosystem()?));
    }
    if wants.github {
        let top = init::top(here);
        let folder = here.strip_prefix(top).unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let file = templates.workflow(&folder);
        if file.text.contains("uses: OWNER/") {
            let what = format!("{} names the action as OWNER/shipit", file.path);
            told.note(what, "put the GitHub owner of the repository that holds shipit's action.yml in its place");
        }
        told.note(
            "the workflow needs the secret SHIPIT_SSH_KEY and the variable SHIPIT_KNOWN_HOSTS",
            "its first lines say what goes into them",
        );
        files.push((top.to_owned(), file));
    }
    for (folder, file) in files {
        put(&folder.join(&file.path), &file.text, cwd, told)?;
    }
    Ok(())
}

/// Writes a file that does not exist; one that does is left alone.
fn put(path: &Path, text: &str, cwd: &Path, told: &mut Told) -> Result<()> {
    let failed = |source| Error::File { path: path.to_owned(), doing: "write", source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match File::create_new(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(failed)?;
            told.wrote.push(shown(path, cwd));
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            told.left.push(shown(path, cwd));
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

fn shown(path: &Path, cwd: &Path) -> String {
    clean(&path.strip_prefix(cwd).unwrap_or(path).to_string_lossy(), 300)
}

fn tell(global: &Global, project: &Project, answers: &Answers, told: &Told) {
    let stage = answers.stages.first().map_or("production", |stage| stage.name.as_str());
    let config = global.config.as_ref().map_or(String::new(), |file| format!(" -c {}", file.display()));
    let next = format!("shipit deploy {stage}{config}");
    let missing = project.shape.missing.iter().map(|finding| (&finding.what, &finding.cure));
    if global.json {
        let pair = |(what, cure): (&String, &String)| json!({"what": what, "cure": cure});
        let notes: Vec<_> = told.notes.iter().map(|(what, cure)| pair((what, cure))).collect();
        let value = json!({
            "project": project.describe(), "preset": project.shape.preset, "app": answers.app, "wrote": told.wrote,
            "left": told.left, "missing": missing.map(pair).collect::<Vec<_>>(), "notes": notes, "next": next,
        });
        print_json(&value);
        return;
    }
    let mut text = String::new();
    if !global.quiet {
        text.push_str(&format!("found: {}\n", clean(&project.describe(), 200)));
    }
    for file in &told.wrote {
        text.push_str(&format!("wrote: {file}\n"));
    }
    for file in &told.left {
        text.push_str(&format!("left as it is: {file}, which exists already\n"));
    }
    let missing = missing.map(|(what, cure)| ("missing", what, cure));
    for (word, what, cure) in missing.chain(told.notes.iter().map(|(what, cure)| ("note", what, cure))) {
        text.push_str(&format!("{word}: {}\n", clean(what, 300)));
        if !cure.is_empty() {
            text.push_str(&format!("  cure: {}\n", clean(cure, 300)));
        }
    }
    text.push_str(&format!("next: {next}\n"));
    print(&text);
}
