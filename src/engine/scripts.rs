//! The scripts that a run sends, with their variables. Pure: from config and names to `Script`; nothing runs here.

use std::path::Path;
use std::time::Duration;

use super::limits::Limits;
use super::release::Release;
use super::switch;
use crate::artifact::{Codec, escape, place};
use crate::config::{Access, Assets, Config, Reuse, Shared};
use crate::error::Result;
use crate::event::Transfer;
use crate::release::{ReleaseId, State};
use crate::remote::{self, Script};
use crate::service;

/// What every script of one run on one host is told.
#[derive(Clone, Debug)]
pub struct Home {
    /// The app's home on the host.
    pub base: String,
    /// This session's token: 16 hex digits.
    pub token: String,
    /// `user@machine`, for the lock.
    pub who: String,
    /// Directories that its tools are looked for in first.
    pub path: Vec<String>,
}

impl Home {
    fn bare(&self, name: &'static str, parts: &[&'static str]) -> Script {
        Script::new(name, parts)
            .var("BASE", &self.base)
            .var("TOKEN", &self.token)
            .var("WHO", &self.who)
            .var("SSH_PATH", self.path.join(":"))
    }

    /// One that needs no session.
    fn script(&self, name: &'static str, parts: &[&'static str]) -> Script {
        self.bare(name, &[&[remote::LIB, remote::PATH], parts].concat())
    }

    /// One that belongs to the session: what these share travels with it, once.
    fn joined(&self, name: &'static str, parts: &[&'static str]) -> Script {
        self.bare(name, &[&[remote::JOINED], parts].concat())
    }

    /// The session.
    pub fn session(&self, config: &Config, opening: &Beginning<'_>) -> Result<Script> {
        Ok(self
            .bare("session", &[remote::FACTS, remote::UNDONE, remote::SESSION])
            .var("COMMON", common().render()?)
            .var("SILENCE", ticks(config.rollout.silence))
            .var("DRIVER", self.driver(config, opening.keep).render()?)
            .var("PROGRAM", service::program(&config.service))
            .var("SETTINGS", service::settings(&config.service, &config.health, "", opening.earlier))
            .var("SHARED_FILES", shared_paths(&config.shared.files))
            .var("HISTORY", opening.history)
            .var("SERVICE", flag(service::runs(&config.service)))
            .var("RECORD_S", ticks(switch::record_limit(config)))
            .var("REUSE", flag(opening.receives && config.release.reuse != Reuse::Off)))
    }

    /// What the session's jobs run; it lies in the session's directory.
    fn driver(&self, config: &Config, keep: usize) -> Script {
        let parts = [
            &[remote::HELD, remote::PRUNE, service::words(&config.service)],
            &switch::words(config)[..],
            &[remote::JOB],
        ];
        switch::told(self.joined("driver", &parts.concat()).var("KEEP", keep.to_string()), config)
    }

    /// One of the driver's jobs, on a side channel.
    pub fn side(&self, job: &'static str, arg: &str) -> Script {
        self.joined("side", &[remote::SIDE]).var("JOB", job).var("ARG", arg)
    }

    /// Taking a release in; the payload follows the script.
    pub(super) fn receive(&self, intake: &Intake<'_>) -> Script {
        let group = match intake.access {
            Access::Group(group) => group.as_str(),
            Access::Private | Access::Public => "",
        };
        let parts = match intake.assets.is_none() {
            true => vec![remote::REUSE, remote::RECEIVE],
            false => vec![remote::REUSE, remote::ASSETS, remote::RECEIVE],
        };
        self.joined("receive", &parts)
            .var("NEW", intake.id.as_str())
            .var("CODEC", intake.codec.word())
            .var("MANIFEST_SHA", intake.manifest_sha)
            .var("FROM", intake.from)
            .var("SETTINGS", intake.settings)
            .var("LIMITS", intake.limits.line())
            .var("NODE", intake.node)
            .var("TRANSFER", format!("\"transfer\":{}", serde_json::json!(intake.transfer)))
            .var("EARLIER", intake.earlier.to_string())
            .var("SERVICE", flag(intake.runs))
            .var("GROUP_NAME", group)
            .var("ASSETS", folders(intake.assets))
            .var("ASSETS_KEEP", intake.assets.keep.to_string())
            .var("ASSETS_LINK", flag(intake.links))
            .var("SHARED_DIRS", links(intake.app_dir, &intake.shared.dirs))
            .var("SHARED_FILES", links(intake.app_dir, &intake.shared.files))
    }

    /// Making a release that lies there the target.
    pub(super) fn check(&self, target: &Target<'_>) -> Script {
        let release = target.release;
        let shared = release.shared.dirs.iter().chain(&release.shared.files);
        let links: Vec<String> = shared.filter_map(|path| text(&place(&release.app_dir, path)?)).collect();
        let parts = match release.assets.is_none() {
            true => vec![remote::CHECK],
            false => vec![remote::REUSE, remote::ASSETS, remote::CHECK],
        };
        self.joined("check", &parts)
            .var("NEW", release.id.as_str())
            .var("ASSETS", folders(&release.assets))
            .var("ASSETS_KEEP", release.assets.keep.to_string())
            .var("ASSETS_LINK", flag(target.links))
            .var("SETTINGS", &release.settings)
            .var("LIMITS", target.limits.line())
            .var("WITHDRAW", target.withdraw)
            .var("HOLD", target.hold)
            .var("LINKS", links.join("\n"))
    }

    /// Holding deploys, for this reason; none: no longer.
    pub fn hold(&self, why: Option<&str>) -> Script {
        self.script("hold", &[remote::LOCK, remote::FACTS, remote::HOLD]).var("WHY", why.unwrap_or_default())
    }

    /// Writing down what became of a release.
    pub fn mark(&self, id: &ReleaseId, state: State, why: &str) -> Script {
        self.script("mark", &[remote::LOCK, remote::MARK])
            .var("RELEASE", id.as_str())
            .var("STATE", state.word())
            .var("WHY", why)
    }

    /// A hook, or its undo line.
    pub fn hook(&self, line: &Line<'_>) -> Script {
        self.joined("hook", &[remote::LINE, remote::UNDONE, remote::HOOK])
            .var("NEW", line.id.as_str())
            .var("MODE", line.mode)
            .var("NUMBER", line.number.to_string())
            .var("NOTE", line.note)
            .var("RUN", line.run)
            .var("LAST", flag(line.last))
            .var("LIMIT", ticks(line.limit))
            .var("APP_DIR", line.app_dir)
            .var("ENV", remote::pairs(line.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
            .var("ENV_FILE", line.env_file.map(shared_path).unwrap_or_default())
    }

    /// Looking without touching, and reading more than names.
    pub fn look(&self, config: &Config, keep: Option<usize>, reading: Reading) -> Script {
        let more: &[&str] = if reading == Reading::Nothing { &[] } else { &[remote::VERIFY, remote::HELD] };
        self.looking("look", config, more)
            .var("READ", reading.word())
            .var("KEEP", keep.map(|keep| keep.to_string()).unwrap_or_default())
            .var("SURVEY", "")
    }

    /// Looking without touching, at all that a deploy would depend on.
    pub fn survey(&self, config: &Config) -> Script {
        self.looking("survey", config, &[remote::SURVEY])
            .var("SHARED_DIRS", shared_paths(&config.shared.dirs))
            .var("SETTINGS", service::settings(&config.service, &config.health, "", false))
            // What a deploy that lacks space removes first: the new release counts as one of those that are kept.
            .var("KEEP", config.release.keep.saturating_sub(1).max(1).to_string())
            .var("READ", "")
            .var("SURVEY", "yes")
    }

    fn looking(&self, name: &'static str, config: &Config, more: &[&'static str]) -> Script {
        let words = service::words(&config.service);
        let first = [remote::LOCK, remote::HOME, remote::FACTS, remote::PRUNE, words];
        let parts = [&first[..], &switch::words(config), more, &[remote::LOOK]].concat();
        switch::told(self.script(name, &parts), config)
            .var("SHARED_FILES", shared_paths(&config.shared.files))
            .var("PROGRAM", service::program(&config.service))
            .var("NAMES", service::names(&config.service))
    }

    /// Taking a lock away from `owner` (its token); empty: only tells who has it.
    pub fn unlock(&self, owner: &str) -> Script {
        self.script("unlock", &[remote::LOCK, remote::UNLOCK]).var("OWNER", owner)
    }
}

/// What the scripts of one session share.
fn common() -> Script {
    Script::new("common", &[remote::LIB, remote::PATH, remote::LOCK, remote::HOME, remote::VERIFY])
}

/// What a look reads of a release beside its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing.
    Nothing,
    /// What of the live one is not as released, for people.
    Drift,
    /// What a new one could be made of.
    Held,
}

impl Reading {
    fn word(self) -> &'static str {
        match self {
            Reading::Nothing => "",
            Reading::Drift => "drift",
            Reading::Held => "held",
        }
    }
}

/// What a session is told of its run.
pub struct Beginning<'a> {
    /// Good releases to keep.
    pub keep: usize,
    /// The client's fields of the history line.
    pub history: &'a str,
    /// Whether the run may be to an earlier release, whose own record says how it is run.
    pub earlier: bool,
    /// Whether a release is to be sent.
    pub receives: bool,
}

/// What `hook` is told.
pub struct Line<'a> {
    /// `run`, `note`, `undo` or `done`.
    pub mode: &'static str,
    /// Which hook, from 0.
    pub number: usize,
    /// What is written down until the undo line was run; empty: there is none.
    pub note: &'a str,
    /// The line; empty with `note` and `done`.
    pub run: &'a str,
    /// Whether nothing is left to be undone after it.
    pub last: bool,
    /// How long it may take.
    pub limit: Duration,
    /// The release in whose app directory it runs.
    pub id: &'a ReleaseId,
    /// Where the app lies in it.
    pub app_dir: &'a str,
    /// Its variables.
    pub env: &'a [(String, String)],
    /// A shared file with further ones.
    pub env_file: Option<&'a str>,
}

/// What `receive` is told about the release.
pub(super) struct Intake<'a> {
    /// Its id.
    pub id: &'a ReleaseId,
    /// How the payload is compressed.
    pub codec: Codec,
    /// SHA-256 of the manifest, hex.
    pub manifest_sha: &'a str,
    /// The live release that files are taken from; empty: there is none.
    pub from: &'a str,
    /// What the service's words read.
    pub settings: &'a str,
    /// How long the host may take.
    pub limits: Limits,
    /// The host's node, for the record; empty where there is none.
    pub node: &'a str,
    /// What is sent, for the record.
    pub transfer: Transfer,
    /// Bytes that crossed the wire in vain before.
    pub earlier: u64,
    /// Whether it has a service, which may say more of itself.
    pub runs: bool,
    /// Where the app lies in it.
    pub app_dir: &'a str,
    /// Who may read it.
    pub access: &'a Access,
    /// What outlives it.
    pub shared: &'a Shared,
    /// What of earlier ones it keeps.
    pub assets: &'a Assets,
    /// Whether that may be linked.
    pub links: bool,
}

/// What `check` is told about a rollback's target.
pub(super) struct Target<'a> {
    /// The earlier release.
    pub(super) release: &'a Release,
    /// How long its jobs may take.
    pub(super) limits: Limits,
    /// Why the live one is left; empty: it isn't.
    pub(super) withdraw: &'a str,
    /// Why deploys are to be held after it; empty: they are not.
    pub(super) hold: &'a str,
    /// Whether what it keeps of others may be linked.
    pub(super) links: bool,
}

/// Yes or no, as a shell asks for it.
fn flag(yes: bool) -> &'static str {
    if yes { "yes" } else { "" }
}

/// Whole seconds, at least one: a host counts ticks, it doesn't read clocks.
fn ticks(limit: Duration) -> String {
    (limit.as_millis().div_ceil(1000).max(1)).to_string()
}

/// A shared path below shared/: the same with and without the leading slash that places its link.
fn shared_path(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

/// One a line.
fn shared_paths(paths: &[String]) -> String {
    paths.iter().map(|path| shared_path(path)).collect::<Vec<_>>().join("\n")
}

/// One folder a line, as manifests write it; one that they have to escape holds nothing that a host's tools can take.
fn folders(assets: &Assets) -> String {
    let plain = |path: &&String| escape(path.as_bytes()) == path.as_bytes();
    assets.paths.iter().filter(plain).cloned().collect::<Vec<_>>().join("\n")
}

/// Lines `LINK<TAB>TEXT<TAB>PATH`: relative links, so that the home can be moved or mounted elsewhere.
fn links(app_dir: &str, paths: &[String]) -> String {
    let line = |path: &String| {
        let link = text(&place(app_dir, path)?)?;
        // From releases/ID/LINK's directory up to the home: one `..` for each name before the last, plus two.
        let up = "../".repeat(link.split('/').count() + 1);
        let path = shared_path(path);
        Some(format!("{link}\t{up}shared/{path}\t{path}"))
    };
    paths.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

fn text(path: &Path) -> Option<String> {
    path.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::*;

    /// Every script as it travels, for an app with and without a service.
    fn rendered() -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (kind, service) in [
            ("files", ""),
            ("pm2", "[service.pm2]\nscript = \"server.js\"\nport = 3000\n"),
            ("command", "[service.command]\nstart = \"it's $1\"\nrevert = \"r\"\nport = 3000\n"),
            ("nginx", "[service.pm2]\nscript = \"server.js\"\n[proxy.nginx]\nports = [3001, 3002]\n"),
            ("caddy", "[service.pm2]\nscript = \"server.js\"\n[proxy.caddy]\nports = [3001, 3002]\ntest = \"it's\"\n"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("deploy.toml");
            let text = format!(
                "app = \"it\"\n[build]\npreset = \"files\"\noutput = \"dist\"\n[shared]\ndirs = [\"a b\"]\nfiles = [\"it's\"]\n\
                 {service}[stages.x]\nhosts = [\"local\"]\npath = \"/srv/$(x) 'y'\"\n"
            );
            std::fs::write(&file, text).unwrap();
            let config = Config::load(&file, None, &|_| None).unwrap();
            let home = Home {
                base: config.path.clone(),
                token: "0123456789abcdef".into(),
                who: "it's@me".into(),
                path: vec!["~/it's".into()],
            };
            let id: ReleaseId = "20260321-140000-k3f9".parse().unwrap();
            let limits = Limits { activate: Duration::from_secs(9), revert: Duration::from_secs(20), workers: 2 };
            let opening = Beginning { keep: 5, history: "\"who\":\"it's\"", earlier: false, receives: true };
            let release = Release {
                id: id.clone(),
                app_dir: String::new(),
                service: config.service.clone(),
                health: config.health.clone(),
                shared: config.shared.clone(),
                mutable: vec![],
                assets: Default::default(),
                settings: "{}".into(),
                proxy: None,
            };
            let intake = Intake {
                id: &id,
                codec: Codec::Gzip,
                manifest_sha: "00",
                from: "20260320-140000-k3f9",
                settings: "{}",
                limits,
                node: "v20.20.2",
                transfer: Transfer::default(),
                earlier: 0,
                runs: true,
                app_dir: "",
                access: &Access::Private,
                shared: &config.shared,
                assets: &Assets { keep: 3, paths: vec!["it's".into(), "a b".into()] },
                links: true,
            };
            let scripts = [
                common(),
                home.session(&config, &opening).unwrap(),
                home.driver(&config, 5),
                home.side("watch", "1000"),
                home.receive(&intake),
                home.check(&Target {
                    release: &release,
                    limits,
                    withdraw: "a
b",
                    hold: "it's",
                    links: false,
                }),
                home.hold(Some("it's")),
                home.mark(&id, State::Failed, "it's $(x)"),
                home.look(&config, Some(3), Reading::Held),
                home.survey(&config),
                home.unlock(""),
                home.hook(&Line {
                    mode: "run",
                    number: 0,
                    note: "`it's`",
                    run: "echo \"$A\" 'b'",
                    last: false,
                    limit: Duration::from_secs(1),
                    id: &id,
                    app_dir: "apps/web",
                    env: &[("A".into(), "it's\n\\n".into())],
                    env_file: Some("/.env"),
                }),
            ];
            let names = [
                "common", "session", "driver", "side", "receive", "check", "hold", "mark", "look", "survey", "unlock",
                "hook",
            ];
            for (name, script) in names.iter().zip(&scripts) {
                let text = script.render().unwrap();
                // Most are the same for every service; the session's differs by what it carries, which is checked by itself.
                let carried = *name == "session" && all.iter().any(|(known, _)| known.ends_with("-session"));
                if !carried && all.iter().all(|(_, other)| *other != text) {
                    all.push((format!("{kind}-{name}"), text));
                }
            }
        }
        all
    }

    /// What a tool finds in a script; nothing where it is content.
    fn told(tool: &[&str], file: &Path) -> String {
        let mut command = Command::new(tool[0]);
        let output = command.args(&tool[1..]).arg(file).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}: use tests/run", tool[0]));
        let text = [output.stdout, output.stderr].concat();
        match output.status.success() && text.is_empty() {
            true => String::new(),
            false => format!("{} {}: {}\n", tool[0], file.display(), String::from_utf8_lossy(&text)),
        }
    }

    #[test]
    fn every_shell_and_shellcheck_accept_the_scripts_as_they_travel() {
        // Exceptions: a directive is a comment and stays behind. 2012 and 2086 stand in the files with their reasons;
        // 2034, 2119, 2120, 2154, 2317 and 2329: a part is there for several scripts; 1003, 2016 and 2088: data in single quotes.
        let excepted = "1003,2012,2086,2034,2119,2120,2317,2329,2016,2088,2153,2154,1090";
        let shellcheck = ["shellcheck", "-s", "sh", "-f", "gcc", "-e", excepted];
        let tools = [&["dash", "-n"][..], &["bash", "--posix", "-n"], &["busybox", "sh", "-n"], &shellcheck];
        let folder = tempfile::tempdir().unwrap();
        let all = rendered();
        let files: Vec<PathBuf> = all.iter().map(|(name, _)| folder.path().join(name)).collect();
        files.iter().zip(&all).for_each(|(file, (_, text))| std::fs::write(file, text).unwrap());
        // A minute of shellcheck: the longest of all unit tests.
        let part = |first: usize| -> String {
            files.iter().skip(first).step_by(2).flat_map(|file| tools.iter().map(|tool| told(tool, file))).collect()
        };
        let found = std::thread::scope(|scope| {
            let other = scope.spawn(|| part(1));
            part(0) + &other.join().unwrap()
        });
        assert!(found.is_empty(), "{found}");
    }

    #[test]
    fn shared_links_lead_from_the_release_to_the_home() {
        assert_eq!(links("", &["uploads".into()]), "uploads\t../../shared/uploads\tuploads");
        assert_eq!(
            links("apps/web", &["data/up".into(), "/top".into()]),
            "apps/web/data/up\t../../../../../shared/data/up\tdata/up\ntop\t../../shared/top\ttop"
        );
    }
}
