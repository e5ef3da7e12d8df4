//! What runs a release. A service is data plus one sh file with these words, in whose order is `remote/switch.sh`'s
//! business:
//!
//! - `service_baseline`: what runs before anything is changed; refuses what a deploy would break
//! - `service_prepare`: reads the new release's own settings, before the switch
//! - `service_boot`: the candidate on a spare port, before the switch
//! - `service_activate`: makes the new release the running one, worker by worker, each proved before the next
//! - `service_health`: the look from outside, taken from the host where it forwards no ports
//! - `service_watch MS`: nothing restarts for that long
//! - `service_revert`: by state: not worse than the baseline
//! - `service_commit`: what has to be written down once it is final; must not fail a deploy
//! - `service_look`: the processes, for `status`
//! - `service_survey`: what `service_baseline` would find and refuse, and the processes; writes nothing
//! - `service_log`: the app's own last lines
//!
//! One that can run twice at once, as `proxy/colours.sh` needs it, has these as well, about the colour COLOUR:
//!
//! - `service_free`: refuses what stands in the way of a start there; writes nothing
//! - `service_stop`: ends what runs there, for good
//! - `service_resume`: whether the new release still runs there, proved as by `service_activate`
//! - `service_save`: what runs now, both colours, is what a reboot brings back
//!
//! Adding one: a variant in `config::Service`, an `.sh` file here, an arm in each `match` below.

use std::time::Duration;

use serde_json::json;

use crate::config::{Command, Health, Mode, Pm2, Service};
use crate::error::Finding;
use crate::remote::{assignments, pairs};

const NONE: &str = include_str!("none.sh");
const COMMAND: &str = concat!(include_str!("../remote/line.sh"), include_str!("command.sh"));
const PM2: &str = include_str!("pm2.sh");

/// Whether anything runs: without that, its words say and do nothing before the switch.
pub fn runs(service: &Service) -> bool {
    !matches!(service, Service::None)
}

/// The service's words, as sh.
pub fn words(service: &Service) -> &'static str {
    match service {
        Service::None => NONE,
        Service::Pm2(_) => PM2,
        Service::Command(_) => COMMAND,
    }
}

/// The parts of PM2's program, in an order in which each needs only those before it.
const PM2_PROGRAM: [&str; 14] = [
    include_str!("pm2/protocol.cjs"),
    include_str!("pm2/proc.cjs"),
    include_str!("pm2/http.cjs"),
    include_str!("pm2/define.cjs"),
    include_str!("pm2/workers.cjs"),
    include_str!("pm2/tools.cjs"),
    include_str!("pm2/baseline.cjs"),
    include_str!("pm2/boot.cjs"),
    include_str!("pm2/moved.cjs"),
    include_str!("pm2/activate.cjs"),
    include_str!("pm2/revert.cjs"),
    include_str!("pm2/colours.cjs"),
    include_str!("pm2/survey.cjs"),
    include_str!("pm2/verbs.cjs"),
];

/// What lets a worker end without losing a request. The program puts it into the home.
const DRAIN: &str = include_str!("../../templates/drain.cjs");

/// The program that the words need on the host; empty where sh is enough. Comment lines stay here.
pub fn program(service: &Service) -> String {
    match service {
        Service::None | Service::Command(_) => String::new(),
        Service::Pm2(_) => {
            let program = without_comments(PM2_PROGRAM.iter().flat_map(|part| part.lines()));
            let drain = json!(without_comments(DRAIN.lines()));
            // Behind the directive that must come first.
            program.replacen(";\n", &format!(";\nconst DRAIN_TEXT = {drain};\n"), 1)
        }
    }
}

fn without_comments<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let kept: Vec<&str> =
        lines.filter(|line| !line.trim_start().starts_with("//") && !line.trim().is_empty()).collect();
    kept.join("\n") + "\n"
}

/// What the host's words read from `service.json`. `earlier`: how the release is run stands in its own record, which is
/// not known yet; what these settings say of it must refuse nothing.
pub fn settings(service: &Service, health: &Health, app_dir: &str, earlier: bool) -> String {
    let service = match service {
        Service::None => json!(null),
        Service::Pm2(pm2) => json!(pm2),
        Service::Command(command) => return lines(service, command, health, app_dir),
    };
    json!({
        "earlier": earlier,
        "service": service,
        "app_dir": app_dir,
        "health": {
            "path": health.path,
            "headers": health.headers,
            "expect": { "status": health.expect.status, "body": health.expect.body, "json": health.expect.json },
            "timeout_ms": millis(health.timeout),
            "interval_ms": millis(health.interval),
            "within_ms": millis(health.within),
            "successes": health.successes,
            "soak_ms": millis(health.soak),
            "assets": health.assets,
        },
    })
    .to_string()
}

/// The settings of a service whose words are sh alone.
fn lines(service: &Service, command: &Command, health: &Health, app_dir: &str) -> String {
    let seconds = |ms: u64| ms.div_ceil(1000).max(1).to_string();
    let env = service.env();
    let name = [("SHIPIT_APP", command.name.as_str())];
    let env = pairs(env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(name));
    let file = service.env_file().unwrap_or_default().trim_matches('/').to_owned();
    assignments(&[
        ("START", command.start.clone()),
        ("REVERT", command.revert.clone()),
        ("STATUS", command.status.clone().unwrap_or_default()),
        ("STOP", command.stop.clone().unwrap_or_default()),
        ("PORT", command.port.map(|port| port.to_string()).unwrap_or_default()),
        ("ENV", env),
        ("ENV_FILE", file),
        ("APP_DIR", app_dir.to_owned()),
        ("START_S", seconds(command.start_timeout_ms)),
        ("REVERT_S", seconds(command.revert_timeout_ms)),
        ("STATUS_S", seconds(command.status_timeout_ms)),
        ("WITHIN_S", seconds(millis(health.within))),
    ])
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// The app names to look for on a host, as `service_look` takes them. None: the ecosystem file decides, so all apps
/// that belong to the home.
pub fn names(service: &Service) -> String {
    match service {
        Service::None => "{}".into(),
        Service::Pm2(pm2) => {
            let names = match &pm2.ecosystem {
                None if pm2.only.is_empty() => vec![pm2.name.clone()],
                _ => pm2.only.clone(),
            };
            json!({ "names": names, "port": pm2.port }).to_string()
        }
        Service::Command(command) => {
            format!("{} {}", command.port.map(|port| port.to_string()).unwrap_or_default(), command.name)
        }
    }
}

/// One worker's bound: how long until it is proved on another release, at the most. PM2 may use the kill timeout twice
/// (stop, then start), and its command has 30 s beside its own timeouts.
fn worker(pm2: &Pm2, health: &Health) -> Duration {
    Duration::from_millis(2 * pm2.kill_timeout_ms + pm2.listen_timeout_ms) + health.within + Duration::from_secs(30)
}

/// How long another reload's lock is waited out: PM2 gives it 30 s, and it may be taken again in between.
const PM2_LOCK: Duration = Duration::from_secs(75);

/// How many workers are reckoned with at least where the number is the host's to choose.
const MANY: u32 = 16;
/// And at the most: a host's word must not make a run wait for ever.
const MOST: u32 = 4096;

/// The workers that are reckoned with: `"max"` is one a core; an ecosystem file's number is known to the host only,
/// which refuses a larger one.
fn workers(pm2: &Pm2, cores: u32) -> u32 {
    let most = MANY.max(cores);
    let wanted = if pm2.ecosystem.is_some() { most } else { pm2.instances.unwrap_or(most) };
    wanted.min(MOST)
}

/// The longest a line of `command` and the proof after it may take: each status line before the last may use its time.
fn line(command: &Command, ms: u64, health: &Health) -> Duration {
    let status = Duration::from_millis(command.status_timeout_ms);
    let tries = u32::try_from(health.within.as_secs() + 1).unwrap_or(u32::MAX);
    let asked = command.status.as_ref().map_or(Duration::ZERO, |_| status.saturating_mul(tries));
    Duration::from_millis(ms) + asked.min(Duration::from_secs(3600)) + health.within + Duration::from_secs(30)
}

/// The longest an activation may take on a host with so many cores (0: not known).
pub fn activate_limit(service: &Service, health: &Health, cores: u32) -> Duration {
    match service {
        Service::None => Duration::from_secs(30),
        Service::Pm2(pm2) => worker(pm2, health) * workers(pm2, cores) + PM2_LOCK,
        Service::Command(command) => line(command, command.start_timeout_ms, health),
    }
}

/// The longest a revert may take: the same work, tried twice, and the worker in flight first.
pub fn revert_limit(service: &Service, health: &Health, cores: u32) -> Duration {
    match service {
        Service::None => Duration::from_secs(30),
        Service::Pm2(pm2) => activate_limit(service, health, cores) * 2 + worker(pm2, health),
        // The start line in flight first.
        Service::Command(command) => {
            line(command, command.revert_timeout_ms, health) + Duration::from_millis(command.start_timeout_ms)
        }
    }
}

/// How many workers the limits reckon with, for the host to hold an ecosystem file against; 0: there are none.
pub fn reckoned(service: &Service, cores: u32) -> u32 {
    match service {
        Service::None | Service::Command(_) => 0,
        Service::Pm2(pm2) => workers(pm2, cores),
    }
}

/// Whether a boot test can be made: a service with a port that wants one.
pub fn boots(service: &Service) -> bool {
    match service {
        Service::None | Service::Command(_) => false,
        Service::Pm2(pm2) => pm2.boot_test && pm2.port.is_some(),
    }
}

/// One line for the plan.
pub fn describe(service: &Service) -> String {
    match service {
        Service::None => "files only".into(),
        Service::Pm2(pm2) => match &pm2.ecosystem {
            Some(file) => format!("pm2 apps of {file}"),
            None => {
                let mode = match pm2.mode {
                    Mode::Cluster => "cluster",
                    Mode::Fork => "fork",
                };
                let workers =
                    pm2.instances.map_or("one worker a core".into(), |n| crate::text::count(n as usize, "worker"));
                format!("pm2 app {}: {workers}, {mode} mode", pm2.name)
            }
        },
        Service::Command(command) => format!("then `{}`", command.start),
    }
}

/// What those who ask notice of each deploy without a proxy, and the way out; none where they notice nothing, or only the
/// host can tell.
pub fn gap(service: &Service) -> Option<Finding> {
    let Service::Pm2(pm2) = service else { return None };
    if pm2.ecosystem.is_some() || pm2.port.is_none() {
        return None;
    }
    let (what, cure) = match pm2.mode {
        Mode::Fork => (
            "nothing answers while it restarts",
            "mode = \"cluster\" with drain, one worker is enough; or blue-green behind [proxy.nginx] or [proxy.caddy]",
        ),
        Mode::Cluster if pm2.drain => return None,
        Mode::Cluster => ("without drain a reload cuts connections in use", "drain = true in [service.pm2]"),
    };
    Some(Finding { what: what.into(), cure: cure.into() })
}
