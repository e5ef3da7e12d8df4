//! `shipit init`: looks at the project, asks what it can't know, writes `deploy.toml` and what was asked for beside it,
//! and names the next command. Never overwrites; asks only on a terminal and without `--yes`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{env, print, terminal};
use crate::cli::{Global, InitArgs};
use crate::config::{Config, FILE};
use crate::error::{Error, Problem, Result};
use crate::init::{self, Answers, Beside, Ecosystem, Project, Stage, Target};
use crate::text::{clean, list};

/// What happened, to be told at the end.
#[derive(Default)]
struct Told {
    wrote: Vec<String>,
    left: Vec<String>,
    /// What is missing, with its cure.
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
    let wants = wants(&project, &args, asks)?;
    let answers = settle(&project, answers, &wants, exists, &mut told)?;

    if exists {
        told.left.push(shown(&file, &cwd));
    } else {
        put(&file, &init::deploy_toml(&project, &answers), &cwd, &mut told)?;
    }
    beside(&project, &answers, &wants, &here, &cwd, &mut told)?;
    for finding in &project.shape.missing {
        // What was just added is no longer missing.
        if !(wants.health && finding.cure.contains("--health")) {
            told.note(&finding.what, &finding.cure);
        }
    }
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

/// The app's folder: the only one there is, or the one that is chosen.
fn choose_app(here: &Path, asks: bool) -> Result<String> {
    let apps = init::apps(here);
    match &apps[..] {
        [] => Ok(String::new()),
        [only] => Ok(only.clone()),
        _ => {
            let names: Vec<&str> = apps.iter().map(|app| if app.is_empty() { "." } else { app }).collect();
            let what = format!("which app? This workspace has {}", list(&names));
            if !asks {
                let hint = format!("name one: shipit init --root {}", names.last().unwrap_or(&"."));
                return Err(Error::Usage { what, hint });
            }
            loop {
                let answer = ask(&what, Some(names[0]))?;
                if names.contains(&answer.as_str()) {
                    return Ok(answer);
                }
                eprintln!("{answer} is none of them");
            }
        }
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

/// What an existing config says about what goes beside it.
fn known(file: &Path) -> Result<Answers> {
    let mut answers = Answers::default();
    for name in Config::stages(file)? {
        let config = Config::load(file, Some(&name), &env)?;
        answers.app = config.app;
        answers.health = config.health.path;
        answers.stages.push(Stage { name, path: config.path, branch: config.branch, ..Stage::default() });
    }
    Ok(answers)
}

/// What `deploy.toml` needs and the project does not say.
fn answer(project: &mut Project, args: &InitArgs, asks: bool, told: &mut Told) -> Result<Answers> {
    let mut answers = Answers::default();
    let found = Ecosystem::find(&project.folder);
    let ecosystem = match found {
        Some(Ok(ecosystem)) => Some(ecosystem),
        Some(Err(why)) => {
            told.note(why, "its settings are not in deploy.toml; see [service.pm2] and [stages.NAME]");
            None
        }
        None => None,
    };
    let named = ecosystem.as_ref().and_then(|ecosystem| ecosystem.name.clone());
    let app = named.unwrap_or_else(|| project.name.clone());
    answers.app = given("the app's name", args.app.as_deref(), Some(&app), asks, |text| Answers {
        app: text.to_owned(),
        stages: vec![Stage { name: "x".into(), hosts: vec!["local".into()], path: "x".into(), ..Stage::default() }],
        ..Answers::default()
    })
    .map_err(|error| named_flag(error, "--app"))?;
    if let Some(ecosystem) = &ecosystem {
        take_over(project, ecosystem, &mut answers, told);
    }
    let targets = ecosystem.map(|ecosystem| ecosystem.targets).unwrap_or_default();
    answers.stages = stages(args, &targets, &answers.app, asks)?;
    answers.env_file = [".env", ".env.production"].iter().any(|name| project.folder.join(name).is_file());
    if targets.iter().any(|target| answers.stages.iter().any(|stage| stage.path == target.path)) {
        told.note(
            "`pm2 deploy` keeps a link `current` to its own `source` folder in the path that was taken over",
            "the first deploy stops before it changes anything, and prints the commands that move it aside; \
             or name a path of its own in deploy.toml",
        );
    }
    Ok(answers)
}

/// An ecosystem file's settings: the file itself where a release can use it, else what can be said in `deploy.toml`.
fn take_over(project: &mut Project, ecosystem: &Ecosystem, answers: &mut Answers, told: &mut Told) {
    let (Some(runs), Some(theirs)) = (&mut project.shape.runs, &ecosystem.runs) else { return };
    runs.port = theirs.port;
    if project.shape.preset == "node" && ecosystem.usable {
        answers.ecosystem = Some(ecosystem.file.clone());
        return;
    }
    runs.instances = theirs.instances;
    runs.max_memory = theirs.max_memory.clone();
    if ecosystem.apps > 1 {
        let what =
            format!("{} has {} apps; deploy.toml is for the first, {}", ecosystem.file, ecosystem.apps, answers.app);
        told.note(what, "write a deploy.toml for each of the others, with a path of its own");
    }
    if !ecosystem.env.is_empty() {
        let what = format!("{} sets {}, which deploy.toml does not", ecosystem.file, list(&ecosystem.env));
        told.note(what, "put them into [service.pm2] env, or the secret ones into a shared file named by env_file");
    }
}

fn stages(args: &InitArgs, targets: &[Target], app: &str, asks: bool) -> Result<Vec<Stage>> {
    let wanted = |target: &&Target| args.stage.as_ref().is_none_or(|stage| *stage == target.stage);
    let taken: Vec<&Target> = targets.iter().filter(wanted).filter(|target| !target.hosts.is_empty()).collect();
    if args.hosts.is_empty() && !taken.is_empty() {
        let stage = |target: &&Target| Stage {
            name: target.stage.clone(),
            hosts: target.hosts.clone(),
            path: args.path.clone().unwrap_or_else(|| target.path.clone()),
            branch: target.branch.clone(),
            identity: target.identity.clone(),
        };
        let stages: Vec<Stage> = taken.iter().map(stage).collect();
        for stage in &stages {
            judge(&Answers { app: app.to_owned(), stages: vec![stage.clone()], ..Answers::default() })
                .map_err(|error| named_flag(error, "the PM2 file's deploy block"))?;
        }
        return Ok(stages);
    }
    let name = args.stage.clone().unwrap_or_else(|| "production".into());
    let whole = |hosts: Vec<String>, path: &str| Answers {
        app: app.to_owned(),
        stages: vec![Stage { name: name.clone(), hosts, path: path.to_owned(), ..Stage::default() }],
        ..Answers::default()
    };
    let split = |text: &str| text.split([',', ' ']).filter(|host| !host.is_empty()).map(str::to_owned).collect();
    let hosts = Some(args.hosts.join(",")).filter(|hosts| !hosts.is_empty());
    if hosts.is_none() && !asks {
        return Err(Error::Usage {
            what: "to which server? Nothing in the project says it, and there is no terminal to ask in".into(),
            hint: "shipit init --host deploy@server.example.com".into(),
        });
    }
    let hosts = given("the server, as user@host", hosts.as_deref(), None, asks, |text| whole(split(text), "/srv/x"));
    let hosts: Vec<String> = split(&hosts.map_err(|error| named_flag(error, "--host"))?);
    let local = hosts.iter().all(|host| host == "local");
    let usual = if local { format!(".shipit-local/{app}") } else { format!("/srv/{app}") };
    let path =
        given("the app's home there", args.path.as_deref(), Some(&usual), asks, |text| whole(hosts.clone(), text));
    let path = path.map_err(|error| named_flag(error, "--path"))?;
    Ok(whole(hosts, &path).stages)
}

/// What goes beside `deploy.toml`.
struct Wants {
    github: bool,
    ecosystem: bool,
    health: bool,
}

fn wants(project: &Project, args: &InitArgs, asks: bool) -> Result<Wants> {
    let route = project.shape.route.is_some();
    let mut wants = Wants { github: args.github, ecosystem: args.ecosystem, health: args.health };
    if asks && route && !wants.health {
        wants.health = agreed("add a health route at /api/health?", true)?;
    }
    let top = init::top(&project.folder);
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
    let next = format!("shipit deploy {stage}");
    if global.json {
        let missing: Vec<_> = told.notes.iter().map(|(what, cure)| json!({"what": what, "cure": cure})).collect();
        let value = json!({
            "project": project.describe(), "preset": project.shape.preset, "app": answers.app,
            "wrote": told.wrote, "left": told.left, "missing": missing, "next": next,
        });
        print(&format!("{value}\n"));
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
    for (what, cure) in &told.notes {
        text.push_str(&format!("missing: {}\n", clean(what, 300)));
        if !cure.is_empty() {
            text.push_str(&format!("  cure: {}\n", clean(cure, 300)));
        }
    }
    text.push_str(&format!("next: {next}\n"));
    print(&text);
}

/// The value of a flag, or what is answered, or the default. `whole` puts it into a config, which is judged.
fn given(
    what: &str,
    flag: Option<&str>,
    usual: Option<&str>,
    asks: bool,
    whole: impl Fn(&str) -> Answers,
) -> Result<String> {
    if let Some(value) = flag.or(usual.filter(|_| !asks)) {
        judge(&whole(value))?;
        return Ok(value.to_owned());
    }
    loop {
        let answer = ask(what, usual)?;
        match judge(&whole(&answer)) {
            Ok(()) => return Ok(answer),
            Err(error) => eprintln!("{}", named_flag(error, &format!("`{}`", clean(&answer, 80)))),
        }
    }
}

/// What the loader of `deploy.toml` says to these answers.
fn judge(answers: &Answers) -> Result<()> {
    let folder =
        tempfile::tempdir().map_err(|source| Error::File { path: std::env::temp_dir(), doing: "write", source })?;
    let project = Project::of_files(folder.path());
    let file = folder.path().join(FILE);
    fs::write(&file, init::deploy_toml(&project, answers)).map_err(|source| Error::File {
        path: file.clone(),
        doing: "write",
        source,
    })?;
    let stage = answers.stages.first().map(|stage| stage.name.as_str());
    Config::load(&file, stage, &env).map(|_| ())
}

/// A problem of a file that does not exist yet, as one of where its value came from.
fn named_flag(error: Error, from: &str) -> Error {
    match error {
        Error::Config { problems, .. } => {
            let first = problems.into_iter().next();
            let (what, hint) = first.map_or_else(Default::default, |Problem { key, what, hint, .. }| {
                (
                    what.strip_prefix(&key).map_or(what.clone(), |rest| rest.trim_start_matches('`').trim().to_owned()),
                    hint,
                )
            });
            Error::Usage { what: format!("{from}: {what}"), hint }
        }
        other => other,
    }
}

/// One line from the terminal; the default for an empty one.
fn ask(what: &str, usual: Option<&str>) -> Result<String> {
    loop {
        match usual {
            Some(usual) => eprint!("{what} [{usual}]: "),
            None => eprint!("{what}: "),
        }
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        let answer = line.trim();
        match (read, answer, usual) {
            (Ok(0) | Err(_), ..) => return Err(Error::Unanswered { question: format!("{what}?") }),
            (Ok(_), "", Some(usual)) => return Ok(usual.to_owned()),
            (Ok(_), "", None) => {}
            (Ok(_), answer, _) => return Ok(answer.to_owned()),
        }
    }
}

fn agreed(what: &str, usual: bool) -> Result<bool> {
    let answer = ask(what, Some(if usual { "Y/n" } else { "y/N" }))?;
    Ok(match answer.as_str() {
        "y" | "Y" | "yes" => true,
        "n" | "N" | "no" => false,
        _ => usual,
    })
}
