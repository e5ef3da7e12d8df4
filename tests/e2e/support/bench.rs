//! A whole bench: a project here, hosts with an account, a deploy path and perhaps a PM2 there, and the real
//! binary between them. Each test makes its own and shares nothing with the others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::account::Account;
use super::apps::App;
use super::area::Area;
use super::config::Config;
use super::pm2::{Pm2, Worker};
use super::ports;
use super::process::eventually;
use super::proxy::Proxy;
use super::shipit::{Output, Running, Shipit};
use super::site::{Live, Site};
use super::sshd::{Apart, Options, Sshd, keygen};

/// The app's name in every bench's config.
pub(crate) const APP: &str = "tiny";
/// The stage's name.
pub(crate) const STAGE: &str = "production";

/// One machine that is deployed to. Ends its parts in this order.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) account: Account,
    pub(crate) pm2: Option<Pm2>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) sshd: Sshd,
    pub(crate) site: Site,
    /// What the app listens on.
    pub(crate) port: u16,
    /// Where it tells how it is: status 200 and `"ok"`.
    pub(crate) health: &'static str,
    place: PathBuf,
}

/// A project with its hosts.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) hosts: Vec<Host>,
    pub(crate) shipit: Shipit,
    pub(crate) config: Config,
    pub(crate) project: PathBuf,
    pub(crate) area: Area,
}

/// How a bench is put together.
#[derive(Clone, Debug)]
pub(crate) struct Make {
    instances: Option<i64>,
    hosts: usize,
    proxy: bool,
    without: Vec<&'static str>,
    apart: bool,
    path: Option<String>,
    account: &'static str,
    home: bool,
    sshd: Options,
}

impl Make {
    /// One host, files only.
    pub(crate) fn files() -> Make {
        Make {
            instances: None,
            hosts: 1,
            proxy: false,
            without: Vec::new(),
            apart: false,
            path: None,
            account: "shipit-a",
            home: false,
            sshd: Options::default(),
        }
    }

    /// One host with a PM2 that runs the app in this many workers.
    pub(crate) fn pm2(instances: i64) -> Make {
        Make { instances: Some(instances), ..Make::files() }
    }

    /// Several hosts: machines apart, `a`, `b`, `c` ... `z`, `aa` ..., all with the same path and the same port.
    pub(crate) fn hosts(mut self, hosts: usize) -> Make {
        self.hosts = hosts;
        self
    }

    /// A proxy before each host.
    pub(crate) fn proxied(mut self) -> Make {
        self.proxy = true;
        self
    }

    /// Machines that lack this program of `/usr/bin`.
    pub(crate) fn without(mut self, program: &'static str) -> Make {
        self.without.push(program);
        self
    }

    /// A machine apart, though it is the only one: what is mounted there is mounted nowhere else.
    pub(crate) fn apart(mut self) -> Make {
        self.apart = true;
        self
    }

    /// Another deploy path, relative to the area.
    pub(crate) fn path(mut self, path: &str) -> Make {
        self.path = Some(path.to_owned());
        self
    }

    /// One more line of sshd's config.
    pub(crate) fn sshd(mut self, line: &str) -> Make {
        self.sshd.lines.push(line.to_owned());
        self
    }

    /// One more variable for everything that sshd runs.
    pub(crate) fn env(mut self, pair: &str) -> Make {
        self.sshd.env.push(pair.to_owned());
        self
    }

    /// Another account to deploy as.
    pub(crate) fn account(mut self, name: &'static str) -> Make {
        self.account = name;
        self
    }

    /// A home directory for this test alone: see `Host::home`.
    pub(crate) fn home(mut self) -> Make {
        self.home = true;
        self
    }

    /// The umask of everything that sshd runs.
    pub(crate) fn umask(mut self, umask: &'static str) -> Make {
        self.sshd.umask = Some(umask);
        self
    }

    /// Builds it; no release is there yet.
    pub(crate) fn bench(self) -> Bench {
        let area = Area::new();
        let identity = area.path().join("id");
        keygen(&identity);
        let port = ports::free();
        let hosts: Vec<Host> = (0..self.hosts).map(|n| self.host(&area, &identity, n, port)).collect();
        let mut config = match self.instances {
            Some(instances) => Config::pm2(port, instances),
            None => Config::files(),
        };
        let path = hosts[0].site.path.to_string_lossy().into_owned();
        let addresses: Vec<toml::Value> = hosts.iter().map(|host| host.address().into()).collect();
        config
            .set("ssh.identity_file", identity.to_string_lossy().into_owned())
            .set("ssh.known_hosts", area.path().join("known_hosts").to_string_lossy().into_owned())
            .set("ssh.options", vec!["IdentitiesOnly=yes".to_owned(), "IdentityAgent=none".to_owned()])
            .set(&format!("stages.{STAGE}.hosts"), addresses)
            .set(&format!("stages.{STAGE}.path"), path);
        let (project, home) = (area.dir("project"), area.dir("home"));
        let bench = Bench { hosts, shipit: Shipit::new(&project, &home), config, project, area };
        bench.trust_hosts();
        bench
    }

    fn host(&self, area: &Area, identity: &Path, n: usize, port: u16) -> Host {
        let letter = |n: usize| char::from(b'a' + n as u8);
        let name: String = (n >= 26).then(|| letter(n / 26 - 1)).into_iter().chain([letter(n % 26)]).collect();
        let account = Account::named(self.account);
        let place = area.dir(&format!("host-{name}"));
        let relative = self.path.as_deref().unwrap_or("srv");
        let (path, dir) = match self.hosts {
            1 => (area.path().join(relative), area.path().join(relative)),
            _ => (area.dir(relative), place.join("srv")),
        };
        account.make_dir(&dir);
        let pm2 = self.instances.map(|_| Pm2::new(&place.join("pm2"), &account));
        let mut options = self.sshd.clone();
        options.env.extend(pm2.as_ref().map(Pm2::env));
        if self.home {
            account.make_dir(&place.join("home"));
            options.env.push(format!("HOME={}", place.join("home").display()));
        }
        if self.hosts > 1 || self.apart || !self.without.is_empty() {
            let mounts = if self.hosts > 1 { vec![(dir.clone(), path.clone())] } else { Vec::new() };
            options.apart = Some(Apart { mounts, without: self.without.clone() });
        }
        let sshd = Sshd::start(&place.join("sshd"), identity, &[&account, &Account::b()], &options);
        let proxy = self.proxy.then(|| Proxy::start(sshd.port));
        Host { name, account, pm2, proxy, sshd, site: Site::new(&path, &dir), port, health: "/health", place }
    }
}

impl Host {
    /// The account's home in a bench that was made with one.
    pub(crate) fn home(&self) -> PathBuf {
        self.place.join("home")
    }

    /// The port that a client connects to.
    pub(crate) fn ssh_port(&self) -> u16 {
        self.proxy.as_ref().map_or(self.sshd.port, |proxy| proxy.port)
    }

    /// As an entry of `hosts`.
    pub(crate) fn address(&self) -> toml::Table {
        let mut table = toml::Table::new();
        table.insert("address".into(), format!("{}@127.0.0.1:{}", self.account.name, self.ssh_port()).into());
        table.insert("name".into(), self.name.clone().into());
        table
    }

    /// The proxy of a bench that was made with one.
    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("made with a proxy")
    }

    /// The workers of the app.
    pub(crate) fn workers(&self) -> Vec<Worker> {
        self.pm2.as_ref().map(|pm2| pm2.workers(APP)).unwrap_or_default()
    }

    /// Status and body of a GET on the app's port.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.sshd.get(self.port, path)
    }

    /// Both halves of the invariant: the files' (see `Site`), and that the service runs exactly what is live,
    /// every worker of it.
    #[track_caller]
    pub(crate) fn assert_live(&self, expect: &Live, workers: usize) {
        self.settles_to(expect, workers, Duration::from_secs(2));
    }

    /// The same, when it may take as long as `within`. How long it took.
    #[track_caller]
    pub(crate) fn settles_to(&self, expect: &Live, workers: usize, within: Duration) -> Duration {
        let what = format!("{expect:?} on host {}", self.name);
        eventually(&what, within, || {
            self.site.check(expect)?;
            self.check_service(expect, workers)
        })
    }

    fn check_service(&self, expect: &Live, workers: usize) -> Result<(), String> {
        if self.pm2.is_none() {
            return Ok(());
        }
        let found = self.workers();
        let Some(id) = expect.id() else {
            return if found.is_empty() { Ok(()) } else { Err(format!("processes are left: {found:?}")) };
        };
        if found.len() != workers {
            return Err(format!("not {workers} workers: {found:?}"));
        }
        let is_well = |worker: &Worker| worker.status == "online" && worker.release.as_deref() == Some(id);
        if let Some(worker) = found.iter().find(|worker| !is_well(worker)) {
            return Err(format!("a worker is not well on {id}: {worker:?}"));
        }
        match self.get(self.health) {
            (200, body) if body.contains("\"ok\"") => Ok(()),
            other => Err(format!("health: {other:?}")),
        }
    }
}

impl Bench {
    /// The only host, or the first.
    pub(crate) fn host(&self) -> &Host {
        &self.hosts[0]
    }

    /// Its site.
    pub(crate) fn site(&self) -> &Site {
        &self.hosts[0].site
    }

    /// Writes known_hosts with every host's key as it is.
    pub(crate) fn trust_hosts(&self) {
        let lines: String = self.hosts.iter().map(|host| host.sshd.known_host(host.ssh_port())).collect();
        std::fs::write(self.area.path().join("known_hosts"), lines).expect("the area is writable");
    }

    /// Has the config name a port for the first host at which nobody listens.
    pub(crate) fn lose_first_host(&mut self) {
        let mut addresses: Vec<toml::Table> = self.hosts.iter().map(Host::address).collect();
        let nobody = format!("{}@127.0.0.1:{}", self.hosts[0].account.name, ports::free());
        addresses[0].insert("address".into(), nobody.into());
        self.config.set(&format!("stages.{STAGE}.hosts"), addresses);
    }

    /// Puts `app` and the config into the project.
    pub(crate) fn write(&self, app: &App) {
        app.write(&self.project.join("dist"));
        self.write_config();
    }

    /// Puts the config as it is now into the project.
    pub(crate) fn write_config(&self) {
        self.config.write(&self.project.join("deploy.toml"));
    }

    /// Deploys `app`, with `--json`.
    pub(crate) fn deploy(&self, app: &App, more: &[&str]) -> Output {
        self.start(app, more).finish()
    }

    /// Begins to deploy `app`, with `--json`.
    pub(crate) fn start(&self, app: &App, more: &[&str]) -> Running {
        self.write(app);
        let mut args = vec!["deploy", STAGE];
        args.extend(more);
        self.shipit.spawn_json(&args)
    }

    /// Deploys `app`, which must work; the release's id.
    #[track_caller]
    pub(crate) fn release(&self, app: &App) -> String {
        self.deploy(app, &[]).expect(0).release()
    }

    /// Runs any verb on the stage.
    pub(crate) fn run(&self, verb: &str, more: &[&str]) -> Output {
        let mut args = vec![verb, STAGE];
        args.extend(more);
        self.shipit.run(&args)
    }

    /// The state of a release, as `releases --json` lists it for the first host.
    #[track_caller]
    pub(crate) fn state(&self, id: &str) -> String {
        self.site().record(id)["state"].as_str().unwrap_or("").to_owned()
    }

    /// Writes a file below the first host's `shared`, as its account.
    pub(crate) fn share(&self, name: &str, content: &str) {
        for host in &self.hosts {
            host.share(name, content);
        }
    }
}

impl Host {
    /// Writes a file below `shared`, as the account.
    pub(crate) fn share(&self, name: &str, content: &str) {
        let file = self.site.dir.join("shared").join(name);
        self.account.make_dir(file.parent().expect("below shared"));
        std::fs::write(&file, content).expect("root can write");
        self.account.own(&file);
    }
}
