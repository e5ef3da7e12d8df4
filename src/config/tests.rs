//! What the config accepts, what it makes of it, and every way it says no. Real files in a temporary folder.

#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use super::shown::GOOD;
use super::*;
use crate::error::{Error, Problem};

fn variables(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/me".into()),
        "SA_KEY" => Some("correct-horse".into()),
        "PEM" => Some("-----BEGIN KEY-----\nMIIEvQIBADANBg\n".into()),
        "PORT" => Some("4000".into()),
        _ => None,
    }
}

fn load(text: &str, stage: Option<&str>) -> crate::error::Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deploy.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file, stage, &variables)
}

fn good(text: &str) -> Config {
    load(text, None).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(text: &str) -> Vec<Problem> {
    match load(text, None) {
        Err(Error::Config { problems, .. }) => problems,
        other => panic!("{other:?}"),
    }
}

/// `GOOD` with the line `key` of the table `[table]` set to `value`.
fn with(table: &str, line: &str) -> String {
    let key = line.split(['=', ' ']).next().unwrap();
    let mut kept = String::new();
    let mut here = String::new();
    for old in GOOD.lines() {
        if old.starts_with('[') {
            here = old.to_owned();
        }
        if !(here == format!("[{table}]") && old.split(['=', ' ']).next() == Some(key)) {
            kept += &format!("{old}\n");
        }
    }
    if kept.contains(&format!("[{table}]")) {
        kept.replace(&format!("[{table}]"), &format!("[{table}]\n{line}"))
    } else {
        format!("{kept}\n[{table}]\n{line}\n")
    }
}

/// Asserts that this one line is one problem, at its place, whose text holds `says`.
#[track_caller]
fn refused(table: &str, line: &str, says: &str) {
    let text = with(table, line);
    let found = problems(&text);
    let [problem] = &found[..] else { panic!("{line}: {found:#?}") };
    let whole = format!("{} ({})", problem.what, problem.hint);
    assert!(whole.contains(says), "{line}: {whole}");
    let (at, column) = problem.at.unwrap_or_else(|| panic!("{line}: {problem:?} has no position"));
    let there = text.lines().nth(at - 1).unwrap();
    assert_eq!(there, line, "{line}: {problem:?} is elsewhere");
    assert!(column <= there.chars().count(), "{problem:?}");
}

#[test]
fn defaults_are_filled_in() {
    let config = good(GOOD);
    assert_eq!((config.app.as_str(), config.stage.as_str()), ("blog", "production"));
    assert_eq!(config.path, "/srv/blog");
    assert!(config.file.is_absolute() && config.build.root == config.file.parent().unwrap());
    let Service::Pm2(pm2) = &config.service else { panic!("{:?}", config.service) };
    assert_eq!((pm2.instances, pm2.mode, pm2.boot_test), (Some(1), Mode::Cluster, true));
    assert_eq!((pm2.kill_timeout_ms, pm2.listen_timeout_ms), (8000, 8000));
    assert_eq!(pm2.env["NODE_ENV"], "production");
    assert_eq!((config.health.expect.status, config.health.successes, config.health.assets), (200, 1, false));
    assert_eq!(config.health.within, Duration::from_secs(30));
    assert_eq!((config.release.keep, &config.release.access), (5, &Access::Private));
    assert_eq!((config.rollout.parallel, config.rollout.batch), (10, None));
    assert_eq!(config.rollout.silence, Duration::from_secs(15));
    assert_eq!(config.ssh, Ssh::default());
}

#[test]
fn without_a_service_releases_are_public_and_a_local_path_is_relative_to_the_file() {
    let config = good(
        "app = 'x'\nbuild = { preset = 'static', output = 'out' }\nstages.local = { hosts = ['local'], path = '../here' }",
    );
    assert_eq!(config.release.access, Access::Public);
    assert_eq!(config.hosts, [Host { name: "local".into(), address: Address::Local }]);
    let above = config.file.parent().and_then(Path::parent).unwrap();
    assert_eq!(Path::new(&config.path), above.join("here"));
}

#[test]
fn a_stage_is_laid_over_the_rest_key_by_key() {
    let config = good(&format!(
        "{GOOD}\napp = 'other'\n[stages.production.service.pm2]\ninstances = 'max'\nenv = {{ A = '1' }}\n[stages.production.ssh]\nport = 2222"
    ));
    let Service::Pm2(pm2) = &config.service else { panic!("{:?}", config.service) };
    assert_eq!((pm2.name.as_str(), pm2.port, pm2.instances), ("other", Some(3000), None));
    assert_eq!(pm2.env["A"], "1");
    assert_eq!(config.ssh.port, Some(2222));
}

#[test]
fn variables_expand_except_in_the_command() {
    let text = with("build", "command = 'echo ${SA_KEY} $$'").replace("3000", "'${PORT}'");
    let text = format!(
        "secrets = ['SA_KEY', 'UNSET']\n{text}[health]\nurl = 'http://x/${{NO:-d}}/$$'\n[ssh]\nidentity_file = '~/.ssh/k'\nknown_hosts = 'k'"
    );
    let config = good(&text);
    assert_eq!(config.build.command.as_deref(), Some("echo ${SA_KEY} $$"));
    assert_eq!(config.service.port(), Some(4000));
    assert_eq!(config.health.url.as_deref(), Some("http://x/d/$"));
    assert_eq!(config.secret_values, ["correct-horse"]);
    assert_eq!(config.ssh.identity_file.as_deref(), Some("/home/me/.ssh/k"));
    assert_eq!(config.ssh.known_hosts.unwrap(), config.file.with_file_name("k").to_string_lossy());
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let found = problems(
        "app = 3\n[build]\npresett = 'next'\npreset = 'next'\nenv = { A = '${NOPE}' }\n[service.pm2]\nprot = 1\nport = 70000\n[stages.p]\nhosts = []\n",
    );
    let seen: Vec<(Option<(usize, usize)>, &str)> = found.iter().map(|p| (p.at, p.key.as_str())).collect();
    assert_eq!(
        seen,
        [
            (Some((1, 7)), "app"),
            (Some((3, 1)), "build.presett"),
            (Some((5, 13)), "build.env.A"),
            (Some((7, 1)), "service.pm2.prot"),
            (Some((8, 8)), "service.pm2.port"),
            (Some((9, 9)), "stages.p.path"),
            (Some((10, 9)), "stages.p.hosts"),
        ]
    );
    assert_eq!(found[1].hint, "did you mean `preset`?");
    assert_eq!(found[3].hint, "did you mean `port`?");
    assert!(found[2].what.contains("NOPE"));
}

#[test]
fn unknown_keys_are_found_in_every_stage() {
    let found =
        problems(&format!("default_stage = 'production'\n{GOOD}[stages.other]\nhost = ['local']\n[hooks]\nx = 1\n"));
    let seen: Vec<&str> = found.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(seen, ["stages.other.host", "hooks.x"]);
    assert_eq!(found[0].hint, "did you mean `hosts`?");
    assert!(problems(&with("health", "port = 3"))[0].hint.contains("[service.pm2]"));
}

#[test]
fn bad_values_are_refused_where_they_stand() {
    refused("build", "preset = 'nest'", "did you mean \"next\"?");
    refused("build", "preset = 'rails'", "one of \"next\", \"astro\", \"node\", \"static\" and \"files\"");
    refused("build", "output = 'dist'", "no use with the preset next");
    refused("build", "include = [{ from = 'a', too = 'b' }]", "did you mean `to`?");
    refused("build", "include = ['../x']", "no place in the release");
    refused("build", "include = [{ from = 'a', to = '../b' }]", "`..`");
    refused("build", "exclude = ['a[']", "is no glob");
    refused("shared", "dirs = ['../up']", "`..`");
    refused("assets", "paths = ['../up']", "`..`");
    refused("assets", "keep = -1", "from 0 to 100");
    refused("shared", "dirs = ['/srv/blog/shared/up']", "not one on the host");
    refused("shared", "dirs = ['a', 'a/b']", "shared already");
    refused("shared", "files = '.env'", "write [\".env\"]");
    refused("service.pm2", "port = '3000'", "without quotes");
    refused("service.pm2", "port = 0", "from 1 to 65535");
    refused("service.pm2", "port = '${NOPE}'", "not set");
    refused("service.pm2", "instances = 'all'", "\"max\"");
    refused("service.pm2", "script = 'npm'", "server.js");
    refused("service.pm2", "script = './node_modules/.bin/next'", "server.js");
    refused("service.pm2", "node_args = ['--preserve-symlinks']", "mixes two releases");
    refused("service.pm2", "only = ['a']", "needs `ecosystem`");
    refused("service.pm2", "env = { PORT = '3000' }", "service.pm2.port");
    refused("service.pm2", "env = { 'A B' = '3000' }", "no name for a variable");
    refused("service.pm2", "env = { A = 3000 }", "write \"3000\"");
    refused("service.pm2", "env_file = '.env'", "shared.files");
    refused("service.pm2", "kill_timeout = 8", "\"8s\" or \"8ms\"");
    refused("service.pm2", "max_memory = 'lots'", "\"300M\"");
    refused("health", "path = 'api'", "must begin with /");
    refused("health", "url = 'example.com'", "http://");
    refused("health", "from = 'here'", "no `url`");
    refused("health", "within = '1 s'", "whole number and a unit");
    refused("health", "expect = { status = 99 }", "from 100 to 599");
    refused("health", "headers = { 'A b' = 'x' }", "no name for a header");
    refused("health", "headers = { A = \"x\\ny\" }", "line break");
    refused("release", "keep = 0", "from 1");
    refused("release", "prefix = '../x'", "release id");
    refused("release", "access = 'secret'", "\"private\" and \"public\"");
    refused("release", "access = { group = '-R' }", "group");
    refused("rollout", "batch = '0%'", "\"1%\" to \"100%\"");
    refused("rollout", "batch = 0", "from 1");
    refused("rollout", "silence = '1s'", "from 2s");
    refused("ssh", "options = ['ControlPath=x']", "must not set ControlPath");
    refused("ssh", "options = ['-oX']", "NAME=VALUE");
    refused("ssh", "proxy_jump = '-x'", "bastion");
    refused("ssh", "path = ['node/bin']", "must begin with / or ~/");
    refused("ssh", "path = ['/a:/b']", "must not hold a colon");
    refused("stages.production", "hosts = []", "is empty");
    refused("stages.production", "hosts = ['-oProxyCommand=x']", "must be a host");
    refused("stages.production", "hosts = ['a', 'u@a']", "two hosts called `a`");
    refused("stages.production", "hosts = ['a', { address = 'a', name = 'b' }]", "same machine twice");
    refused("stages.production", "hosts = ['::1']", "brackets");
    refused("stages.production", "hosts = [{ name = 'x' }]", "hosts.address` is missing");
    refused("stages.production", "path = 'srv/blog'", "absolute");
    refused("stages.production", "path = '~/blog'", "/home/deploy/blog");
    refused("stages.production", "path = '/srv/../etc'", "`..`");
    refused("stages.production", "path = '/'", "not /");
    refused("stages.production", "ask = 'yes'", "true or false");
    refused("stages.production", "app = 'all'", "else to PM2");
}

#[test]
fn combinations_that_can_not_work_are_refused() {
    let both = with("service.pm2", "script = 'a.js'\necosystem = 'e.cjs'\nmode = 'fork'");
    let keys: Vec<String> = problems(&both).into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["service.pm2.script", "service.pm2.mode"]);
    let fork = with("service.pm2", "mode = 'fork'\ninstances = 2");
    assert!(problems(&fork)[0].what.contains("share the port"));
    let drained_fork = with("service.pm2", "mode = 'fork'\ndrain = true");
    assert!(problems(&drained_fork)[0].what.contains("with no other worker"));
    assert!(problems(&with("service.pm2", "kill_timeout = '2s'"))[0].hint.contains("drain = false"));
    good(&with("service.pm2", "kill_timeout = '2s'\ndrain = false"));
    good(&with("service.pm2", "kill_timeout = '3s'"));
    good(&with("service.pm2", "mode = 'fork'\nscript = 'npm'\nargs = ['start']"));
    let files = GOOD.replace("'next'", "'files'").replace("\"next\"", "\"files\"\noutput = \"dist\"");
    assert_eq!(problems(&files)[0].key, "service.pm2.script");
    let no_port = with("health", "path = '/x'").replace("port = 3000", "");
    assert!(problems(&no_port)[0].hint.contains("service.pm2.port"));
    let secret = format!("secrets = ['SA_KEY']\n{}", with("service.pm2", "env = { K = 'a${SA_KEY}' }"));
    assert!(problems(&secret)[0].hint.contains("env_file"));
    let env_file = with("service.pm2", "env_file = './.env'");
    good(&format!("{env_file}[shared]\nfiles = ['.env']"));
}

#[test]
fn an_ecosystem_file_keeps_its_own_environment() {
    let config = good(&with("service.pm2", "ecosystem = './ecosystem.config.cjs'\nonly = ['web']"));
    let Service::Pm2(pm2) = &config.service else { panic!("{:?}", config.service) };
    assert_eq!((pm2.ecosystem.as_deref(), pm2.env.len()), (Some("ecosystem.config.cjs"), 0));
}

#[test]
fn each_line_of_a_secret_of_many_lines_is_masked() {
    let config = good(&format!("secrets = ['PEM']\n{GOOD}"));
    let mask = crate::secret::Mask::new(config.secret_values);
    assert_eq!(mask.apply("log: MIIEvQIBADANBg"), "log: ***");
}

#[test]
fn hooks_are_lines_or_tables_and_nothing_expands_in_them() {
    let text =
        with("hooks", "before_switch = ['a ${NOPE}', { run = 'b', on = 'first', timeout = '2m', undo = 'c ${NOPE}' }]");
    let hooks = good(&text).hooks;
    assert_eq!(hooks.before_switch[0], Hook { run: "a ${NOPE}".into(), ..Hook::default() });
    let (undo, timeout) = (Some("c ${NOPE}".into()), Duration::from_secs(120));
    assert_eq!(hooks.before_switch[1], Hook { run: "b".into(), on: On::First, timeout, undo, optional: false });
    refused("hooks", "before_switch = 'a'", "write [\"a\"]");
    refused("hooks", "before_switch = ['']", "empty");
    refused("hooks", "before_switch = [3]", "a line or a table with run");
    refused("hooks", "before_switch = [{ on = 'all' }]", "`hooks.before_switch.run` is missing");
    refused("hooks", "before_switch = [{ run = 'a', on = 'last' }]", "\"all\", \"first\" and \"here\"");
    refused("hooks", "after_switch = [{ run = 'a', undo = 'b' }]", "not a key");
}

#[test]
fn a_command_service_needs_its_way_back() {
    let text = GOOD.replace("[service.pm2]", "[service.command]\nstart = 'up $X ${NOPE}'\nrevert = 'up'");
    let Service::Command(command) = good(&text).service else { panic!("no command") };
    assert_eq!((command.start.as_str(), command.port, command.status), ("up $X ${NOPE}", Some(3000), None));
    assert_eq!(
        (command.start_timeout_ms, command.revert_timeout_ms, command.status_timeout_ms),
        (60_000, 60_000, 10_000)
    );
    let lacking = problems(&text.replace("\nrevert = 'up'", ""));
    assert_eq!((lacking[0].key.as_str(), lacking.len()), ("service.command.revert", 1));
    let both = format!("{text}[service.pm2]\nscript = 'a.js'\n");
    assert!(problems(&both)[0].what.contains("second service beside `command`"), "{:?}", problems(&both));
    assert_eq!(problems(&text.replace("port = 3000", "env = { PORT = '1' }"))[0].key, "service.command.env.PORT");
}

#[test]
fn absent_things_are_one_problem_each() {
    let keys = |text: &str| problems(text).into_iter().map(|p| p.key).collect::<Vec<_>>();
    assert_eq!(keys(""), ["stages", "app", "build.preset"]);
    assert_eq!(keys("app = 'x'\nbuild = 3\nstages = 'x'"), ["build", "stages"]);
    assert_eq!(keys("app = 'x'\nbuild.preset = 'next'\nstages.p = 1"), ["stages.p"]);
    assert_eq!(
        keys("app = 'x'\nbuild.preset = 'next'\nservice.systemd = {}\n[stages.p]\nhosts = ['a']\npath = '/x'"),
        ["service.systemd"]
    );
}

#[test]
fn syntax_errors_have_a_position_and_text_without_utf8_is_said() {
    let found = problems("app = 'x'\n[build\n");
    assert_eq!(found[0].at.map(|(line, _)| line), Some(2), "{found:?}");
    let found = problems("app = 'x'\napp = 'y'\n");
    assert!(found[0].what.contains("duplicate key"), "{found:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deploy.toml");
    std::fs::write(&file, b"app = '\xff'").unwrap();
    let error = Config::load(&file, None, &variables).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn the_stage_is_chosen_or_asked_for() {
    let two = format!("{GOOD}[stages.staging]\nhosts = ['b']\npath = '/b'\n");
    assert_eq!(load(&two, Some("staging")).unwrap().stage, "staging");
    assert_eq!(load(&format!("default_stage = 'staging'\n{two}"), None).unwrap().stage, "staging");
    let error = load(&two, None).unwrap_err();
    assert!(error.to_string().contains("production and staging"), "{error}");
    let error = load(&two, Some("stagin")).unwrap_err();
    assert_eq!((error.exit_code(), error.hint().as_str()), (2, "did you mean `staging`?"));
    assert_eq!(problems(&format!("default_stage = 'x'\n{two}"))[0].key, "default_stage");
    assert!(problems(&GOOD.replace("production", "20260321-140000-k3f8"))[0].what.contains("no name for a stage"));
}

#[test]
fn the_file_is_found_up_to_the_root_of_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    let deep = repo.join("apps/web");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(folder.path().join("deploy.toml"), GOOD).unwrap();
    assert!(find(None, &deep).is_err(), "without a repository only the folder itself counts");
    std::fs::create_dir(repo.join(".git")).unwrap();
    let error = find(None, &deep).unwrap_err();
    assert!(error.hint().contains("-c FILE"), "a file above the repository is not taken");
    std::fs::write(repo.join("deploy.toml"), GOOD).unwrap();
    assert_eq!(find(None, &deep).unwrap(), repo.join("deploy.toml"));
    assert_eq!(find(Some(Path::new("../..")), &deep).unwrap(), repo.join("deploy.toml"));
    assert!(find(Some(Path::new("none.toml")), &deep).is_err());
    assert_eq!(Config::stages(&repo.join("deploy.toml")).unwrap(), ["production"]);
}

const EXAMPLE: &str = include_str!("../../deploy.example.toml");

#[test]
fn the_example_loads_for_each_of_its_stages() {
    for stage in ["production", "staging"] {
        let config = load(EXAMPLE, Some(stage)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.stage, stage);
    }
}

#[test]
fn the_example_shows_every_key_and_no_other() {
    let whole: String = EXAMPLE
        .lines()
        .map(|line| {
            let shown =
                line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
            format!("{}\n", shown.unwrap_or(line))
        })
        .collect();
    let root = tree::parse(&whole).unwrap_or_else(|error| panic!("{error:?}"));
    let unknown: Vec<String> = keys::unknown(&root).into_iter().map(|unknown| unknown.key).collect();
    assert_eq!(unknown, Vec::<String>::new());
    for key in keys::KEYS {
        assert!(shown(&root, key), "deploy.example.toml does not show {key}");
    }
}

fn shown(node: &tree::Node, key: &str) -> bool {
    let (name, rest) = key.split_once('.').map_or((key, None), |(name, rest)| (name, Some(rest)));
    let below = |child: &tree::Node| rest.is_none_or(|rest| shown(child, rest));
    match name.strip_suffix("[]") {
        Some(name) => match node.get(name).map(|child| &child.value) {
            Some(tree::Value::List(items)) => items.iter().any(below),
            _ => false,
        },
        None if name == "*" => node.names().iter().filter_map(|name| node.get(name)).any(below),
        None => node.get(name).is_some_and(below),
    }
}

#[test]
fn what_the_example_calls_a_default_is_the_default() {
    let bare = good(GOOD);
    let mut table = "";
    for line in EXAMPLE.lines() {
        if let Some(name) = line.trim_start_matches('#').strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name;
        }
        let Some(line) = line.strip_prefix('#').filter(|line| !line.starts_with([' ', '#'])) else { continue };
        match (table, line.split(' ').next().unwrap()) {
            ("service.pm2", "mode" | "boot_test" | "kill_timeout" | "listen_timeout")
            | ("health", "timeout" | "interval" | "within" | "successes" | "soak")
            | ("rollout", "parallel" | "pause" | "silence") => {}
            _ => continue,
        }
        let config = good(&with(table, line));
        let differ = |a: String, b: String| assert_eq!(a, b, "{line} is not the default");
        differ(format!("{:?}", config.service), format!("{:?}", bare.service));
        differ(format!("{:?}", config.health), format!("{:?}", bare.health));
        differ(format!("{:?}", config.rollout), format!("{:?}", bare.rollout));
    }
}
