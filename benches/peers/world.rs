//! Where the contestants meet: a private sshd, with or without a slow link before it, and each contestant's way to
//! deploy to it. Says nothing of what is measured or in which order.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::served;
use super::support::proxy::Way;
use super::support::{Bench, Make, STAGE};

/// A contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Shipit,
    Rsync,
    Tar,
    Capistrano,
    /// No deploy at all: what a connection alone costs.
    Bare,
}

/// What a contestant is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Deploy,
    Rollback,
}

/// What it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// What crossed the wire; none where nobody stood there to count.
    pub(crate) wire: Option<Wire>,
}

/// Counted by the proxies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wire {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) turns: u64,
}

/// One project, its hosts and the way to them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) link: &'static str,
    bench: Bench,
}

/// How the links are called.
pub(crate) const NEAR: &str = "on loopback";
pub(crate) const FAR: &str = "over 50 ms and 100 Mbit/s";

/// Releases that everybody keeps.
const KEEP: &str = "2";
/// The slow link.
const ONE_WAY: Duration = Duration::from_millis(25);
pub(crate) const BYTES_PER_SECOND: u64 = 100_000_000 / 8;

impl Tool {
    pub(crate) const ALL: [Tool; 5] = [Tool::Shipit, Tool::Rsync, Tool::Tar, Tool::Capistrano, Tool::Bare];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Tool::Shipit => "shipit",
            Tool::Rsync => "rsync",
            Tool::Tar => "tar, gzip",
            Tool::Capistrano => "Capistrano",
            Tool::Bare => "ssh host true",
        }
    }
}

impl World {
    /// One host, spoken to directly.
    pub(crate) fn near() -> World {
        World::of(NEAR, Make::files().bench())
    }

    /// One host behind a slow link.
    pub(crate) fn far() -> World {
        World::of(FAR, slow(Make::files().proxied().bench()))
    }

    /// One host behind a link of this speed, in Mbit/s.
    pub(crate) fn over(link: &'static str, mbit: u64) -> World {
        let bench = slow(Make::files().proxied().bench());
        bench.host().proxy().limit(mbit * 1_000_000 / 8);
        World::of(link, bench)
    }

    /// Many machines apart, each behind a slow link of its own.
    pub(crate) fn many(hosts: usize) -> World {
        World::of(FAR, slow(Make::files().hosts(hosts).proxied().bench()))
    }

    fn of(link: &'static str, mut bench: Bench) -> World {
        bench.config.set("release.keep", KEEP.parse::<i64>().expect("a number"));
        let world = World { link, bench };
        let (area, host) = (world.area(), world.bench.host());
        let config = format!(
            "Host host\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n  \
             IdentitiesOnly yes\n  BatchMode yes\n",
            host.ssh_port(),
            host.account.name,
            area.join("id").display(),
            area.join("known_hosts").display(),
        );
        write(&world.ssh_config(), &config);
        let capistrano = area.join("capistrano");
        write(&capistrano.join("Capfile"), include_str!("capistrano/Capfile"));
        write(&capistrano.join("config/deploy.rb"), include_str!("capistrano/deploy.rb"));
        write(&capistrano.join("config/deploy/bench.rb"), "");
        host.account.make_dir(&world.repository());
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        world
    }

    fn area(&self) -> &Path {
        self.bench.area.path()
    }

    fn ssh_config(&self) -> PathBuf {
        self.area().join("ssh_config")
    }

    fn repository(&self) -> PathBuf {
        self.area().join("repository.git")
    }

    /// What is deployed next.
    pub(crate) fn artifact(&self) -> PathBuf {
        self.bench.project.join("dist")
    }

    /// Makes a new home for every contestant, and takes away what `place` was before.
    pub(crate) fn clear(&self, place: &str) {
        let _ = fs::remove_dir_all(self.area().join(place));
        self.bench.area.dir(place);
        self.bench.host().account.make_dir(&self.area().join(place));
    }

    /// Lets `tool` do it in its home below `place`. Whoever then serves anything but the artifact, in a release of its
    /// own, has done something else: that ends the benchmark.
    pub(crate) fn run(&mut self, tool: Tool, act: Act, place: &str) -> Sample {
        let path = self.area().join(place).join(format!("{tool:?}"));
        let path = path.to_str().expect("made of ASCII").to_owned();
        if tool == Tool::Shipit {
            self.bench.config.set(&format!("stages.{STAGE}.path"), path.clone());
            self.bench.write_config();
        }
        if (tool, act) == (Tool::Capistrano, Act::Deploy) {
            self.git(&["add", "--all"]);
            self.git(&[
                "-c",
                "user.name=bench",
                "-c",
                "user.email=bench@localhost",
                "commit",
                "-qm",
                "build",
                "--allow-empty",
            ]);
        }
        let command = match tool {
            Tool::Shipit => self.shipit(act, &[]),
            Tool::Rsync => self.script("rsync.sh", act, &path),
            Tool::Tar => self.script("tar.sh", act, &path),
            Tool::Capistrano => self.capistrano(act, &path),
            Tool::Bare => self.command("ssh", &["-F", self.ssh_config().to_str().expect("ASCII"), "host", "true"]),
        };
        let live = Path::new(&path).join("current");
        let before = fs::read_link(&live).ok();
        let sample = self.measure(command);
        if tool != Tool::Bare {
            assert_ne!(fs::read_link(&live).ok(), before, "{tool:?} left the old release live");
            served::assert_same(&self.artifact(), &live);
        }
        sample
    }

    /// Lets shipit deploy to some of the hosts, in their usual home.
    pub(crate) fn run_on(&mut self, hosts: Range<usize>) -> Sample {
        self.bench.write_config();
        let some = &self.bench.hosts[hosts];
        let names: Vec<&str> = some.iter().flat_map(|host| ["--host", host.name.as_str()]).collect();
        let sample = self.measure(self.shipit(Act::Deploy, &names));
        for host in some {
            served::assert_same(&self.artifact(), &host.site.dir.join("current"));
        }
        sample
    }

    fn measure(&self, mut command: Command) -> Sample {
        let log = self.area().join("log");
        let file = fs::File::create(&log).expect("the area is writable");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file")).stderr(file);
        // Whatever was written until now, by another contestant, too, is not waited for on this one's time.
        let _ = Command::new("sync").status();
        let before = self.settled();
        let began = Instant::now();
        let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}: use tests/run bench"));
        let seconds = began.elapsed().as_secs_f64();
        assert!(status.success(), "{command:?}: {status}\n{}", fs::read_to_string(&log).unwrap_or_default());
        let wire = self.settled().zip(before).map(|(after, before)| Wire {
            up: after.up - before.up,
            down: after.down - before.down,
            turns: after.turns - before.turns,
        });
        Sample { seconds, wire }
    }

    /// What the proxies have counted, once nothing is on its way any more.
    fn settled(&self) -> Option<Wire> {
        let mut last = self.crossed()?;
        loop {
            std::thread::sleep(4 * ONE_WAY);
            let now = self.crossed()?;
            if (now.up, now.down) == (last.up, last.down) {
                return Some(now);
            }
            last = now;
        }
    }

    fn crossed(&self) -> Option<Wire> {
        let mut all = Wire::default();
        for host in &self.bench.hosts {
            let proxy = host.proxy.as_ref()?;
            all.up += proxy.crossed(Way::Up);
            all.down += proxy.crossed(Way::Down);
            all.turns += proxy.turns();
        }
        Some(all)
    }

    fn shipit(&self, act: Act, more: &[&str]) -> Command {
        let verb = match act {
            Act::Deploy => "deploy",
            Act::Rollback => "rollback",
        };
        let mut command = self.command(env!("CARGO_BIN_EXE_shipit"), &[verb, STAGE]);
        command.args(more);
        command
    }

    fn script(&self, name: &str, act: Act, path: &str) -> Command {
        let verb = match act {
            Act::Deploy => "deploy",
            Act::Rollback => "rollback",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name);
        let mut command = self.command(script.to_str().expect("ASCII"), &[verb]);
        command.arg(self.ssh_config()).arg(self.artifact()).arg(path).arg(KEEP);
        command
    }

    fn capistrano(&self, act: Act, path: &str) -> Command {
        let verb = match act {
            Act::Deploy => "deploy",
            Act::Rollback => "deploy:rollback",
        };
        let host = self.bench.host();
        let mut command = self.command("cap", &["bench", verb]);
        command.current_dir(self.area().join("capistrano"));
        command.env("REPOSITORY", format!("file://{}", self.repository().display()));
        command.env("IDENTITY", self.area().join("id")).env("KNOWN_HOSTS", self.area().join("known_hosts"));
        command.env("ACCOUNT", host.account.name).env("PORT", host.ssh_port().to_string());
        command.env("DEPLOY_TO", path).env("KEEP", KEEP);
        command
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.bench.project).env_clear();
        command.env("PATH", std::env::var_os("PATH").expect("there is a PATH"));
        command.env("HOME", self.area().join("home")).env("USER", "bench").env("LANG", "C.UTF-8");
        command
    }

    /// The repository is the account's, on the host: git refuses to serve somebody else's.
    fn git(&self, args: &[&str]) {
        let mut command = self.bench.host().account.command("git");
        command.arg("--git-dir").arg(self.repository());
        if args[0] != "init" {
            command.arg("--work-tree").arg(self.artifact());
        }
        assert!(command.args(args).status().expect("tests/run installs git").success(), "git {args:?}");
    }
}

fn slow(bench: Bench) -> Bench {
    for host in &bench.hosts {
        host.proxy().delay(ONE_WAY);
        host.proxy().limit(BYTES_PER_SECOND);
    }
    bench
}

fn write(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().expect("in the area")).expect("the area is writable");
    fs::write(file, text).expect("the area is writable");
}
