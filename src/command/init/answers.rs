//! What `init` can't know of a project: from flags, an existing PM2 file, the terminal or the defaults, in this order.
//! Each value is judged by the loader of `deploy.toml` before it is taken.

use std::fs;
use std::path::Path;

use super::Told;
use super::ask::ask;
use crate::cli::InitArgs;
use crate::command::env;
use crate::config::{Config, FILE};
use crate::error::{Error, Result};
use crate::init::{self, Answers, Ecosystem, Project, Stage};
use crate::text::{clean, list};

/// The app's folder: the only one there is, or the one that is chosen.
pub(super) fn choose_app(here: &Path, asks: bool) -> Result<String> {
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

/// What an existing config says about what goes beside it.
pub(super) fn known(file: &Path) -> Result<Answers> {
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
pub(super) fn answer(project: &mut Project, args: &InitArgs, asks: bool, told: &mut Told) -> Result<Answers> {
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
    let theirs = ecosystem.map(|ecosystem| ecosystem.stages).unwrap_or_default();
    answers.stages = stages(args, &theirs, &answers.app, asks)?;
    answers.env_file = [".env", ".env.production"].iter().any(|name| project.folder.join(name).is_file());
    if theirs.iter().any(|theirs| answers.stages.iter().any(|stage| stage.path == theirs.path)) {
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

/// `theirs`: those of a PM2 file.
fn stages(args: &InitArgs, theirs: &[Stage], app: &str, asks: bool) -> Result<Vec<Stage>> {
    let wanted = |stage: &&Stage| args.stage.as_ref().is_none_or(|name| *name == stage.name) && !stage.hosts.is_empty();
    let taken: Vec<&Stage> = theirs.iter().filter(wanted).collect();
    if args.hosts.is_empty() && !taken.is_empty() {
        let moved = |stage: &Stage| Stage { path: args.path.clone().unwrap_or(stage.path.clone()), ..stage.clone() };
        let stages: Vec<Stage> = taken.into_iter().map(moved).collect();
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
            // The key comes first, in backquotes; here it would name what the user never wrote.
            let bare = |what: &str| what.split_once("` ").map_or(what, |(_, rest)| rest).to_owned();
            let first = problems.into_iter().next();
            let (what, hint) = first.map_or_else(Default::default, |problem| (bare(&problem.what), problem.hint));
            Error::Usage { what: format!("{from}: {what}"), hint }
        }
        other => other,
    }
}
