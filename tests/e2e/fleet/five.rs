//! Five machines with a small server each, which a word in a shared file makes bad in one place; and eyes for all of them
//! at once: what is live by its link, its files' hashes and the process that listens, and whether what a run said of it is so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::apps::App;
use crate::support::bench::{Bench, Host, Make, STAGE};
use crate::support::pm2::release_of;
use crate::support::ports;
use crate::support::process::{Signal, eventually, signal};
use crate::support::shipit::{Output, Running};
use crate::support::site::Live;

/// What each host has, in order; none: nothing is live there.
pub(super) type Lives = Vec<Option<String>>;

/// Ends the server before, starts this one. Each start and each way back goes to the fleet's log.
const RUN: &str = r#"shared=../../shared
echo "$1 $(cat $shared/name) ${PWD##*/} $(date +%s%3N)" >>COMMON/log
sh COMMON/meter activate
[ "$1 $(cat broken)" != "start activate" ] || { echo "it will not start"; exit 9; }
sh run-stop.sh
setsid node server.js >/dev/null 2>&1 </dev/null &
echo $! >$shared/pid
"#;

const STOP: &str = r#"pid=$(cat ../../shared/pid 2>/dev/null) || exit 0
kill "$pid" 2>/dev/null
while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
rm -f ../../shared/pid
"#;

/// Its page is bad, or it does not boot as a candidate, where the shared file says so.
const SERVER: &str = r#"const fs = require("fs");
const broken = () => fs.readFileSync("broken", "utf8").trim();
if (process.env.SHIPIT_BOOT_TEST && broken() === "boot_test") process.exit(1);
const answer = (request, response) => {
  response.statusCode = request.url === "/page" && broken() === "verify" ? 500 : 200;
  response.end(process.cwd());
};
require("http").createServer(answer).listen(Number(process.env.PORT), "127.0.0.1");
"#;

/// Notes how many work at this step at once, itself included. It stays until there are three, or for a while.
const METER: &str = r#"cd COMMON && [ -e metering ] || exit 0
step=$1 n=0
mkdir "in.$step.$$"
set -- in."$step".*
echo "$step $#" >>counts
while [ $# -lt 3 ] && [ "$n" -lt 8 ]; do
  n=$((n + 1))
  sleep 0.05
  set -- in."$step".*
done
rmdir "in.$step.$$"
"#;

/// The machines.
pub(super) struct Fleet {
    pub(super) bench: Bench,
    pub(super) common: PathBuf,
    /// Whether its hooks have something to undo.
    pub(super) undoes: bool,
    versions: usize,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for host in &self.bench.hosts {
            host.sshd.listener(host.port).map(|pid| signal(pid, Signal::Kill));
        }
    }
}

impl Fleet {
    /// Five, with nothing live on any.
    pub(super) fn new() -> Fleet {
        let mut bench = Make::pm2(1).hosts(5).proxied().bench();
        let common = bench.area.path().join("common");
        let host = bench.host();
        host.account.make_dir(&common);
        let (path, port) = (host.site.path.display().to_string(), host.port);
        fs::write(common.join("meter"), METER.replace("COMMON", &common.display().to_string())).unwrap();
        bench
            .config
            .unset("service.pm2")
            .set("service.command.start", "sh run.sh start")
            .set("service.command.revert", "sh run.sh revert")
            .set("service.command.stop", "sh run-stop.sh")
            .set("service.command.port", i64::from(port))
            .set("health.url", format!("http://127.0.0.1:{port}/page"))
            .set("health.from", "host")
            .set("health.assets", false)
            .set("health.soak", "0s")
            .set("health.within", "30s")
            .set("release.keep", 1)
            .set("rollout.silence", "15s")
            .set("shared.files", vec!["broken".to_owned()])
            .set("ssh.path", vec![format!("{path}/shared/tools")]);
        for host in &bench.hosts {
            host.share("name", &host.name);
        }
        let fleet = Fleet { bench, common, undoes: false, versions: 0 };
        fleet.mend();
        fleet
    }

    /// The next version, in the project with the config as it is.
    pub(super) fn write(&mut self) {
        self.versions += 1;
        let common = self.common.display().to_string();
        let app = App::empty()
            .file("version", self.versions.to_string())
            .file("server.js", SERVER)
            .file("run.sh", RUN.replace("COMMON", &common))
            .file("run-stop.sh", STOP);
        self.bench.write(&app);
    }

    /// Begins to deploy the next version.
    pub(super) fn start(&mut self) -> Running {
        self.write();
        let _ = fs::remove_file(self.common.join("log"));
        self.bench.shipit.spawn_json(&["deploy", STAGE])
    }

    /// Runs another verb.
    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.bench.write_config();
        let _ = fs::remove_file(self.common.join("log"));
        self.bench.shipit.run(words)
    }

    /// Makes one host as if nobody had ever deployed to it.
    pub(super) fn empty(&self, host: usize) {
        let host = &self.bench.hosts[host];
        host.sshd.listener(host.port).map(|pid| signal(pid, Signal::Kill));
        for entry in fs::read_dir(&host.site.dir).unwrap().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        host.share("name", &host.name);
        host.share("broken", "nothing");
    }

    /// Deploys the next version to all, which must work.
    pub(super) fn release(&mut self) -> String {
        let id = self.start().finish().expect(0).release();
        self.has(&vec![Some(id.clone()); 5]);
        id
    }

    /// All hosts are well again.
    pub(super) fn mend(&self) {
        for host in &self.bench.hosts {
            host.share("broken", "nothing");
            let _ = fs::remove_dir_all(host.site.dir.join("shared/tools"));
        }
    }

    /// A program of one host that goes before the system's.
    pub(super) fn tool(&self, host: usize, name: &str, text: &str) {
        let host = &self.bench.hosts[host];
        host.share(&format!("tools/{name}"), &format!("#!/bin/sh\n{text}"));
        let file = host.site.dir.join("shared/tools").join(name);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn name(&self, host: usize) -> &str {
        &self.bench.hosts[host].name
    }

    /// What `current` names on each.
    pub(super) fn lives(&self) -> Lives {
        self.bench.hosts.iter().map(|host| host.site.current()).collect()
    }

    /// Every host has exactly this, whole, and runs it.
    #[track_caller]
    pub(super) fn has(&self, lives: &Lives) {
        for (host, live) in self.bench.hosts.iter().zip(lives) {
            eventually(&format!("{live:?} on {}", host.name), Duration::from_secs(20), || runs(host, live.as_deref()));
        }
    }

    /// Hosts whose start line was run for a release.
    pub(super) fn started(&self, release: &str) -> Vec<String> {
        let lines = self.log().into_iter().filter(|line| line[0] == "start" && line[2] == release);
        lines.map(|line| line[1].clone()).collect()
    }

    /// What was started and taken back: `start` or `revert`, host, release, milliseconds.
    pub(super) fn log(&self) -> Vec<[String; 4]> {
        let text = fs::read_to_string(self.common.join("log")).unwrap_or_default();
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        text.lines().map(words).collect()
    }

    /// Exit code and last words of a run against what is so: `old` was live before, `now` is.
    #[track_caller]
    pub(super) fn said(&self, output: &Output, old: &Lives, now: &Lives) {
        let ended = output.events().pop().unwrap();
        assert_eq!(ended.kind(), "ended", "{output}");
        let path = self.bench.host().site.path.display();
        let names = |wanted: &dyn Fn(usize) -> bool| -> Vec<&str> {
            (0..5).filter(|n| wanted(*n)).map(|n| self.name(n)).collect()
        };
        let new = ended.text("release").to_owned();
        let has_new = |n: usize| now[n].as_deref() == Some(&*new) && old[n] != now[n];
        let (with, without) = (names(&has_new), names(&|n| !has_new(n)));
        let began = self.started(&new);
        let switched: Vec<&str> = names(&|n| began.iter().any(|name| name == self.name(n)));
        let (codes, state) = match (&with[..], &without[..]) {
            (_, []) => (&[0, 6][..], format!("{new} is live on {} in {path}/current", all(&with))),
            ([], _) if switched.is_empty() => (&[1][..], "production was not touched".into()),
            ([], _) => {
                let before = |n: &usize| switched.contains(&self.name(*n));
                let (back, none): (Vec<usize>, Vec<usize>) = (0..5).filter(before).partition(|n| old[*n].is_some());
                let names = |of: &[usize]| all(&of.iter().map(|n| self.name(*n)).collect::<Vec<_>>());
                let live = old.iter().flatten().next().unwrap();
                let mut state = format!("{live}, what was live before, is live again and proved on {}", names(&back));
                if !none.is_empty() {
                    state += &format!("; nothing is live on {}, as before", names(&none));
                }
                (&[4][..], state)
            }
            _ => (&[5][..], format!("mixed: {new} is live on {}, not on {}", all(&with), all(&without))),
        };
        assert!(codes.contains(&output.code.unwrap()), "not {codes:?}\n{output}");
        assert!(ended.text("state").starts_with(&state), "not: {state}\n{output}");
        assert_eq!(ended.0["code"].as_i64(), output.code.map(i64::from), "{output}");
        // What was told of each host.
        for (n, live) in now.iter().enumerate() {
            let events = output.events();
            let told = events.iter().find(|event| event.kind() == "host_ended" && event.text("host") == self.name(n));
            let Some(told) = told else { continue };
            let wanted = match live {
                _ if has_new(n) => "released",
                _ if switched.contains(&self.name(n)) => "reverted",
                _ => "untouched",
            };
            assert_eq!(told.text("state"), wanted, "{}: {output}", self.name(n));
            // One that was never heard can't be said to have anything.
            let says = |what: &str| told.text("detail").contains(what);
            let unheard = wanted == "untouched" && told.text("detail") == "not touched";
            assert!(unheard || says(live.as_deref().unwrap_or("nothing is live")), "{told:?}");
        }
    }
}

/// `a, b and c`
fn all(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Why a host does not have this release, whole, and runs it.
fn runs(host: &Host, live: Option<&str>) -> Result<(), String> {
    host.site.check(&live.map_or(Live::Nothing, |id| Live::New(id.to_owned())))?;
    let pid = host.sshd.listener(host.port);
    match pid.map(release_of) {
        None if live.is_none() => Ok(()),
        Some(release) if release.is_some() && release.as_deref() == live => Ok(()),
        other => Err(format!("process {pid:?} runs {other:?}")),
    }
}

/// A bench's config for a service that has a boot test, beside what is live.
pub(super) fn with_pm2(fleet: &mut Fleet) {
    fleet
        .bench
        .config
        .unset("service.command")
        .set("service.pm2.script", "server.js")
        .set("service.pm2.port", i64::from(ports::free()));
}
