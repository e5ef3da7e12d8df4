//! Every key of `deploy.toml`, in one table: the reader refuses what is not in it, and a test holds
//! `deploy.example.toml` against it. Knows names only; what a value may be is said where it is read.

use super::tree::{Node, Position, Value};
use crate::text::{clean, list, nearest};

/// `*` stands for any name, `[]` for the tables of an array. A table is known by the keys below it.
pub(super) const KEYS: &[&str] = &[
    "app",
    "secrets",
    "default_stage",
    "build.preset",
    "build.root",
    "build.command",
    "build.output",
    "build.env.*",
    "build.include[].from",
    "build.include[].to",
    "build.exclude",
    "shared.dirs",
    "shared.files",
    "service.pm2.script",
    "service.pm2.ecosystem",
    "service.pm2.only",
    "service.pm2.ecosystem_env",
    "service.pm2.port",
    "service.pm2.instances",
    "service.pm2.mode",
    "service.pm2.env.*",
    "service.pm2.env_file",
    "service.pm2.boot_test",
    "service.pm2.node_args",
    "service.pm2.args",
    "service.pm2.max_memory",
    "service.pm2.kill_timeout",
    "service.pm2.listen_timeout",
    "service.pm2.drain",
    "service.command.start",
    "service.command.revert",
    "service.command.status",
    "service.command.stop",
    "service.command.port",
    "service.command.env.*",
    "service.command.env_file",
    "service.command.start_timeout",
    "service.command.revert_timeout",
    "service.command.status_timeout",
    "proxy.nginx.ports",
    "proxy.nginx.upstream",
    "proxy.nginx.test",
    "proxy.nginx.reload",
    "proxy.nginx.shift",
    "proxy.nginx.pause",
    "proxy.nginx.drain",
    "proxy.nginx.retire",
    "proxy.caddy.ports",
    "proxy.caddy.upstream",
    "proxy.caddy.test",
    "proxy.caddy.reload",
    "proxy.caddy.shift",
    "proxy.caddy.pause",
    "proxy.caddy.drain",
    "proxy.caddy.retire",
    "health.path",
    "health.url",
    "health.from",
    "health.headers.*",
    "health.expect.status",
    "health.expect.body",
    "health.expect.json.*",
    "health.timeout",
    "health.interval",
    "health.within",
    "health.successes",
    "health.soak",
    "health.assets",
    "release.keep",
    "release.prefix",
    "release.access.group",
    "release.reuse",
    "release.mutable",
    "assets.keep",
    "assets.paths",
    "rollout.parallel",
    "rollout.batch",
    "rollout.pause",
    "rollout.silence",
    "hooks.before_switch[].run",
    "hooks.before_switch[].on",
    "hooks.before_switch[].timeout",
    "hooks.before_switch[].undo",
    "hooks.before_switch[].optional",
    "hooks.after_switch[].run",
    "hooks.after_switch[].on",
    "hooks.after_switch[].timeout",
    "hooks.after_switch[].optional",
    "ssh.port",
    "ssh.identity_file",
    "ssh.known_hosts",
    "ssh.proxy_jump",
    "ssh.options",
    "ssh.path",
    "stages.*.hosts[].address",
    "stages.*.hosts[].name",
    "stages.*.path",
    "stages.*.ask",
    "stages.*.branch",
];

/// Top-level keys that a stage can't override: they are read before a stage is chosen.
const ONCE: [&str; 3] = ["secrets", "default_stage", "stages"];

/// One unknown key: where, its dotted name, what to write instead, and the whole key where one is near.
pub(super) struct Unknown {
    pub(super) at: Position,
    pub(super) key: String,
    pub(super) hint: String,
    pub(super) meant: Option<String>,
}

/// Every key of the file that is not in the table, in all stages.
pub(super) fn unknown(root: &Node) -> Vec<Unknown> {
    let mut found = Vec::new();
    walk(root, &mut Vec::new(), &mut found);
    found
}

fn walk<'n>(node: &'n Node, path: &mut Vec<&'n str>, found: &mut Vec<Unknown>) {
    match &node.value {
        Value::List(items) => {
            for item in items.iter().filter(|item| matches!(item.value, Value::Table(_))) {
                walk(item, path, found);
            }
        }
        Value::Table(entries) => {
            let known = names(path);
            // A plain value that was given as a table is a wrong type; the reader says so.
            if known.is_empty() {
                return;
            }
            for (name, child) in entries {
                let pattern = if known.contains(&name.as_str()) {
                    name.as_str()
                } else if known.contains(&"*") {
                    "*"
                } else {
                    let key = clean(&child.key, 80);
                    let table = child.key.strip_suffix(name.as_str()).unwrap_or_default();
                    let meant = nearest(name, known.iter().copied()).map(|near| format!("{table}{near}"));
                    found.push(Unknown { at: child.named_at, key, hint: hint(name, &known), meant });
                    continue;
                };
                path.push(pattern);
                walk(child, path, found);
                path.pop();
            }
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::Date(_) => {}
    }
}

/// The names that may stand in the table at `path`, where a stage's name is written `*`.
fn names(path: &[&str]) -> Vec<&'static str> {
    let mut names = below(path);
    if let ["stages", "*", rest @ ..] = path {
        names.extend(below(rest).into_iter().filter(|name| !rest.is_empty() || !ONCE.contains(name)));
    }
    names
}

fn below(path: &[&str]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in KEYS {
        let mut segments = key.split('.').map(|segment| segment.trim_end_matches("[]"));
        if path.iter().all(|part| segments.next() == Some(part))
            && let Some(name) = segments.next()
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn hint(name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let elsewhere = KEYS.iter().find_map(|key| key.rsplit_once('.').filter(|(_, last)| *last == name));
    match elsewhere {
        Some((table, _)) => format!("`{name}` belongs in [{}]", table.replace('*', "NAME").replace("[]", "")),
        None => format!("known here: {}", list(known)),
    }
}
