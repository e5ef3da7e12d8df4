//! What runs the app in a case: its part of the config, its files, how it is begun without shipit, and what the kernel and
//! the service itself say of it. Nothing here uses shipit's code.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::bench::Bench;
use crate::matrix::Service;
use crate::support::apps::App;
use crate::support::config::Config;
use crate::support::pm2::Worker;
use crate::support::process::{self, eventually};

/// The app's name in every config.
const APP: &str = "tiny";

impl Service {
    /// Whether a PM2 daemon runs it.
    pub(crate) fn is_of_pm2(self) -> bool {
        matches!(self, Service::Pm2 | Service::Colours)
    }

    /// Sets what the config says of it.
    pub(crate) fn configure(self, config: &mut Config, port: u16) {
        let table = match self {
            Service::None => return,
            Service::Command => "service.command",
            Service::Pm2 | Service::Colours => "service.pm2",
        };
        config.set(&format!("{table}.port"), i64::from(port)).set("health.path", "/health");
        match self {
            Service::None => {}
            Service::Command => {
                for line in ["start", "status", "revert", "stop"] {
                    config.set(&format!("service.command.{line}"), format!("sh service.sh {line}"));
                }
            }
            Service::Pm2 | Service::Colours => {
                config.set("service.pm2.script", "server.js").set("service.pm2.instances", 1);
                config.set("service.pm2.kill_timeout", "2s").set("service.pm2.listen_timeout", "4s");
            }
        }
    }

    /// Writes a version of the app.
    pub(crate) fn write(self, version: &str, to: &Path) {
        let app = match self {
            Service::None => App::site(version),
            Service::Command => App::server(version).file("service.sh", SERVICE),
            Service::Pm2 | Service::Colours => {
                let app = App::server(version);
                let server = String::from_utf8_lossy(&app.files()[Path::new("server.js")]).into_owned();
                app.file("server.js", format!("{PREFACE}{server}"))
            }
        };
        app.write(to);
    }
}

impl Bench {
    /// Starts what is live in the home, as it ran where it was `made`.
    pub(crate) fn begin_service(&self, made: &Path, names: &[(String, String)]) {
        let live = fs::canonicalize(self.site.dir.join("current")).unwrap();
        match self.service {
            Service::None => return,
            Service::Command => {
                let mut start = self.owner.command("sh");
                start.args(["-c", "cd \"$1\" && exec sh service.sh start", "start"]).arg(live);
                assert!(start.env("PORT", self.port.to_string()).stdin(Stdio::null()).status().unwrap().success());
            }
            Service::Pm2 | Service::Colours => {
                let pm2 = self.pm2.as_ref().expect("made with one");
                let saved = fs::read_to_string(made.join("pm2/dump.pm2")).expect("a deploy saves it");
                let saved = names.iter().fold(saved, |text, (from, to)| text.replace(from, to));
                fs::write(self.dir.join("pm2/dump.pm2"), saved).unwrap();
                self.owner.own(&self.dir.join("pm2/dump.pm2"));
                let begun = pm2.run(&["resurrect"]);
                assert!(begun.status.success(), "{}", String::from_utf8_lossy(&begun.stderr));
            }
        }
        if self.service == Service::Colours {
            return self.begin_colours();
        }
        eventually("the service runs", Duration::from_secs(60), || self.serves().map(|_| ()));
    }

    /// The release that the service is, by its own word and by the kernel's; and its process.
    pub(crate) fn serves(&self) -> Result<(String, u32), String> {
        if let Some(front) = &self.front {
            return self.colour_serves(front);
        }
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

    /// Whether PM2 has what is live and nothing else.
    pub(crate) fn listed(&self, live: Option<&str>) -> Result<(), String> {
        let Some(pm2) = &self.pm2 else { return Ok(()) };
        let all = pm2.all().into_iter();
        let workers: Vec<Worker> = all.filter(|(name, _)| name.starts_with(APP)).map(|(_, worker)| worker).collect();
        let right = match live {
            None => workers.is_empty(),
            Some(id) => {
                matches!(&workers[..], [one] if one.status == "online" && one.release.as_deref() == Some(id))
            }
        };
        if right { Ok(()) } else { Err(format!("PM2 has {workers:?}, where {live:?} is right")) }
    }

    /// The app's processes.
    pub(crate) fn servers(&self) -> Vec<u32> {
        let releases = self.site.dir.join("releases");
        let is_server = |pid: &u32| is_server(*pid) && process::cwd(*pid).is_some_and(|cwd| cwd.starts_with(&releases));
        self.standing().into_iter().filter(is_server).collect()
    }

    /// What works in the home beside the service.
    pub(crate) fn strangers(&self) -> Vec<u32> {
        let daemon = |pid: u32| process::command_line(pid).contains("God Daemon");
        self.standing().into_iter().filter(|pid| !is_server(*pid) && !daemon(*pid)).collect()
    }

    /// All that stands in the home.
    pub(crate) fn standing(&self) -> Vec<u32> {
        let here = |pid: &u32| process::cwd(*pid).is_some_and(|cwd| cwd.starts_with(&self.site.dir));
        process::all().into_iter().filter(|pid| here(pid) && process::alive(*pid)).collect()
    }
}

fn is_server(pid: u32) -> bool {
    let line = process::command_line(pid);
    line.starts_with("node ") && line.contains("server.js")
        || line.starts_with("/usr/bin/node ") && line.contains("/server.js")
}

/// A service's own lines. The server is known by where it stands: a file could not be written on a full disk.
const SERVICE: &str = r#"# Starts, stops and looks at the server. Run in the release's directory.
here=$(cd ../.. && pwd -P)
pid=
for cwd in $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$here/releases/*" 2>/dev/null); do
  p=${cwd#/proc/} p=${p%/cwd}
  case $({ tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null) in 'node server.js '*) pid=$p ;; esac
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

/// A place of its own at the start of every server: as a candidate of the boot test, or as PM2's worker.
const PREFACE: &str = r#"{
  const line = `../../../spot/tools/line-${process.env.SHIPIT_BOOT_TEST ? "candidate" : "worker"}`;
  if (require("fs").existsSync(line)) {
    const ended = require("child_process").spawnSync(line, { stdio: "inherit" });
    if (ended.status !== 0) process.exit(3);
  }
}
"#;
