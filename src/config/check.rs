//! Rules that concern more than one table of `deploy.toml`. Judges only; changes nothing.

use super::reader::Section;
use super::schema::{Address, Config, Preset, Service};
use super::tree::{Node, Value};
use crate::secret::SHORTEST;
use crate::text::{clean, list, nearest};

/// Records what is wrong with the merged stage as a whole.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    check_app(root, config);
    check_path(root, config);
    check_health(root, config);
    check_env(root, config);
    super::assets::check(root, config);
    super::proxy::check(root, config);
    check_secrets(root, config);
}

fn check_app(root: &Section<'_>, config: &Config) {
    let app = &config.app;
    if matches!(config.service, Service::Pm2(_))
        && !app.is_empty()
        && (app == "all" || app.bytes().all(|b| b.is_ascii_digit()))
    {
        root.wrong("app", format!("is \"{app}\", which means something else to PM2"), "choose another name");
    }
}

fn check_path(root: &Section<'_>, config: &Config) {
    let path = &config.path;
    if !root.has("path") || path.is_empty() {
        return;
    }
    let over_ssh = config.hosts.iter().any(|host| host.address != Address::Local);
    if over_ssh && !path.starts_with('/') {
        let hint = match path.strip_prefix("~/") {
            Some(rest) => format!("write the whole path, e.g. /home/deploy/{}", clean(rest, 60)),
            None => "e.g. /srv/blog".into(),
        };
        root.wrong("path", "must be absolute on a host", hint);
    } else if over_ssh && path.split('/').any(|part| part == "..") {
        root.wrong("path", "must not contain `..`", "");
    } else if path.trim_matches('/').is_empty() {
        root.wrong("path", "must be a folder of the app's own, not /", "");
    }
    let home = format!("{}/", path.trim_end_matches('/'));
    for name in ["dirs", "files"] {
        for (shared, node) in root.section("shared").strings_at(name) {
            if path.starts_with('/') && shared.starts_with(&home) {
                let hint = "write it as it is named in the app, e.g. uploads";
                root.reader.wrong(node, "must be a path inside the release, not one on the host", hint);
            }
        }
    }
}

fn check_health(root: &Section<'_>, config: &Config) {
    let section = root.section("health");
    if section.has("from") && !section.has("url") {
        section.wrong("from", "says where `url` is asked from, and there is no `url`", "");
    }
    if section.has("path") && config.service.port().is_none() {
        let hint = match &config.service {
            Service::Pm2(_) => "write service.pm2.port = 3000",
            Service::Command(_) => "write service.command.port = 3000",
            Service::None => "without a service, use url = \"https://...\"",
        };
        section.wrong("path", "is asked on the service's port, and there is none", hint);
    }
}

fn check_env(root: &Section<'_>, config: &Config) {
    let section = match &config.service {
        Service::None => return,
        Service::Pm2(_) => root.section("service").section("pm2"),
        Service::Command(_) => root.section("service").section("command"),
    };
    let files = &config.shared.files;
    if let Some(file) = config.service.env_file()
        && !files.iter().any(|shared| shared == file)
    {
        let hint = match nearest(file, files.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if files.is_empty() => format!("add [shared] files = [\"{}\"]", clean(file, 60)),
            None => format!("shared are {}", list(files)),
        };
        section.wrong("env_file", format!("is \"{}\", which is not in shared.files", clean(file, 60)), hint);
    }
    let knows_its_own = matches!(config.build.preset, Preset::Next | Preset::Astro | Preset::Node);
    if let Service::Pm2(pm2) = &config.service
        && !knows_its_own
        && pm2.script.is_none()
        && pm2.ecosystem.is_none()
    {
        section.missing("script", "the presets next, astro and node know their own; e.g. script = \"server.js\"");
    }
    let env = section.section("env");
    for (name, value) in &config.service.env() {
        let secret = |held: &&String| held.chars().count() >= SHORTEST && value.contains(held.as_str());
        if env.has(name) && config.secret_values.iter().any(|held| secret(&held)) {
            let what = "holds a value that `secrets` names, and would be kept in each release's record";
            env.wrong(name, what, "put it into a shared file on the host and name that as env_file");
        }
    }
}

/// A secret may go to a build and into a health check. Anywhere else of the same stage it would stand in the names of
/// processes and files, on command lines or in records, for all who have a login there.
fn check_secrets(root: &Section<'_>, config: &Config) {
    let is_secret = |text: &str| {
        let held = config.secret_values.iter().filter(|held| held.chars().count() >= SHORTEST);
        root.reader.quietly(text).is_some_and(|text| held.into_iter().any(|held| text.contains(held.as_str())))
    };
    let service = root.section("service");
    // The last of these are a shell's own: nothing is put into them here.
    let apart = ["env", "start", "revert", "status", "stop"];
    let kinds = service.names().into_iter().map(|kind| service.section(kind));
    for section in [root.section("ssh"), root.section("shared")].into_iter().chain(kinds) {
        for name in section.names().into_iter().filter(|name| !apart.contains(name)) {
            if section.get(name).is_some_and(|node| holds(node, &is_secret)) {
                let what = "holds a value that `secrets` names, and would show it to every account: on command lines, in records";
                section.wrong(name, what, "use env_file of the service, or health.headers");
            }
        }
    }
}

fn holds(node: &Node, is_secret: &dyn Fn(&str) -> bool) -> bool {
    match &node.value {
        Value::Text(text) => is_secret(text),
        Value::List(items) => items.iter().any(|item| holds(item, is_secret)),
        _ => false,
    }
}
