//! Each table of `deploy.toml` read into its part of the resolved config, with its defaults. What concerns more
//! than one table is judged in `check.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::reader::{Reader, Section};
use super::schema::{
    Access, Batch, Build, Expect, From, Health, Host, Include, Preset, Release, Reuse, Rollout, Service, Shared, Ssh,
};
use super::tree::{Node, Value};
use super::values::{self, Wrong};
use super::{Address, command, pm2};
use crate::release::is_prefix;
use crate::text::{clean, list};

/// `app`
pub(super) fn app(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() || text.starts_with('-') || text.contains('/') || text.chars().any(char::is_control) {
        let what = "must be a name without `/` and control characters, not beginning with `-`";
        return Err((what.into(), String::new()));
    }
    Ok(text.to_owned())
}

/// `[build]`; `folder` is the file's.
pub(super) fn build(section: &Section<'_>, folder: &Path) -> Build {
    const PRESETS: [(&str, Preset); 5] = [
        ("next", Preset::Next),
        ("astro", Preset::Astro),
        ("node", Preset::Node),
        ("static", Preset::Static),
        ("files", Preset::Files),
    ];
    section.missing("preset", "next, astro, node, static or files");
    let preset = section.choice("preset", &PRESETS);
    match preset {
        Some(Preset::Next) if section.has("output") => {
            section.wrong("output", "has no use with the preset next", "remove it; next finds its own output");
        }
        Some(Preset::Static | Preset::Files) => {
            section.missing("output", "the folder to ship, relative to build.root");
        }
        _ => {}
    }
    Build {
        // Next asks for nothing else, so that a wrong preset is one problem, not three.
        preset: preset.unwrap_or(Preset::Next),
        root: values::resolve(folder, &section.string("root").unwrap_or_default()),
        command: section.literal("command").filter(|command| !command.trim().is_empty()),
        output: section.parsed("output", relative_source),
        env: section.map("env", variable),
        include: include(section),
        exclude: section.parsed_list("exclude", glob).into_iter().map(|(glob, _)| glob).collect(),
    }
}

fn include(section: &Section<'_>) -> Vec<Include> {
    let reader = section.reader;
    let mut entries = Vec::new();
    for node in section.items("include") {
        let (from, to) = match &node.value {
            Value::Table(_) => {
                let table = Section::root(reader, node);
                table.missing("from", "the file or folder, relative to build.root");
                let Some(from) = table.parsed("from", relative_source) else { continue };
                let to = match table.has("to") {
                    true => table.parsed("to", values::inside),
                    false => Some(from.clone()),
                };
                (from, to)
            }
            Value::Text(_) => {
                let Some(text) = reader.text(node) else { continue };
                match relative_source(&text) {
                    Ok(from) => (from.clone(), Some(from)),
                    Err((what, hint)) => {
                        reader.wrong(node, what, hint);
                        continue;
                    }
                }
            }
            _ => {
                reader.mistyped(node, "a path or a table with from and to", "");
                continue;
            }
        };
        let Some(to) = to else { continue };
        match values::inside(&to) {
            Ok(to) => entries.push(Include { from, to }),
            Err(_) => reader.wrong(node, "has no place in the release", "write { from = \"...\", to = \"...\" }"),
        }
    }
    entries
}

fn relative_source(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.starts_with('/') || text.starts_with('~') {
        return Err(("must be a path relative to build.root".into(), String::new()));
    }
    Ok(text.to_owned())
}

fn glob(text: &str) -> Result<String, Wrong> {
    match globset::Glob::new(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(("must not be empty".into(), String::new())),
        Err(error) => Err((format!("is no glob: {}", error.kind()), "e.g. \"**/*.map\"".into())),
    }
}

/// A pair of an environment.
pub(super) fn variable(name: &str, _value: &str) -> Result<(), Wrong> {
    if values::is_variable(name) {
        return Ok(());
    }
    Err(("is no name for a variable".into(), "letters, digits and _, not beginning with a digit".into()))
}

/// `[shared]`
pub(super) fn shared(section: &Section<'_>) -> Shared {
    let mut seen: Vec<String> = Vec::new();
    let mut read = |name: &str| -> Vec<String> {
        let mut paths = Vec::new();
        for (path, node) in section.parsed_list(name, values::inside) {
            let clash = seen.iter().find(|other| *other == &path || within(other, &path) || within(&path, other));
            if let Some(other) = clash {
                let hint = "each shared path is one link in the release; remove one";
                section.reader.wrong(node, format!("names `{path}`, but `{other}` is shared already"), hint);
                continue;
            }
            seen.push(path.clone());
            paths.push(path);
        }
        paths
    };
    Shared { dirs: read("dirs"), files: read("files") }
}

fn within(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// `[service.*]`: at most one kind.
pub(super) fn service(section: &Section<'_>, app: &str, preset: Preset) -> Service {
    let kinds = section.names();
    if let [first, second, ..] = kinds[..] {
        section.wrong(second, format!("is a second service beside `{first}`"), "keep one; a stage may have another");
    }
    match section.section("pm2") {
        table if table.given() => Service::Pm2(Box::new(pm2::read(&table, app, preset))),
        _ => match section.section("command") {
            table if table.given() => Service::Command(Box::new(command::read(&table, app))),
            _ => Service::None,
        },
    }
}

/// `[health]`
pub(super) fn health(section: &Section<'_>) -> Health {
    let path = section.parsed("path", |text| {
        if text.starts_with('/') && !text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Ok(text.to_owned());
        }
        Err(("must begin with / and hold no space".into(), "a whole address goes into `url`".into()))
    });
    let url = section.parsed("url", |text| match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text.to_owned()),
        _ => Err(("must be an http:// or https:// address".into(), String::new())),
    });
    let expect = section.section("expect");
    Health {
        from: section.choice("from", &[("host", From::Host), ("here", From::Here)]).unwrap_or(From::Host),
        headers: section.map("headers", |name, value| {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(("is no name for a header".into(), String::new()));
            }
            if value.chars().any(char::is_control) {
                return Err(("must hold no line break or control character".into(), String::new()));
            }
            Ok(())
        }),
        expect: Expect {
            status: expect.number("status", 100..=599).unwrap_or(200),
            body: expect.string("body"),
            json: fields(&expect.section("json")),
        },
        timeout: section.duration("timeout", "5s", "100ms"..="5m"),
        interval: section.duration("interval", "500ms", "50ms"..="1m"),
        within: section.duration("within", "30s", "1s"..="1h"),
        successes: section.number("successes", 1..=100).unwrap_or(1),
        soak: section.duration("soak", "6s", "0s"..="1h"),
        assets: section.flag("assets").unwrap_or(path.is_some() || url.is_some()),
        path,
        url,
    }
}

fn fields(section: &Section<'_>) -> BTreeMap<String, Json> {
    let names = section.names().into_iter();
    names.filter_map(|name| Some((name.to_owned(), json(section.reader, section.get(name)?)?))).collect()
}

fn json(reader: &Reader<'_>, node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Text(_) => Json::String(reader.text(node)?),
        Value::Integer(n) => Json::from(*n),
        Value::Flag(flag) => Json::Bool(*flag),
        Value::Date(date) => Json::String(date.clone()),
        Value::Float(n) => match serde_json::Number::from_f64(*n) {
            Some(n) => Json::Number(n),
            None => {
                reader.wrong(node, "can't be in JSON", "");
                return None;
            }
        },
        Value::List(items) => Json::Array(items.iter().filter_map(|item| json(reader, item)).collect()),
        Value::Table(entries) => Json::Object(
            entries.iter().filter_map(|(name, entry)| Some((name.clone(), json(reader, entry)?))).collect(),
        ),
    })
}

/// `[release]`; who may read it depends on whether a service does.
pub(super) fn release(section: &Section<'_>, service: &Service) -> Release {
    let by_default = if *service == Service::None { Access::Public } else { Access::Private };
    let access = match section.get("access").map(|node| &node.value) {
        None => None,
        Some(Value::Table(_)) => {
            let table = section.section("access");
            table.missing("group", "{ group = \"www-data\" }");
            table.parsed("group", |text| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
                if text.is_empty() || text.starts_with('-') || !text.bytes().all(plain) {
                    return Err(("is no name for a group".into(), String::new()));
                }
                Ok(Access::Group(text.to_owned()))
            })
        }
        Some(_) => section.choice("access", &[("private", false), ("public", true)]).map(|public| match public {
            true => Access::Public,
            false => Access::Private,
        }),
    };
    let prefix = section.parsed("prefix", |text| {
        if is_prefix(text) && text.len() <= 32 {
            return Ok(text.to_owned());
        }
        let hint = "letters, digits, _ and -, at most 32, beginning with a letter or digit";
        Err(("can't begin a release id".into(), hint.into()))
    });
    Release {
        keep: section.number("keep", 1..=1000).unwrap_or(5),
        prefix: prefix.unwrap_or_default(),
        access: access.unwrap_or(by_default),
        reuse: section
            .choice("reuse", &[("copy", Reuse::Copy), ("hardlink", Reuse::Hardlink), ("off", Reuse::Off)])
            .unwrap_or(Reuse::Copy),
        mutable: section.parsed_list("mutable", glob).into_iter().map(|(glob, _)| glob).collect(),
    }
}

/// `[rollout]`
pub(super) fn rollout(section: &Section<'_>) -> Rollout {
    let batch = match section.get("batch").map(|node| &node.value) {
        None => None,
        Some(Value::Text(text)) if text.ends_with('%') => section.parsed("batch", |text| {
            values::percent(text).ok_or_else(|| ("must be from \"1%\" to \"100%\"".into(), String::new()))
        }),
        Some(Value::Text(text)) if !text.contains("${") => {
            section.wrong("batch", "must be a number of hosts or a share of them", "e.g. 1 or \"25%\"");
            None
        }
        Some(_) => section.number("batch", 1..=1000).map(Batch::Hosts),
    };
    Rollout {
        parallel: section.number("parallel", 1..=1000).unwrap_or(10),
        batch,
        pause: section.duration("pause", "0s", "0s"..="24h"),
        // Below two seconds a busy link alone would take a switch back.
        silence: section.duration("silence", "15s", "2s"..="10m"),
    }
}

/// `[ssh]`; `folder` is the file's.
pub(super) fn ssh(section: &Section<'_>, folder: &Path) -> Ssh {
    let home = section.reader.variable("HOME").filter(|home| home.starts_with('/'));
    let file = |name: &str| {
        section.parsed(name, |text| match (text.strip_prefix("~/"), &home) {
            _ if text.is_empty() => Err(("must name a file".into(), String::new())),
            (Some(rest), Some(home)) => Ok(format!("{}/{rest}", home.trim_end_matches('/'))),
            // ssh itself knows whose home that is.
            (Some(_), None) => Ok(text.to_owned()),
            (None, _) => Ok(values::resolve(folder, text).to_string_lossy().into_owned()),
        })
    };
    Ssh {
        port: section.number("port", 1..=65535),
        identity_file: file("identity_file"),
        known_hosts: file("known_hosts"),
        proxy_jump: section.parsed("proxy_jump", |text| {
            if text.is_empty() || text.starts_with('-') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(("must be a host such as \"me@bastion:22\"".into(), String::new()));
            }
            Ok(text.to_owned())
        }),
        options: section.parsed_list("options", ssh_option).into_iter().map(|(option, _)| option).collect(),
        path: section.parsed_list("path", host_directory).into_iter().map(|(directory, _)| directory).collect(),
    }
}

/// A directory of a host's PATH.
fn host_directory(text: &str) -> Result<String, Wrong> {
    if !(text.starts_with('/') || text.starts_with("~/")) {
        return Err(("must begin with / or ~/".into(), "e.g. \"~/.nvm/versions/node/v22.11.0/bin\"".into()));
    }
    if text.contains(':') || text.chars().any(char::is_control) {
        return Err(("must not hold a colon or a control character".into(), "one directory an entry".into()));
    }
    Ok(text.to_owned())
}

fn ssh_option(text: &str) -> Result<String, Wrong> {
    let name = text.split(['=', ' ']).next().unwrap_or_default();
    if name.is_empty() || name == text || !name.bytes().all(|b| b.is_ascii_alphanumeric()) || text.contains('\n') {
        return Err(("must be NAME=VALUE as in ssh_config".into(), "e.g. \"IPQoS=throughput\"".into()));
    }
    if name.to_ascii_lowercase().starts_with("control") {
        let hint = "remove it; shipit keeps one connection of its own for each host";
        return Err((format!("must not set {name}"), hint.into()));
    }
    Ok(text.to_owned())
}

/// `hosts`, each with its name; no two the same.
pub(super) fn hosts(section: &Section<'_>) -> Vec<Host> {
    let reader = section.reader;
    let items = section.items("hosts");
    if let Some(Value::List(all)) = section.get("hosts").map(|node| &node.value)
        && all.is_empty()
    {
        section.wrong("hosts", "is empty", "name at least one host");
    }
    let mut hosts: Vec<Host> = Vec::new();
    for node in items {
        let Some(host) = host(reader, node) else { continue };
        if let Some(twin) = hosts.iter().find(|other| other.address == host.address) {
            reader.wrong(node, format!("names the same machine twice: {}", twin.name), "remove one");
        } else if hosts.iter().any(|other| other.name == host.name) {
            let hint = "give one another name: { address = \"...\", name = \"...\" }";
            reader.wrong(node, format!("has two hosts called `{}`", clean(&host.name, 80)), hint);
        }
        hosts.push(host);
    }
    hosts
}

fn host(reader: &Reader<'_>, node: &Node) -> Option<Host> {
    let (address, name) = match &node.value {
        Value::Table(_) => {
            let table = Section::root(reader, node);
            table.missing("address", "e.g. { address = \"deploy@10.0.0.5\", name = \"web2\" }");
            let name = table.parsed("name", |text| {
                let odd = |c: char| c.is_whitespace() || c.is_control() || c == ',';
                if text.is_empty() || text.starts_with('-') || text.chars().any(odd) {
                    return Err(("must be one plain word".into(), "it is what --host takes".into()));
                }
                Ok(text.to_owned())
            });
            (table.parsed("address", values::address)?, name)
        }
        Value::Text(_) => match values::address(&reader.text(node)?) {
            Ok(address) => (address, None),
            Err((what, hint)) => {
                reader.wrong(node, what, hint);
                return None;
            }
        },
        _ => {
            reader.mistyped(node, "a string or a table", list(&["\"deploy@web1\"", "{ address = \"...\" }"]));
            return None;
        }
    };
    let name = name.unwrap_or_else(|| match &address {
        Address::Local => "local".into(),
        Address::Ssh { host, .. } => host.clone(),
    });
    Some(Host { name, address })
}
