//! One case's own project, home on the host, way to it, and place to stop at.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ground::{Ground, Made, copy_home};
use crate::matrix::{At, Fault, Place, Service, Verb, Way, places};
use crate::spot::Spot;
use crate::support::account::Account;
use crate::support::apps::App;
use crate::support::config::Config;
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
    pub(crate) project: PathBuf,
    pub(crate) config: Config,
    pub(crate) spot: Spot,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) disk: Option<Disk>,
    pub(crate) port: u16,
    pub(crate) service: Service,
    owner: Account,
    way: Way,
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
    fn of(place: Place, fault: Fault) -> Limits {
        Limits {
            timeout: if fault == Fault::Hangs { 1 } else { 60 },
            within: if matches!(fault, Fault::Hangs | Fault::ToolFails) { 8 } else { 60 },
            soak: if place.name == "soak" { 2 } else { 0 },
        }
    }
}

impl Bench {
    /// One whose run stops at `place`; nothing is live.
    pub(crate) fn new(ground: &Ground, number: usize, service: Service, way: Way, place: Place, fault: Fault) -> Bench {
        let dir = ground.case(number);
        let key = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let (uid, gid) = ground.owner(way);
        let home = dir.join("srv");
        fs::create_dir(&home).unwrap();
        let disk = (fault == Fault::DiskFull).then(|| Disk::mount(&home));
        chown(&home, Some(uid), Some(gid)).unwrap();
        let run = dir.join("run");
        for path in [dir.join("project"), dir.join("other"), dir.join("home"), run.clone()] {
            fs::create_dir(path).unwrap();
        }
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
        let spot = Spot::new(&dir.join("spot"), (uid, gid), place, fault, &ground.looks, &key);
        let proxied = way == Way::Ssh && matches!(fault, Fault::Cut | Fault::Silent);
        let proxy = proxied.then(|| Proxy::start(ground.sshd.port));
        let ssh_port = proxy.as_ref().map_or(ground.sshd.port, |proxy| proxy.port);
        let limits = Limits::of(place, fault);
        // Short only where it is waited for: under load a host may not be heard for seconds.
        let silence = if matches!(fault, Fault::Stopped | Fault::Silent) { "2s" } else { "15s" };
        let mut config = Config::files();
        let address = match way {
            Way::Ssh => format!("{}@127.0.0.1:{ssh_port}", ground.account.name),
            Way::Local => "local".to_owned(),
        };
        config
            .set("ssh.identity_file", ground.identity.display().to_string())
            .set("ssh.known_hosts", dir.join("known_hosts").display().to_string())
            .set("ssh.options", vec!["IdentitiesOnly=yes".to_owned(), "IdentityAgent=none".to_owned()])
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
        if service == Service::Command {
            for line in ["start", "status", "revert", "stop"] {
                config.set(&format!("service.command.{line}"), format!("sh service.sh {line}"));
            }
            config.set("service.command.port", i64::from(port)).set("health.path", "/health");
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
        Bench {
            dir,
            site,
            shipit,
            project,
            config,
            spot,
            proxy,
            disk,
            port,
            owner: ground.account.clone(),
            way,
            limits,
            place,
            service,
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
            (format!("\"port\":{}", made.port), format!("\"port\":{}", self.port)),
            ("/always\"".to_owned(), format!("/{key}\"")),
        ];
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
        let notes = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("t.") || name == "records"
        };
        for notes in state.filter(notes) {
            for entry in fs::read_dir(notes).unwrap().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_file() {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    let text = names.iter().fold(text, |text, (from, to)| text.replace(from, to));
                    fs::write(entry.path(), text).unwrap();
                }
            }
        }
        if self.service == Service::Command {
            let mut start = match self.way {
                Way::Ssh => self.owner.command("sh"),
                Way::Local => Command::new("sh"),
            };
            let live = fs::canonicalize(self.site.dir.join("current")).unwrap();
            start.args(["-c", "cd \"$1\" && exec sh service.sh start", "start"]).arg(live);
            assert!(start.env("PORT", self.port.to_string()).stdin(Stdio::null()).status().unwrap().success());
            eventually("the service runs", Duration::from_secs(20), || self.serves().map(|_| ()));
        }
    }

    /// The release that the service is, by its own word and by the kernel's; and its process.
    pub(crate) fn serves(&self) -> Result<(String, u32), String> {
        let [pid] = self.servers()[..] else { return Err(format!("servers: {:?}", self.servers())) };
        let cwd = process::cwd(pid).ok_or("the server is gone")?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(|error| error.to_string())?;
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let asked = stream.write_all(b"GET /health HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        asked.and_then(|()| stream.read_to_string(&mut answer)).map_err(|error| error.to_string())?;
        let told = format!("\"cwd\":\"{}\"", cwd.display());
        let ok = answer.contains("\"status\":\"ok\"") && answer.contains(&told);
        let release = cwd.strip_prefix(self.site.dir.join("releases")).ok().and_then(Path::to_str);
        release.filter(|_| ok).map(|id| (id.to_owned(), pid)).ok_or(format!("{cwd:?} answers {answer}"))
    }

    /// The app's processes.
    pub(crate) fn servers(&self) -> Vec<u32> {
        self.standing().into_iter().filter(|pid| is_server(*pid)).collect()
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

    /// What works in the home beside the app.
    pub(crate) fn strangers(&self) -> Vec<u32> {
        self.standing().into_iter().filter(|pid| !is_server(*pid)).collect()
    }

    fn standing(&self) -> Vec<u32> {
        let here = |pid: &u32| process::cwd(*pid).is_some_and(|cwd| cwd.starts_with(&self.site.dir));
        process::all().into_iter().filter(|pid| here(pid) && process::alive(*pid)).collect()
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
        for pid in self.masters().into_iter().chain(self.standing()) {
            process::signal(pid, Signal::Kill);
        }
    }
}

fn is_server(pid: u32) -> bool {
    process::command_line(pid).starts_with("node server.js")
}

fn set_line(config: &mut Config, line: &str, run: &str, limit: &str) {
    match line {
        "build" => config.set("build.command", run),
        "start" | "status" | "revert" => config
            .set(&format!("service.command.{line}"), format!("{run} && sh service.sh {line}"))
            .set(&format!("service.command.{line}_timeout"), limit),
        hook => {
            let mut table = toml::Table::new();
            table.insert("run".into(), run.into());
            table.insert("timeout".into(), limit.into());
            config.set(&format!("hooks.{hook}"), vec![toml::Value::Table(table)])
        }
    };
}

fn write_project(project: &Path, config: &Config, version: &str, service: Service) {
    config.write(&project.join("deploy.toml"));
    let app = match service {
        Service::None => App::site(version),
        Service::Command => App::server(version).file("service.sh", SERVICE),
    };
    app.write(&project.join("dist"));
}

/// A service's own lines. The server is known by where it stands: a file could not be written on a full disk.
const SERVICE: &str = r#"# Starts, stops and looks at the server. Run in the release's directory.
here=$(cd ../.. && pwd -P)
pid=
for cwd in $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$here/releases/*" 2>/dev/null); do
  p=${cwd#/proc/} p=${p%/cwd}
  case $(tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline") in 'node server.js '*) pid=$p ;; esac
done
case $1 in
  status) [ -n "$pid" ]; exit ;;
esac
if [ -n "$pid" ]; then
  kill -9 "$pid"
  while [ -e "/proc/$pid/cwd" ]; do sleep 0.02; done
fi
[ "$1" != stop ] || exit 0
setsid node server.js >/dev/null 2>&1 </dev/null &
"#;

/// Ends a whole process group.
pub(crate) fn kill_group(group: u32) {
    let line = "kill -s KILL -- \"-$1\"";
    let _ = Command::new("sh").args(["-c", line, "kill", &group.to_string()]).stderr(Stdio::null()).status();
}

/// A home that real runs have made.
pub(crate) fn make(ground: &Ground, number: usize, service: Service, way: Way, verb: Verb) -> Made {
    let find = |of: Verb, name: &str| places(service, of).into_iter().find(|place| place.name == name).unwrap();
    let place = match verb {
        Verb::Finish => find(Verb::Deploy, "record"),
        _ => find(Verb::Deploy, "look"),
    };
    let mut bench = Bench::new(ground, number, service, way, place, Fault::Killed);
    let mut made = Made { dir: bench.dir.clone(), live: None, left: None, port: bench.port };
    if verb == Verb::First {
        return made;
    }
    bench.config.set("release.keep", 5);
    let url = ground.looks.url("always");
    bench.config.set("health.url", url);
    let releases = if verb == Verb::Rollback { 3 } else { 2 };
    let unfinished = matches!(verb, Verb::TakeBack | Verb::Finish);
    for n in 0..releases {
        // A record is written by each of them: the place is only for the one that is left.
        let once = bench.dir.join("spot/once");
        fs::create_dir_all(&once).unwrap();
        made.live = Some(bench.deploy(&format!("v{n}")));
        fs::remove_dir(&once).unwrap();
    }
    if unfinished {
        bench.config.set("health.url", ground.looks.url(bench.dir.file_name().unwrap().to_str().unwrap()));
        bench.write("left");
        let mut run = bench.start("deploy");
        let reached = bench.spot.wait(|| run.is_over()).unwrap_or_else(|| panic!("not reached\n{}", run.so_far()));
        made.left = Some(run.wait_for("its name", |event| event.kind() == "release").text("release").to_owned());
        let session = bench.session().expect("it holds the lock");
        run.signal(Signal::Stop);
        kill_group(session);
        if reached.group != 0 {
            kill_group(reached.group);
        }
        run.kill();
    }
    bench.spot.release();
    bench.quiet();
    made
}

/// A small disk of its own, in memory.
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    fn mount(at: &Path) -> Disk {
        let mut command = Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", "size=16m,nr_inodes=2000", "tmpfs"]).arg(at).status().unwrap();
        assert!(mounted.success(), "tests run as root, who may mount");
        Disk { at: at.to_owned() }
    }

    /// Takes up all that is free: space and inodes.
    pub(crate) fn fill(&self) {
        fs::create_dir(self.at.join("filled")).unwrap();
        (0..4000).take_while(|n| fs::write(self.at.join(format!("filled/{n}")), "").is_ok()).for_each(drop);
        let mut file = fs::File::options().write(true).open(self.at.join("filled/0")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Gives it back.
    pub(crate) fn empty(&self) {
        let _ = fs::remove_dir_all(self.at.join("filled"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
