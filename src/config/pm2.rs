//! `[service.pm2]`: its defaults, and the combinations that PM2 accepts but that lose requests or mix releases.

use super::reader::Section;
use super::schema::{Mode, Pm2, Preset};
use super::tree::Value;
use super::values::{self, Wrong};
use crate::text::list;

/// What `templates/drain.cjs` needs at the least: an idle connection's time, then a new one's, and some to spare. The host
/// raises what an ecosystem file says to as much.
const DRAIN_MS: u64 = 3000;

/// The table's settings for the app called `app`, which this preset makes.
pub(super) fn read(section: &Section<'_>, app: &str, preset: Preset) -> Pm2 {
    let mode = section.choice("mode", &[("cluster", Mode::Cluster), ("fork", Mode::Fork)]).unwrap_or(Mode::Cluster);
    let mut env = section.map("env", variable);
    // An ecosystem file says for itself, perhaps by its env_NAME; a default here would win over that.
    if !section.has("ecosystem") {
        env.entry("NODE_ENV".into()).or_insert_with(|| "production".into());
    }
    let pm2 = Pm2 {
        name: app.to_owned(),
        script: section.parsed("script", values::inside),
        ecosystem: section.parsed("ecosystem", values::inside),
        only: section.strings("only"),
        ecosystem_env: section.string("ecosystem_env"),
        port: section.number("port", 1..=65535),
        instances: instances(section),
        mode,
        env,
        preset_env: Default::default(),
        env_file: section.parsed("env_file", values::inside),
        boot_test: section.flag("boot_test").unwrap_or(true),
        node_args: section.parsed_list("node_args", node_arg).into_iter().map(|(arg, _)| arg).collect(),
        args: section.strings("args"),
        max_memory: section.parsed("max_memory", memory),
        kill_timeout_ms: section.duration("kill_timeout", "8s", "100ms"..="10m").as_millis() as u64,
        listen_timeout_ms: section.duration("listen_timeout", "8s", "1s"..="10m").as_millis() as u64,
        drain: drain(section, mode, preset),
    };
    if pm2.drain && pm2.kill_timeout_ms < DRAIN_MS {
        let what = "is less than the 3s that a worker takes to drain: PM2 would end it in the middle of that";
        section.wrong("kill_timeout", what, "raise it, or write drain = false");
    }
    check_script(section, &pm2);
    check_ecosystem(section);
    if pm2.mode == Mode::Fork && pm2.instances != Some(1) && pm2.port.is_some() {
        let what = "must be 1 with mode = \"fork\": plain processes can't share the port";
        section.wrong("instances", what, "use mode = \"cluster\"");
    }
    pm2
}

/// By default for whatever a preset knows to be a server of node. An ecosystem file says for itself in which mode each app
/// runs: those that are no cluster's do without.
fn drain(section: &Section<'_>, mode: Mode, preset: Preset) -> bool {
    let is_server = matches!(preset, Preset::Next | Preset::Node | Preset::Astro);
    let drain = section.flag("drain");
    if drain == Some(true) && mode == Mode::Fork {
        let what = "needs mode = \"cluster\": with no other worker to answer, a slower end is a longer gap";
        section.wrong("drain", what, "remove one of the two");
    }
    drain.unwrap_or(is_server) && mode == Mode::Cluster
}

/// `None` is PM2's "max"; one worker is the default.
fn instances(section: &Section<'_>) -> Option<u32> {
    match section.get("instances").map(|node| &node.value) {
        None => Some(1),
        Some(Value::Text(text)) if text == "max" => None,
        Some(Value::Text(text)) if !text.contains("${") => {
            section.wrong("instances", "must be a whole number or \"max\"", "");
            Some(1)
        }
        Some(_) => section.number("instances", 1..=1000).or(Some(1)),
    }
}

fn variable(name: &str, value: &str) -> Result<(), Wrong> {
    super::sections::variable(name, value)?;
    match name {
        "PORT" => Err(("is set by shipit".into(), "write service.pm2.port = 3000".into())),
        "NODE_OPTIONS" => node_arg(value).map(|_| ()),
        _ => Ok(()),
    }
}

fn node_arg(text: &str) -> Result<String, Wrong> {
    if text.contains("--preserve-symlinks") {
        let what = "must not hold --preserve-symlinks: it mixes two releases inside one process";
        return Err((what.into(), "remove it; shipit starts each worker in its own release".into()));
    }
    Ok(text.to_owned())
}

fn memory(text: &str) -> Result<String, Wrong> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    if text.len() - digits.len() <= 1 && digits.parse::<u64>().is_ok_and(|n| n > 0) {
        return Ok(text.to_owned());
    }
    Err(("must be a size such as \"300M\" or \"1G\"".into(), String::new()))
}

/// Starters that fork the real server are one worker to PM2: a reload of them is a restart with a gap.
fn check_script(section: &Section<'_>, pm2: &Pm2) {
    const RUNNERS: [&str; 4] = ["npm", "npx", "yarn", "pnpm"];
    const NEXT: [&str; 2] = ["node_modules/.bin/next", "node_modules/next/dist/bin/next"];
    let Some(script) = &pm2.script else { return };
    let runner = script.rsplit('/').next().is_some_and(|name| RUNNERS.contains(&name));
    let next = script == "next" || NEXT.iter().any(|path| script.ends_with(path));
    if pm2.mode == Mode::Cluster && (runner || next) {
        section.wrong(
            "script",
            format!("is `{script}`, which PM2 can't run in cluster mode, so that a reload would drop requests"),
            "use script = \"server.js\" of a standalone build, or mode = \"fork\" with a gap at each deploy",
        );
    }
}

fn check_ecosystem(section: &Section<'_>) {
    if !section.has("ecosystem") {
        for name in ["only", "ecosystem_env"].into_iter().filter(|name| section.has(name)) {
            section.wrong(name, "needs `ecosystem`", "name the file: ecosystem = \"ecosystem.config.cjs\"");
        }
        return;
    }
    if section.has("script") {
        section.wrong("script", "and `ecosystem` exclude each other", "keep one; the ecosystem file names its scripts");
    }
    // With defaults of their own here, these would silently win over the file or lose to it.
    let owned = ["instances", "mode", "node_args", "args", "max_memory"];
    let given: Vec<&str> = owned.into_iter().filter(|name| section.has(name)).collect();
    for name in &given {
        section.wrong(name, "is the ecosystem file's to say", format!("remove {} here", list(&given)));
    }
}
