//! A project that deploys to this machine, whose `sh` is the wanted shell; and the hands that break things there.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::apps::App;
use crate::support::area::Area;
use crate::support::config::Config;
use crate::support::process::{self, Signal, eventually, signal};
use crate::support::shipit::{Output, Running, Shipit};
use crate::support::site::{Live, Site};

/// Which `sh` the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Dash,
    Bash,
    Busybox,
}

/// A project, its host and what is on it.
pub(crate) struct Bench {
    pub(crate) shell: Shell,
    pub(crate) area: Area,
    pub(crate) config: Config,
    pub(crate) site: Site,
    pub(crate) shipit: Shipit,
    pub(crate) project: PathBuf,
    /// The directory of links that shadows or makes up the PATH.
    pub(crate) tools: PathBuf,
}

impl Shell {
    /// The program itself, wherever links lead.
    pub(crate) fn program(self) -> PathBuf {
        let name = match self {
            Shell::Dash => "dash",
            Shell::Bash => "bash",
            Shell::Busybox => "busybox",
        };
        let dirs = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name));
        let found = dirs.iter().find_map(|file| file.canonicalize().ok());
        found.unwrap_or_else(|| panic!("there is no {name}: use tests/run"))
    }

    /// A project with this shell on its host.
    pub(crate) fn bench(self) -> Bench {
        let area = Area::new();
        let (project, home, tools) = (area.dir("project"), area.dir("home"), area.dir("tools"));
        let path = match self {
            Shell::Busybox => {
                for applet in applets(&self.program()) {
                    symlink(self.program(), tools.join(applet)).unwrap();
                }
                tools.display().to_string()
            }
            Shell::Dash | Shell::Bash => {
                symlink(self.program(), tools.join("sh")).unwrap();
                format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())
            }
        };
        let shipit = Shipit::new(&project, &home).env("PATH", &path);
        let config = Config::files();
        let mut bench = Bench { shell: self, site: site(&area, "app"), area, config, shipit, project, tools };
        bench.place("app");
        bench
    }
}

fn site(area: &Area, name: &str) -> Site {
    let dir = area.path().join(name);
    Site::new(&dir, &dir)
}

fn applets(busybox: &Path) -> Vec<String> {
    let output = Command::new(busybox).arg("--list").output().expect("it can list itself");
    let names: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(names.len() > 100, "{names:?}");
    names
}

impl Bench {
    /// Deploys to `name` in the area from now on.
    pub(crate) fn place(&mut self, name: &str) {
        self.site = site(&self.area, name);
        let path = self.site.dir.to_str().expect("a path in a config is UTF-8").to_owned();
        self.config.set("stages.production.hosts", vec!["local"]).set("stages.production.path", path);
    }

    /// Writes the config and the app.
    pub(crate) fn write(&self, app: &App) {
        self.config.write(&self.project.join("deploy.toml"));
        app.write(&self.project.join("dist"));
    }

    /// Runs a verb on the stage as it is written.
    pub(crate) fn run(&self, verb: &str, args: &[&str]) -> Output {
        self.shipit.run(&[&[verb, "production"], args].concat())
    }

    /// The same, started by another program.
    pub(crate) fn run_by(&self, program: &[&str], verb: &str, args: &[&str]) -> Output {
        self.shipit.by(program).run(&[&[verb, "production"], args].concat())
    }

    /// Starts a verb as it is written, with `--json`.
    pub(crate) fn start(&self, verb: &str, args: &[&str]) -> Running {
        self.shipit.spawn_json(&[&[verb, "production"], args].concat())
    }

    /// Deploys an app, with `--json`.
    pub(crate) fn deploy(&self, app: &App, args: &[&str]) -> Output {
        self.write(app);
        self.run("deploy", &[args, &["--json"]].concat())
    }

    /// Deploys an app, which must succeed; its id.
    #[track_caller]
    pub(crate) fn release(&self, app: &App) -> String {
        let id = self.deploy(app, &[]).expect(0).release();
        self.site.assert_invariant(&Live::New(id.clone()));
        id
    }

    /// Gives the app a health check that is always well, and a soak that no test waits for to end: a deploy is held.
    pub(crate) fn soaks(&mut self) -> &mut Config {
        self.config
            .set("health.url", format!("http://127.0.0.1:{}/", healthy()))
            .set("health.assets", false)
            .set("health.soak", "5m")
    }

    /// Takes the health check away again.
    pub(crate) fn soaks_no_more(&mut self) {
        for key in ["url", "assets", "soak"] {
            self.config.unset(&format!("health.{key}"));
        }
    }

    /// A deploy that has switched and is now held in its soak; and its id.
    pub(crate) fn held(&mut self, app: &App) -> (Running, String) {
        self.soaks();
        self.write(app);
        let run = self.start("deploy", &[]);
        self.soaks_in(&run);
        let id = run.wait_for("its name", |event| event.kind() == "release").text("release").to_owned();
        assert_eq!(self.site.current().as_deref(), Some(&*id));
        self.assert_shell();
        (run, id)
    }

    /// Waits until a run has switched and soaks.
    pub(crate) fn soaks_in(&self, run: &Running) {
        run.wait_for("the soak", |event| event.is("step_note", "verify"));
    }

    /// The text of the highest lock.
    pub(crate) fn lock(&self) -> Lock {
        Lock::of(&self.site.dir)
    }

    /// Puts a lock above all others.
    pub(crate) fn plant(&self, text: &str) {
        let number = self.lock().number + 1;
        symlink(text, self.site.dir.join(format!(".shipit/lock.{number}"))).unwrap();
    }

    /// The state in a release's record.
    pub(crate) fn state(&self, id: &str) -> String {
        self.site.record(id)["state"].as_str().unwrap().to_owned()
    }

    /// The lines of the history.
    pub(crate) fn history(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.site.dir.join(".shipit/history.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Puts a script in the place of one of the host's tools; `REAL` in it is the tool.
    pub(crate) fn shadow(&self, tool: &str, script: &str) {
        let link = self.tools.join(tool);
        let real = match self.shell {
            Shell::Busybox => {
                fs::remove_file(&link).unwrap();
                format!("{} {tool}", self.shell.program().display())
            }
            Shell::Dash | Shell::Bash => format!("/usr/bin/{tool}"),
        };
        fs::write(&link, format!("#!{}\n{}\n", self.tools.join("sh").display(), script.replace("REAL", &real)))
            .unwrap();
        fs::set_permissions(&link, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Where the host finds its tools.
    pub(crate) fn path(&self) -> String {
        let own = self.tools.display().to_string();
        if self.shell == Shell::Busybox { own } else { format!("{own}:{}", std::env::var("PATH").unwrap()) }
    }

    /// Holds every run of a tool among whose words `word` is, until the returned hold is let go.
    pub(crate) fn hold_tool(&self, tool: &str, word: &str) -> Hold {
        let hold = Hold::new(&self.area);
        self.shadow(tool, &format!("{}\nexec REAL \"$@\"", hold.script(word)));
        hold
    }

    /// The same, behind what the tool does: that is done, and not yet over.
    pub(crate) fn hold_behind(&self, tool: &str, word: &str) -> Hold {
        let hold = Hold::new(&self.area);
        self.shadow(tool, &format!("REAL \"$@\" || exit\n{}", hold.script(word)));
        hold
    }

    /// Proves the bench: the session and all that it started run the wanted shell, and with busybox nothing else.
    fn assert_shell(&self) {
        let session = self.lock().pid;
        let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
        assert_eq!(program(session), Some(self.shell.program()));
        if self.shell == Shell::Busybox {
            let strangers = process::descendants(session).into_iter().filter_map(program);
            let strangers: Vec<PathBuf> = strangers.filter(|exe| *exe != self.shell.program()).collect();
            assert!(strangers.is_empty(), "{strangers:?}");
        }
    }

    /// Whether a process stands in the home.
    pub(crate) fn stands_in(&self, pid: u32) -> bool {
        process::cwd(pid).is_some_and(|cwd| cwd.starts_with(&self.site.dir))
    }

    /// Nothing that a session started goes on: no process stands in the home.
    #[track_caller]
    pub(crate) fn assert_nothing_runs(&self) {
        eventually("nothing runs in the home", Duration::from_secs(5), || {
            let left: Vec<String> = process::all()
                .into_iter()
                .filter(|pid| self.stands_in(*pid) && process::alive(*pid))
                .map(|pid| format!("{pid}: {}", process::command_line(pid)))
                .collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }

    /// The session and the client die as if the machine had lost power: nobody is left to put anything right.
    pub(crate) fn kill_both(&self, run: Running) {
        // Stopped first, so that it can't mend what the death of its session leaves.
        run.signal(Signal::Stop);
        assert!(signal(self.lock().pid, Signal::Kill));
        run.kill();
    }
}

/// A tool of the host that is held.
pub(crate) struct Hold {
    begun: PathBuf,
    go: PathBuf,
}

impl Hold {
    fn new(area: &Area) -> Hold {
        Hold { begun: area.path().join("begun"), go: area.path().join("go") }
    }

    /// The tool's part of it. Without `begun` the area is gone, and nobody is left to let it go.
    fn script(&self, word: &str) -> String {
        let (begun, go) = (self.begun.display(), self.go.display());
        let held = format!("while [ ! -e '{go}' ] && [ -e '{begun}' ]; do sleep 0.1; done");
        format!("case \" $* \" in *\"{word}\"*) : >'{begun}'; {held} ;; esac")
    }

    /// Waits until the tool is run.
    #[track_caller]
    pub(crate) fn wait(&self, run: &Running) {
        self.wait_within(Duration::from_secs(30), run);
    }

    /// The same, with a limit of its own.
    #[track_caller]
    pub(crate) fn wait_within(&self, limit: Duration, run: &Running) {
        appears(&self.begun, "the tool is run", limit, run);
    }

    /// It goes on, and so does every later run of it.
    pub(crate) fn let_go(&self) {
        fs::write(&self.go, "").unwrap();
    }

    /// It is held again.
    pub(crate) fn again(&self) {
        // It need not have been run yet.
        let _ = fs::remove_file(&self.begun);
        fs::remove_file(&self.go).unwrap();
    }
}

/// Waits until a run has come so far that this file is there.
#[track_caller]
pub(crate) fn appears(file: &Path, what: &str, within: Duration, run: &Running) {
    eventually(what, within, || if file.exists() { Ok(()) } else { Err(run.so_far()) });
}

/// A lock as it lies on the host.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    pub(crate) number: u64,
    pub(crate) text: String,
    pub(crate) pid: u32,
}

impl Lock {
    fn of(home: &Path) -> Lock {
        let dir = home.join(".shipit");
        let locks = fs::read_dir(&dir).unwrap().filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().ok()?;
            let text = fs::read_link(dir.join(&name)).ok()?.to_str()?.to_owned();
            Some((name.strip_prefix("lock.")?.parse::<u64>().ok()?, text))
        });
        let (number, text) = locks.max().expect("there is a lock");
        let pid = text.split(':').next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        Lock { number, text, pid }
    }

    /// The text with one of its fields (0: PID, START, GROUP, BOOT, PIDNS, TOKEN, SINCE, WHO) replaced.
    pub(crate) fn with(&self, field: usize, value: &str) -> Lock {
        let mut fields: Vec<&str> = self.text.splitn(8, ':').collect();
        assert_eq!(fields.len(), 8, "{self:?}");
        fields[field] = value;
        Lock { text: fields.join(":"), ..self.clone() }
    }
}

/// A small disk of its own, in memory.
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts one at `at`, which is made.
    pub(crate) fn mount(at: &Path, options: &str) -> Disk {
        fs::create_dir_all(at).unwrap();
        let mounted = quiet("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status().unwrap();
        assert!(mounted.success(), "tests run as root, who may mount");
        Disk { at: at.to_owned() }
    }

    /// Takes up all that is free: space, and inodes where their number is limited.
    pub(crate) fn fill(&self) {
        self.fill_but(0);
    }

    /// The same, but for this many bytes.
    pub(crate) fn fill_but(&self, spare: u64) {
        fs::create_dir(self.at.join("filled")).unwrap();
        (0..1000).take_while(|n| fs::write(self.at.join(format!("filled/{n}")), "").is_ok()).for_each(drop);
        fs::remove_file(self.at.join("filled/0")).unwrap();
        let mut file = fs::File::create(self.at.join("filled/all")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let taken = file.metadata().unwrap().len();
        file.set_len(taken.saturating_sub(spare)).unwrap();
    }

    /// Gives it back.
    pub(crate) fn empty(&self) {
        fs::remove_dir_all(self.at.join("filled")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = quiet("umount").arg("-l").arg(&self.at).status();
    }
}

/// The port of a server that answers everything with 200; it lives as long as the tests.
fn healthy() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    port
}

/// The start time of a process, field 22 of its stat.
pub(crate) fn started(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned()
}

/// A command with nothing on its streams.
pub(crate) fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// One line about what a test did, seen also where it passes.
pub(crate) fn tell(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}
