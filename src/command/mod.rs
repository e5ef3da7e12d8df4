//! One file per verb: from arguments to a run or a listing. What they share: loading the config, choosing hosts,
//! looking at hosts without a session, running a plan with a reporter.

mod build;
mod check;
mod cleanup;
mod deploy;
mod diff;
mod drift;
mod each;
mod hold;
mod init;
mod look;
mod recover;
mod releases;
mod rollback;
mod status;
mod unlock;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};

use crate::cli::{Cli, Global, Hosts, Verb};
use crate::config::{self, Address, Config};
use crate::engine::{self, Cancel, Outcome, Request, Wanted};
use crate::error::{Error, Result, unknown_word};
use crate::event::{EventKind, Events};
use crate::plan::{self, Plan};
use crate::remote::Facts;
use crate::report::{self, Kind, Look};
use crate::secret::Mask;
use crate::text::age;

/// Runs what was asked for; the exit code.
pub async fn run(cli: Cli) -> Result<u8> {
    let global = cli.global;
    match cli.verb {
        Verb::Init(args) => init::run(&global, args),
        Verb::Deploy(args) => deploy::run(&global, args).await,
        Verb::Rollback(args) => rollback::run(&global, args).await,
        Verb::Releases(place) => releases::run(&global, place).await,
        Verb::Status(place) => status::run(&global, place).await,
        Verb::Check(place) => check::run(&global, place).await,
        Verb::Recover(place) => recover::run(&global, place).await,
        Verb::Unlock(place) => unlock::run(&global, place).await,
        Verb::Hold(args) => hold::run(&global, args).await,
        Verb::Cleanup(args) => cleanup::run(&global, args).await,
        Verb::Build(args) => build::run(&global, args).await,
        Verb::Diff(args) => diff::run(&global, args).await,
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The stage's config, with only the hosts that were asked for.
fn load(global: &Global, stage: Option<&str>, hosts: &Hosts) -> Result<Config> {
    let here = std::env::current_dir().map_err(|source| Error::File { path: ".".into(), doing: "list", source })?;
    let file = config::find(global.config.as_deref(), &here)?;
    let mut config = Config::load(&file, stage, &env).map_err(|error| match error {
        // As a person here would call it.
        Error::Config { file, problems } => {
            Error::Config { file: file.strip_prefix(&here).unwrap_or(&file).to_owned(), problems }
        }
        other => other,
    })?;
    mask(&config).know();
    ssh_of_environment(&mut config, &env)?;
    if !hosts.only.is_empty() {
        let known: Vec<String> = config.hosts.iter().map(|host| host.name.clone()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for name in &hosts.only {
            if !known.contains(&name.as_str()) {
                return Err(unknown_word("host", name, &known));
            }
        }
        config.hosts.retain(|host| hosts.only.contains(&host.name));
    }
    Ok(config)
}

/// Key and host keys that a CI job was given for this run, before those of the config. A variable for host keys that is
/// set but empty says that there are none: better refused here than after a build.
fn ssh_of_environment(config: &mut Config, env: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    if let Some(file) = env("SHIPIT_IDENTITY_FILE").filter(|file| !file.is_empty()) {
        config.ssh.identity_file = Some(file);
    }
    let Some(file) = env("SHIPIT_KNOWN_HOSTS") else { return Ok(()) };
    if !file.is_empty() {
        config.ssh.known_hosts = Some(file);
        return Ok(());
    }
    let remote = config.hosts.iter().find(|host| host.address != Address::Local);
    match remote {
        Some(host) if config.ssh.known_hosts.is_none() => Err(Error::Usage {
            what: format!("nothing says which key {} has, so another machine could take its place", host.name),
            hint: "put the output of `ssh-keyscan SERVER`, compared with the server's own keys, into known-hosts"
                .into(),
        }),
        _ => Ok(()),
    }
}

fn mask(config: &Config) -> Mask {
    Mask::new(config.secret_values.iter().cloned())
}

/// Whether ssh and questions can reach a person.
fn terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && env("CI").is_none()
}

/// Who reads, by the options and the surroundings.
pub fn reporter(global: &Global) -> Kind {
    let shown = std::io::stderr().is_terminal();
    let color = report::colored(global.always_color(), shown, &env);
    let look = Look { verbose: global.verbose, quiet: global.quiet, color };
    let dumb = env("TERM").is_none_or(|term| term == "dumb");
    match () {
        () if global.json => Kind::Json,
        () if report::on_github() => Kind::Github(look),
        () if shown && !global.quiet && !dumb && env("CI").is_none() => Kind::Bars(look),
        () => Kind::Plain(look),
    }
}

/// Lines for stdout, fit for a terminal and without secrets: much of them is what hosts say of themselves. A reader that
/// went away is no failure.
fn print(text: &str) {
    write_out(&report::told(text));
}

/// A value for programs, on a line of its own; its texts are as fit for people as lines are.
fn print_json(value: &Value) {
    write_out(&format!("{}\n", report::json::clean(&Mask::known(), value)));
}

fn write_out(text: &str) {
    // What a host says of itself must not command the runner.
    let text = if report::on_github() { &report::github::inert(text) } else { text };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Tells why a host gave no answer, where its answer would have stood: it must not hide the others'. `code` becomes the
/// exit code. The host's entry for a JSON listing.
fn unheard(host: &str, error: &Error, code: &mut u8) -> Value {
    report::error(error);
    *code = (*code).max(error.exit_code());
    json!({"host": host, "error": error.to_string(), "hint": error.hint()})
}

/// Asks on the terminal where the stage wants it. `--yes` answers; without a terminal there is no answer.
fn confirm(config: &Config, what: &str, yes: bool) -> Result<()> {
    if !config.ask || yes {
        return Ok(());
    }
    let question = format!("{what} {} on {}?", config.app, config.stage);
    if !terminal() {
        return Err(Error::Unanswered { question });
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Error::Declined),
    }
}

/// Walks a request's plan and reports it; the exit code.
async fn perform(global: &Global, request: Request) -> Result<u8> {
    let mask = mask(&request.config);
    let (events, from) = Events::channel();
    let reporting = report::spawn(reporter(global), mask, from);
    let cancel =
        Cancel::listen().map_err(|source| Error::File { path: "signals".into(), doing: "listen to", source })?;
    let began = Instant::now();
    let outcome = engine::run(request, &events, cancel).await;
    tell_end(&events, &outcome, began.elapsed());
    drop(events);
    // The last lines must be out before the process is.
    let _ = reporting.await;
    Ok(outcome.code)
}

fn tell_end(events: &Events, outcome: &Outcome, took: Duration) {
    events.send(EventKind::Ended {
        code: outcome.code,
        state: outcome.state.clone(),
        release: outcome.release.clone(),
        previous: outcome.previous.clone(),
        error: outcome.error.as_ref().map(ToString::to_string),
        hint: Some(outcome.hint.clone()).filter(|hint| !hint.is_empty()),
        seconds: took.as_secs_f64(),
    });
}

/// Prints a plan; with hosts reachable, filled in with their facts. `wanted`: what a rollback goes back to.
async fn show_plan(
    global: &Global,
    config: &Config,
    mut plan: Plan,
    wanted: Option<&Wanted>,
    offline: bool,
) -> Result<u8> {
    let (mut code, mut findings, mut hosts, mut silent) = (0, Vec::new(), Vec::new(), Vec::new());
    if !offline {
        for seen in look::all(config, None).await {
            match seen.facts {
                Ok(facts) => {
                    let found = engine::findings(&seen.host, config, &facts);
                    findings.extend(found.into_iter().map(|found| (seen.host.name.clone(), found)));
                    hosts.push((seen.host.name, facts));
                }
                Err(error) => silent.push(unheard(&seen.host.name, &error, &mut code)),
            }
        }
        // Which one all can go back to is not known before all have answered.
        let target = match wanted {
            Some(wanted) if silent.is_empty() => Some(target(wanted, &hosts, config)?),
            _ => None,
        };
        plan::fill(&mut plan, &hosts, target.as_deref());
    }
    if global.json {
        let steps: Vec<_> = plan
            .steps
            .iter()
            .map(|planned| json!({"step": planned.step.word(), "how": planned.how, "skip": planned.skip, "undo": planned.step.undo().sentence()}))
            .collect();
        let findings: Vec<_> = findings
            .iter()
            .map(|(host, found)| json!({"host": host, "what": found.what, "cure": found.cure}))
            .collect();
        let plan = json!({
            "plan": plan.verb.word(),
            "title": plan.title,
            "steps": steps,
            "findings": findings,
            "unheard": silent,
        });
        print_json(&plan);
    } else {
        print(&plan.to_string());
        for (host, found) in &findings {
            print(&format!("{host}: would be refused: {}\n  cure: {}\n", found.what, found.cure));
        }
    }
    if !findings.is_empty() {
        code = code.max(1);
    }
    Ok(code)
}

/// What a rollback would make live, as the plan says it.
fn target(wanted: &Wanted, hosts: &[(String, Facts)], config: &Config) -> Result<String> {
    let facts: Vec<(&str, &Facts)> = hosts.iter().map(|(name, facts)| (name.as_str(), facts)).collect();
    let record = engine::choose(wanted, &facts, config)?;
    let commit = record.commit.as_ref().map_or(String::new(), |_| format!(", commit {}", record.short_commit()));
    let id = &record.id;
    Ok(format!("release {id}, made {}{commit}", age((Utc::now() - id.time()).num_seconds())))
}
