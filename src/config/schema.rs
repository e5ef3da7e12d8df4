//! One stage of `deploy.toml`, merged, expanded and checked: what the rest of the program reads.
//! Plain data; `load.rs` makes it, `check.rs` judges it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::assets::Assets;
use super::proxy::Proxy;

/// Everything that a run on one stage needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from, absolute.
    pub file: PathBuf,
    /// `app`: names the PM2 app.
    pub app: String,
    /// `app` as it stands at the top of the file, for all stages; where it doesn't, the stage's.
    pub project: String,
    /// The stage's name.
    pub stage: String,
    /// The stage's hosts, in order; names are unique.
    pub hosts: Vec<Host>,
    /// `path`: the app's home on the host, absolute (for `local`, resolved against the file).
    pub path: String,
    /// `ask`: confirm before deploying.
    pub ask: bool,
    /// `branch`: deploys from another branch are refused.
    pub branch: Option<String>,
    /// Values of the variables named by `secrets`, to be masked.
    pub secret_values: Vec<String>,
    /// Variables in use that look like secrets by their names and are not in `secrets`.
    pub exposed: Vec<String>,
    /// `[build]`
    pub build: Build,
    /// `[shared]`
    pub shared: Shared,
    /// `[service.*]`
    pub service: Service,
    /// `[proxy.*]`: what stands in front of it and makes it blue-green.
    pub proxy: Option<Proxy>,
    /// `[health]`
    pub health: Health,
    /// `[release]`
    pub release: Release,
    /// `[assets]`
    pub assets: Assets,
    /// `[rollout]`
    pub rollout: Rollout,
    /// `[hooks]`
    pub hooks: Hooks,
    /// `[ssh]`
    pub ssh: Ssh,
}

/// One machine of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// How it is called in output and by `--host`; by default the address without user and port.
    pub name: String,
    /// Where it is.
    pub address: Address,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// This machine: `"local"`.
    Local,
    /// Over SSH: `[user@]host[:port]`; what is absent comes from `[ssh]` or the user's ssh config.
    Ssh {
        /// The login.
        user: Option<String>,
        /// Host name, address or ssh alias.
        host: String,
        /// The port.
        port: Option<u16>,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address::Ssh { user, host, port } = self else { return f.write_str("local") };
        if let Some(user) = user {
            write!(f, "{user}@")?;
        }
        match host.contains(':') {
            true => write!(f, "[{host}]")?,
            false => f.write_str(host)?,
        }
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// `[build]`
#[derive(Clone, Debug)]
pub struct Build {
    /// `preset`
    pub preset: Preset,
    /// `root`, absolute: where `command` runs and what other paths are relative to.
    pub root: PathBuf,
    /// `command`, run by `sh -c` in `root`; none: nothing to build.
    pub command: Option<String>,
    /// `output`, relative to `root`.
    pub output: Option<String>,
    /// `env`: added to the command's environment.
    pub env: BTreeMap<String, String>,
    /// `include`: further files and folders.
    pub include: Vec<Include>,
    /// `exclude`: globs, relative to `root`'s artifact sources.
    pub exclude: Vec<String>,
}

/// How a framework's output becomes an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A Next.js standalone build.
    Next,
    /// An Astro build: a static site or a server.
    Astro,
    /// A Node app, with the packages it needs.
    Node,
    /// Files that a web server serves.
    Static,
    /// Any files, as they are.
    Files,
}

/// One entry of `include`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Relative to `root`.
    pub from: String,
    /// Relative to the app directory; a leading `/` means the release root.
    pub to: String,
}

/// `[shared]`: what outlives a release. Paths relative to the app directory (leading `/`: release root).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// `dirs`: created and seeded when missing.
    pub dirs: Vec<String>,
    /// `files`: must exist.
    pub files: Vec<String>,
}

/// `[service.*]`: what runs the app. Recorded with each release, so that a rollback starts it as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Service {
    /// Nothing: the switch of `current` is the deploy.
    None,
    /// `[service.pm2]`
    Pm2(Box<Pm2>),
    /// `[service.command]`
    Command(Box<Command>),
}

/// Who says what a service starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts<'a> {
    /// `script`, relative to the app directory; a leading `/` means the release root.
    Given(&'a str),
    /// The preset, which must know it.
    Preset,
    /// The service itself, in a way that only the host can read; or nothing is started.
    Own,
}

impl Service {
    /// Who says what is started.
    pub fn starts(&self) -> Starts<'_> {
        match self {
            Service::None | Service::Command(_) => Starts::Own,
            Service::Pm2(pm2) => match (&pm2.script, &pm2.ecosystem) {
                (Some(script), _) => Starts::Given(script),
                (None, Some(_)) => Starts::Own,
                (None, None) => Starts::Preset,
            },
        }
    }

    /// The loopback port the service listens on.
    pub fn port(&self) -> Option<u16> {
        match self {
            Service::None => None,
            Service::Pm2(pm2) => pm2.port,
            Service::Command(command) => command.port,
        }
    }

    /// `env` and PORT, as the service has them.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = match self {
            Service::None => BTreeMap::new(),
            Service::Pm2(pm2) => pm2.env.clone(),
            Service::Command(command) => command.env.clone(),
        };
        env.extend(self.port().map(|port| ("PORT".into(), port.to_string())));
        env
    }

    /// `env_file`: a shared file that is read on the host only.
    pub fn env_file(&self) -> Option<&str> {
        match self {
            Service::None => None,
            Service::Pm2(pm2) => pm2.env_file.as_deref(),
            Service::Command(command) => command.env_file.as_deref(),
        }
    }

    /// The longest time that its settings name.
    pub fn longest(&self) -> Duration {
        Duration::from_millis(match self {
            Service::None => 0,
            Service::Pm2(pm2) => pm2.kill_timeout_ms.max(pm2.listen_timeout_ms),
            Service::Command(command) => {
                command.start_timeout_ms.max(command.revert_timeout_ms).max(command.status_timeout_ms)
            }
        })
    }
}

/// `[service.command]`. Serialised into the record; holds no secret values, as with [`Pm2`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// `app`, for listings.
    pub name: String,
    /// `start`: makes the release in `current` the running one, and returns.
    pub start: String,
    /// `revert`: makes what `current` names again the running one.
    pub revert: String,
    /// `status`: 0 means that it runs.
    pub status: Option<String>,
    /// `stop`: ends what a first `start` began.
    pub stop: Option<String>,
    /// `port`
    pub port: Option<u16>,
    /// `env`
    pub env: BTreeMap<String, String>,
    /// `env_file`
    pub env_file: Option<String>,
    /// `start_timeout`, milliseconds.
    pub start_timeout_ms: u64,
    /// `revert_timeout`, milliseconds: for `revert` and `stop`.
    pub revert_timeout_ms: u64,
    /// `status_timeout`, milliseconds.
    pub status_timeout_ms: u64,
}

/// `[service.pm2]`. Serialised as it goes to the host and into the record; holds no secret values: `env` may
/// only be what the file says, secrets belong in `env_file`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pm2 {
    /// The PM2 app's name: `app`.
    pub name: String,
    /// `script`, relative to the app directory; none with `ecosystem`, or until the preset's default is filled in.
    pub script: Option<String>,
    /// `ecosystem`: a project's own file, relative to the app directory, evaluated by the host's node.
    pub ecosystem: Option<String>,
    /// `only`: the ecosystem's apps to run; empty: all.
    pub only: Vec<String>,
    /// `ecosystem_env`: applies the ecosystem's `env_NAME`.
    pub ecosystem_env: Option<String>,
    /// `port`: given to the app as PORT.
    pub port: Option<u16>,
    /// `instances`; `None` means `"max"`: one for each core.
    pub instances: Option<u32>,
    /// `mode`
    pub mode: Mode,
    /// `env`
    pub env: BTreeMap<String, String>,
    /// What the preset adds to the environment; `env_file` and `env` win over it.
    #[serde(default)]
    pub preset_env: BTreeMap<String, String>,
    /// `env_file`: a shared file that is read on the host; a key of `env` wins over it.
    pub env_file: Option<String>,
    /// `boot_test`: start the candidate on a spare port before the switch.
    pub boot_test: bool,
    /// `node_args`
    pub node_args: Vec<String>,
    /// `args`
    pub args: Vec<String>,
    /// `max_memory`, PM2's `max_memory_restart` ("300M").
    pub max_memory: Option<String>,
    /// `kill_timeout`, milliseconds: how long an old worker may finish its requests.
    pub kill_timeout_ms: u64,
    /// `listen_timeout`, milliseconds: how long PM2 waits for a new worker to listen before the old one goes.
    pub listen_timeout_ms: u64,
    /// `drain`: a worker that is replaced ends only when it has answered all it was asked. A release from before there was
    /// such a thing does without.
    #[serde(default)]
    pub drain: bool,
}

/// PM2's exec mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Workers share the port; reloads have no gap.
    Cluster,
    /// One plain process; a reload is a restart.
    Fork,
}

/// `[health]`: what "it answers" means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `path`, asked on the service's port: of the candidate, each worker, and the whole.
    pub path: Option<String>,
    /// `url`: a further look, or the only one.
    pub url: Option<String>,
    /// `from`: where `url` is asked from.
    pub from: From,
    /// `headers`, sent with each request.
    pub headers: BTreeMap<String, String>,
    /// `expect`
    pub expect: Expect,
    /// `timeout` of one request.
    pub timeout: Duration,
    /// `interval` between tries.
    pub interval: Duration,
    /// `within`: how long a start may take until it answers.
    pub within: Duration,
    /// `successes` in a row that are asked for.
    pub successes: u32,
    /// `soak`: how long it must stay well before the commit.
    pub soak: Duration,
    /// `assets`: also fetch one asset that the HTML names.
    pub assets: bool,
}

/// Where `health.url` is asked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// As the host sees it, through the SSH connection.
    Host,
    /// As this machine sees it.
    Here,
}

/// `health.expect`: all that is given must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// `status`; default 200.
    pub status: u16,
    /// `body`: text that the body contains.
    pub body: Option<String>,
    /// `json`: fields of the JSON body and their values; a dot descends.
    pub json: BTreeMap<String, serde_json::Value>,
}

/// `[release]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `keep`: good releases kept, the current one included.
    pub keep: usize,
    /// `prefix` of ids.
    pub prefix: String,
    /// `access`
    pub access: Access,
    /// `reuse`
    pub reuse: Reuse,
    /// `mutable`: globs of what the app writes in its release, relative to the app directory (leading `/`: release root).
    pub mutable: Vec<String>,
}

/// How a new release gets the files that a host already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Copied there.
    Copy,
    /// Where nobody ever writes to them, the same file under two names; else copied.
    Hardlink,
    /// Not at all: everything is sent.
    Off,
}

/// Who may read a release on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Owner and the owner's group: 0750/0640.
    Private,
    /// Everybody: 0755/0644, for a web server of another user.
    Public,
    /// Owner and this group: 0750/0640, group changed.
    Group(String),
}

impl Access {
    /// Modes of a directory, of a file, and of an executable file.
    pub fn modes(&self) -> (u32, u32, u32) {
        match self {
            Access::Private | Access::Group(_) => (0o750, 0o640, 0o750),
            Access::Public => (0o755, 0o644, 0o755),
        }
    }
}

/// `[rollout]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// `parallel`: hosts worked on at once.
    pub parallel: usize,
    /// `batch`: hosts switched together; `None`: all.
    pub batch: Option<Batch>,
    /// `pause` between batches.
    pub pause: Duration,
    /// `silence`: how long a host waits for a sign of life before it takes the switch back.
    pub silence: Duration,
}

/// `rollout.batch`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// A number of hosts, at least 1.
    Hosts(usize),
    /// A share of the hosts, 1 to 100.
    Percent(u8),
}

impl Batch {
    /// How many hosts of `total` are switched together, at least one.
    pub fn size(self, total: usize) -> usize {
        match self {
            Batch::Hosts(n) => n.max(1),
            Batch::Percent(p) => (total * usize::from(p)).div_ceil(100).max(1),
        }
    }
}

/// `[hooks]`: the user's own lines around the switch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// `before_switch`: the release is received, nothing is switched.
    pub before_switch: Vec<Hook>,
    /// `after_switch`: the release is committed.
    pub after_switch: Vec<Hook>,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `run`: a line for `sh -c`.
    pub run: String,
    /// `on`: where.
    pub on: On,
    /// `timeout`: after it the line's whole process group is ended.
    pub timeout: Duration,
    /// `undo`: takes back what `run` did, once every host is back.
    pub undo: Option<String>,
    /// `optional`: a failure is a warning.
    pub optional: bool,
}

impl Default for Hook {
    fn default() -> Hook {
        let timeout = Duration::from_secs(600);
        Hook { run: String::new(), on: On::All, timeout, undo: None, optional: false }
    }
}

/// Where a hook runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum On {
    /// On every host, at once.
    #[default]
    All,
    /// On the first host of the run only.
    First,
    /// On this machine, in `build.root`.
    Here,
}

/// `[ssh]`: added to what the user's ssh config says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssh {
    /// `port`
    pub port: Option<u16>,
    /// `identity_file`, absolute or with `~`.
    pub identity_file: Option<String>,
    /// `known_hosts`: a file used instead of the user's.
    pub known_hosts: Option<String>,
    /// `proxy_jump`
    pub proxy_jump: Option<String>,
    /// `options`: further `-o` values, e.g. `"IPQoS=throughput"`.
    pub options: Vec<String>,
    /// `path`: directories of the host where its tools are looked for first; absolute or with `~/`.
    pub path: Vec<String>,
}
