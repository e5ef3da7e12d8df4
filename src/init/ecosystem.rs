//! A PM2 ecosystem file: its apps, and its `deploy` block with hosts, path and branch. JavaScript is read by the local
//! node, since only running it tells what it says; without node, or when it fails, the file is named and left alone.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::files::{first, read};
use super::shape::Runs;
use super::write::Stage;
use crate::text::clean;

const NAMES: [&str; 8] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.json",
    "pm2.config.js",
    "pm2.config.cjs",
    "pm2.json",
];
const READER: &str = include_str!("ecosystem.cjs");
/// A config that takes longer does more than say something.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an ecosystem file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ecosystem {
    /// Its name in the project.
    pub file: String,
    /// The app's name in PM2.
    pub name: Option<String>,
    /// What its settings say about how it runs; `script` is as it is written there.
    pub runs: Option<Runs>,
    /// Whether a release can use the file as it is: relative paths, and a script that is no package manager's.
    pub usable: bool,
    /// Names of variables that it sets, `PORT` and `NODE_ENV` not counted.
    pub env: Vec<String>,
    /// How many apps it has.
    pub apps: usize,
    /// Its `deploy` block, each environment as a stage.
    pub stages: Vec<Stage>,
}

impl Ecosystem {
    /// The one in `folder`; an error says in one sentence why it could not be read.
    pub fn find(folder: &Path) -> Option<Result<Ecosystem, String>> {
        let file = first(folder, &NAMES)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let json = name.ends_with(".json").then(|| read(&file)).flatten();
        let value = match json.and_then(|text| serde_json::from_str(&text).ok()) {
            Some(value) => Ok(value),
            None => run(&file, folder),
        };
        Some(value.map(|value| parse(&name, &value)).map_err(|why| format!("{name} was not read: {why}")))
    }
}

fn run(file: &Path, folder: &Path) -> Result<Value, String> {
    let file = std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
    let mut command = Command::new("node");
    // With `-e` the first word after the code stands where a script's name would.
    command.args(["-e", READER, "reader"]).arg(file).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|_| "there is no node on the PATH to run it".to_owned())?;
    let streams = (child.stdout.take(), child.stderr.take());
    let out = std::thread::spawn(move || text(streams.0));
    let err = std::thread::spawn(move || text(streams.1));
    let end = Instant::now() + PATIENCE;
    let well = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
            }
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    let said = out.lines().rev().find_map(|line| line.strip_prefix("@ecosystem "));
    match said.and_then(|line| serde_json::from_str(line).ok()) {
        Some(value) if well => Ok(value),
        _ => Err(clean(err.lines().rfind(|line| !line.is_empty()).unwrap_or("it exports nothing"), 200)),
    }
}

fn text(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parse(file: &str, value: &Value) -> Ecosystem {
    let apps: Vec<&Value> = match &value["apps"] {
        Value::Array(apps) => apps.iter().collect(),
        app @ Value::Object(_) => vec![app],
        _ => value.as_array().map(|apps| apps.iter().collect()).unwrap_or_default(),
    };
    let app = apps.first().copied().unwrap_or(&Value::Null);
    let said = |name: &str| app[name].as_str().map(str::to_owned);
    let script = said("script");
    let instances = match &app["instances"] {
        Value::String(text) if text == "max" => 0,
        Value::String(text) => text.parse().unwrap_or(1),
        number => number.as_i64().map_or(1, |n| u32::try_from(n.max(0)).unwrap_or(1)),
    };
    let envs = [&app["env_production"], &app["env"]];
    let port = envs.iter().find_map(|env| number(&env["PORT"]));
    let mut env: Vec<String> =
        envs.iter().filter_map(|env| env.as_object()).flatten().map(|(name, _)| name.clone()).collect();
    env.retain(|name| name != "PORT" && name != "NODE_ENV");
    env.sort();
    env.dedup();
    let relative = |name: &str| said(name).is_none_or(|path| !path.starts_with('/'));
    let runner = |script: &String| {
        let last = script.rsplit('/').next().unwrap_or_default();
        script.contains(' ') || ["npm", "npx", "yarn", "pnpm", "bun", "next"].contains(&last)
    };
    let node = said("interpreter").is_none_or(|interpreter| interpreter == "node");
    let watched = !matches!(app["watch"], Value::Null | Value::Bool(false));
    Ecosystem {
        file: file.to_owned(),
        name: said("name"),
        usable: relative("cwd")
            && relative("script")
            && node
            && !watched
            && script.as_ref().is_some_and(|s| !runner(s)),
        runs: script.map(|script| Runs {
            script: Some(script.trim_start_matches("./").to_owned()),
            port: port.unwrap_or(3000),
            instances,
            max_memory: said("max_memory_restart"),
        }),
        env,
        apps: apps.len(),
        stages: value["deploy"].as_object().into_iter().flatten().map(|(name, block)| stage(name, block)).collect(),
    }
}

fn number(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// `key` becomes the identity, `ref` the branch.
fn stage(name: &str, block: &Value) -> Stage {
    let user = block["user"].as_str().map_or(String::new(), |user| format!("{user}@"));
    let port = number(&block["port"]).map_or(String::new(), |port| format!(":{port}"));
    let hosts: Vec<&str> = match &block["host"] {
        Value::Array(hosts) => {
            hosts.iter().filter_map(|host| host.as_str().or_else(|| host["host"].as_str())).collect()
        }
        host => host.as_str().into_iter().collect(),
    };
    let address = |host: &&str| match host.contains('@') {
        true => format!("{host}{port}"),
        false => format!("{user}{host}{port}"),
    };
    let branch = block["ref"].as_str().map(|text| text.strip_prefix("origin/").unwrap_or(text));
    Stage {
        name: name.to_owned(),
        hosts: hosts.iter().map(address).collect(),
        path: block["path"].as_str().unwrap_or_default().trim_end_matches('/').to_owned(),
        // A tag or a commit is no branch to hold deploys to.
        branch: branch.filter(|name| !name.contains("tags/") && !name.is_empty()).map(str::to_owned),
        identity: block["key"].as_str().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deploy_block_becomes_stages() {
        let value = json!({
            "apps": [{ "name": "shop", "script": "./server.js", "instances": "max", "env": { "PORT": 8080, "A": 1 },
                "env_production": { "NODE_ENV": "production", "B": "x" }, "max_memory_restart": "300M" }],
            "deploy": {
                "production": { "user": "node", "host": ["a.example.com", { "host": "b.example.com" }], "port": "2222",
                    "ref": "origin/main", "path": "/var/www/shop/", "key": "~/.ssh/shop" },
                "staging": { "host": "node@s.example.com", "ref": "v1.0", "path": "/var/www/shop" },
            },
        });
        let found = parse("ecosystem.config.js", &value);
        assert_eq!((found.name.as_deref(), found.apps, found.usable), (Some("shop"), 1, true));
        let runs = found.runs.unwrap();
        assert_eq!((runs.script.as_deref(), runs.port, runs.instances), (Some("server.js"), 8080, 0));
        assert_eq!(runs.max_memory.as_deref(), Some("300M"));
        assert_eq!(found.env, ["A", "B"]);
        let [production, staging] = &found.stages[..] else { panic!("{:?}", found.stages) };
        assert_eq!(production.hosts, ["node@a.example.com:2222", "node@b.example.com:2222"]);
        assert_eq!((production.path.as_str(), production.branch.as_deref()), ("/var/www/shop", Some("main")));
        assert_eq!(production.identity.as_deref(), Some("~/.ssh/shop"));
        assert_eq!(staging.hosts, ["node@s.example.com"]);
    }

    #[test]
    fn what_a_release_can_not_use_is_seen() {
        for app in [
            json!({ "script": "npm", "args": "start" }),
            json!({ "script": "node_modules/.bin/next" }),
            json!({ "script": "server.js", "cwd": "/var/www/shop/current" }),
            json!({ "script": "server.js", "watch": true }),
            json!({ "script": "app.py", "interpreter": "python3" }),
        ] {
            assert!(!parse("x", &json!({ "apps": [app] })).usable, "{app}");
        }
        assert!(parse("x", &json!({ "apps": [{ "script": "server.js", "watch": false }] })).usable);
    }
}
