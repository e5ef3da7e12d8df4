//! One case's own project, home on the host, way to it, and place to stop at.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::colours;
use crate::disk::Disk;
use crate::ground::{Ground, Made, copy_home};
use crate::matrix::{At, Case, Fault, Place, Service, Way};
use crate::spot::Spot;
use crate::support::account::Account;
use crate::support::config::Config;
use crate::support::front::{Front, Kind};
use crate::support::pm2::Pm2;
use crate::support::ports;
use crate::support::process::{self, Signal, eventually};
use crate::support::proxy::Proxy;
use crate::support::shipit::{Output, Running, Shipit};
use crate::support::site::Site;

/// A project and its home.
pub(crate) struct Bench {
    pub(crate) dir: PathBuf,
    pub(crate) site: Site,
    pub(crate) shipit: Shipit,
    pub(crate) config: Config,
    pub(crate) spot: Spot,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) disk: Option<Disk>,
    pub(crate) pm2: Option<Pm2>,
    /// What leads the requests to the colours, and whether it does so yet.
    pub(crate) front: Option<Front>,
    pub(crate) led: Cell<bool>,
    pub(crate) port: u16,
    pub(crate) service: Service,
    /// Whoever works on the host.
    pub(crate) owner: Account,
    project: PathBuf,
    limits: Limits,
    place: Place,
}

/// Seconds; as long as a machine under load may need, but where it is waited for that one is over.
#[derive(Clone, Copy, Debug)]
struct Limits {
    timeout: u64,
    within: u64,
    soak: u64,
}

impl Limits {
    fn of(case: &Case) -> Limits {
        Limits {
            timeout: if case.fault == Fault::Hangs { 1 } else { 60 },
            within: if matches!(case.fault, Fault::Hangs | Fault::ToolFails) { 8 } else { 60 },
            soak: if case.place.name == "soak" { 2 } else { 0 },
        }
    }
}

impl Bench {
    /// One whose run stops at the case's place; nothing is live.
    pub(crate) fn new(ground: &Ground, number: usize, case: &Case) -> Bench {
        let Case { service, way, place, fault, .. } = *case;
        let dir = ground.case(number);
        let key = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let owner = ground.owner(way);
        let home = dir.join("srv");
        fs::create_dir(&home).unwrap();
        let disk = (fault == Fault::DiskFull).then(|| Disk::mount(&home));
        owner.own(&home);
        let run = dir.join("run");
        for path in [dir.join("project"), dir.join("other"), dir.join("home"), run.clone()] {
            fs::create_dir(path).unwrap();
        }
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
        let pm2 = service.is_of_pm2().then(|| Pm2::new(&dir.join("pm2"), &owner));
        let front = (service == Service::Colours).then(|| Front::start(Kind::Nginx, &dir.join("front"), &owner));
        let spot = Spot::new(&dir.join("spot"), &owner, case, pm2.as_ref(), &ground.looks);
        let proxied = way == Way::Ssh && matches!(fault, Fault::Cut | Fault::Silent);
        let proxy = proxied.then(|| Proxy::start(ground.sshd.port));
        let ssh_port = proxy.as_ref().map_or(ground.sshd.port, |proxy| proxy.port);
        let limits = Limits::of(case);
        // Short only where it is waited for: under load a host may not be heard for seconds.
        let silence = if matches!(fault, Fault::Stopped | Fault::Silent) { "2s" } else { "15s" };
        let mut config = Config::files();
        let address = match way {
            Way::Ssh => format!("{}@127.0.0.1:{ssh_port}", owner.name),
            Way::Local => "local".to_owned(),
        };
        config
            .set("ssh.identity_file", ground.identity.display().to_string())
            .set("ssh.known_hosts", dir.join("known_hosts").display().to_string())
            // Key exchange is not what is tried here, and the newest is the dearest.
            .set(
                "ssh.options",
                ["IdentitiesOnly=yes", "IdentityAgent=none", "KexAlgorithms=curve25519-sha256"]
                    .map(str::to_owned)
                    .to_vec(),
            )
            .set("ssh.path", vec![spot.tools.display().to_string()])
            .set("rollout.silence", silence)
            .set("health.url", ground.looks.url(&key))
            .set("health.from", "here")
            .set("health.assets", false)
            .set("health.timeout", format!("{}s", limits.timeout))
            .set("health.interval", "200ms")
            .set("health.within", format!("{}s", limits.within))
            .set("health.soak", format!("{}s", limits.soak))
            .set("release.keep", 1)
            .set("stages.production.hosts", vec![address])
            .set("stages.production.path", home.display().to_string());
        let port = ports::free();
        service.configure(&mut config, port);
        if let Some(front) = &front {
            colours::configure(&mut config, front, &spot);
        }
        if let At::Line(line) = place.at {
            // Only a line that hangs is to meet its limit.
            let limit = if fault == Fault::Hangs { "2s" } else { "2m" };
            set_line(&mut config, line, &spot.line(line), limit);
        }
        fs::write(dir.join("known_hosts"), ground.sshd.known_host(ssh_port)).unwrap();
        let project = dir.join("project");
        let shipit = Shipit::new(&project, &dir.join("home")).env("XDG_RUNTIME_DIR", &run.display().to_string());
        let site = Site::new(&home, &home);
        let led = Cell::new(false);
        Bench {
            dir,
            site,
            shipit,
            config,
            spot,
            proxy,
            disk,
            pm2,
            front,
            led,
            port,
            service,
            owner,
            project,
            limits,
            place,
        }
    }

    /// Puts a copy of what was made into the home.
    pub(crate) fn begin_with(&self, made: &Made) {
        if made.live.is_none() {
            return;
        }
        copy_home(&made.dir.join("srv"), &self.site.dir);
        // What was left unfinished names the place it lay in, and what was released the port it was run on.
        let shown = |dir: &Path| dir.display().to_string();
        let key = self.dir.file_name().unwrap().to_str().unwrap();
        let secs = |name: &str, secs: u64| format!("\"{name}\":{{\"nanos\":0,\"secs\":{secs}}}");
        let mut names = vec![
            (shown(&made.dir), shown(&self.dir)),
            (format!("PORT='{}'", made.port), format!("PORT='{}'", self.port)),
            (format!("PORT={}", made.port), format!("PORT={}", self.port)),
            (format!("\"PORT\":\"{}\"", made.port), format!("\"PORT\":\"{}\"", self.port)),
            (format!("\"PORT\": \"{}\"", made.port), format!("\"PORT\": \"{}\"", self.port)),
            (format!("\"port\":{}", made.port), format!("\"port\":{}", self.port)),
            ("/always\"".to_owned(), format!("/{key}\"")),
        ];
        for (from, to) in made.colours.iter().zip(self.front.iter().flat_map(|front| front.colours)) {
            names.extend(colours::port_names(*from, to));
        }
        // A release is run again as its own record says.
        if let At::Line(line) = self.place.at {
            let own = format!("sh service.sh {line}");
            names.push((own.clone(), format!("{} && {own}", self.spot.line(line))));
        }
        let limits = self.limits;
        names.push((secs("timeout", 60), secs("timeout", limits.timeout)));
        names.push((secs("within", 60), secs("within", limits.within)));
        names.push((secs("soak", 0), secs("soak", limits.soak)));
        let state = fs::read_dir(self.site.dir.join(".shipit")).unwrap().map(|entry| entry.unwrap().path());
        let notes = state.flat_map(|path| match path.file_name().unwrap().to_string_lossy() {
            name if name.starts_with("t.") => vec![path.join("back"), path.clone()],
            name if name == "records" || name == "proxy" => vec![path.clone()],
            _ => vec![],
        });
        for notes in notes {
            for entry in fs::read_dir(notes).unwrap().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_file() {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    let text = names.iter().fold(text, |text, (from, to)| text.replace(from, to));
                    fs::write(entry.path(), text).unwrap();
                }
            }
        }
        self.begin_service(&made.dir, &names);
    }

    /// Writes config and app.
    pub(crate) fn write(&self, version: &str) {
        write_project(&self.project, &self.config, version, self.service);
    }

    /// Starts a verb on the stage.
    pub(crate) fn start(&self, verb: &str) -> Running {
        self.shipit.spawn_json(&[verb, "production"])
    }

    /// Another user's deploy to the same home, to its end.
    pub(crate) fn other(&self, version: &str) -> Output {
        let project = self.dir.join("other");
        write_project(&project, &self.config, version, self.service);
        self.shipit.within(&project).spawn_json(&["deploy", "production"]).finish()
    }

    /// Deploys, which must work; the release.
    pub(crate) fn deploy(&self, version: &str) -> String {
        self.write(version);
        self.start("deploy").finish().expect(0).release()
    }

    /// The lock's text, where somebody has it.
    pub(crate) fn lock(&self) -> Option<String> {
        let dir = self.site.dir.join(".shipit");
        let locks = fs::read_dir(&dir).ok()?.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let number: u64 = name.strip_prefix("lock.")?.parse().ok()?;
            Some((number, fs::read_link(dir.join(&name)).ok()?.to_str()?.to_owned()))
        });
        locks.max().map(|(_, text)| text).filter(|text| text != "free")
    }

    /// The session's shell, by the lock's text.
    pub(crate) fn session(&self) -> Option<u32> {
        self.lock()?.split(':').next()?.parse().ok()
    }

    /// The number of the link `current` itself: a switch makes another one.
    pub(crate) fn link(&self) -> Option<u64> {
        fs::symlink_metadata(self.site.dir.join("current")).ok().map(|meta| meta.ino())
    }

    /// The ssh masters of this case.
    pub(crate) fn masters(&self) -> Vec<u32> {
        let run = self.dir.join("run").display().to_string();
        let ours = |pid: &u32| {
            let line = process::command_line(*pid);
            line.starts_with("ssh") && line.contains(&run)
        };
        process::all().into_iter().filter(ours).collect()
    }

    /// Waits until nothing works in the home any more.
    pub(crate) fn quiet(&self) {
        eventually("nothing works in the home", Duration::from_secs(20), || {
            let left: Vec<String> = self.strangers().iter().map(|pid| process::command_line(*pid)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // PM2's daemon first: it would start again what is ended.
        drop(self.pm2.take());
        for pid in self.masters().into_iter().chain(self.standing()) {
            process::signal(pid, Signal::Kill);
        }
    }
}

fn set_line(config: &mut Config, line: &str, run: &str, limit: &str) {
    match line {
        "build" => config.set("build.command", run),
        "start" | "status" | "revert" => config
            .set(&format!("service.command.{line}"), format!("{run} && sh service.sh {line}"))
            .set(&format!("service.command.{line}_timeout"), limit),
        // The app's own: see `service`.
        "candidate" | "worker" => config,
        hook => {
            let (step, key) = if hook == "undo" { ("before_switch", "undo") } else { (hook, "run") };
            let mut table = toml::Table::new();
            table.insert("run".into(), "true".into());
            table.insert(key.into(), run.into());
            table.insert("timeout".into(), limit.into());
            config.set(&format!("hooks.{step}"), vec![toml::Value::Table(table)])
        }
    };
}

fn write_project(project: &Path, config: &Config, version: &str, service: Service) {
    config.write(&project.join("deploy.toml"));
    service.write(version, &project.join("dist"));
}
