//! Stopping a run at a place: a tool of the host, or a line of the user, stands behind a script of ours that reaches a
//! rendezvous and waits there; the health address is a server of ours that does the same. Nothing is placed by time.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::matrix::{At, Case, Fault, Verb};
use crate::support::account::Account;
use crate::support::pm2::Pm2;

/// What a place's script does when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Waits to be let go, then does its work.
    Wait,
    /// Fails, once.
    Fail,
    /// Fails, and so does every tool that its process group calls from then on.
    Break,
    /// Prints 10 MB, then does its work.
    Print,
}

impl Then {
    fn of(fault: Fault) -> Then {
        match fault {
            Fault::ScriptFails => Then::Break,
            Fault::ToolFails => Then::Fail,
            Fault::Prints => Then::Print,
            _ => Then::Wait,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Then::Wait => "wait",
            Then::Fail => "fail",
            Then::Break => "break",
            Then::Print => "print",
        }
    }
}

/// The tools that fail together when a script is broken.
const ALL_TOOLS: [&str; 15] = [
    "mv",
    "ln",
    "rm",
    "mkdir",
    "cp",
    "touch",
    "openssl",
    "sha256sum",
    "mkfifo",
    "readlink",
    "sed",
    "date",
    "df",
    "find",
    "tail",
];

/// Who reached the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The process group of the tool's caller, the tool itself, and the program that called it; 0 where it is no process.
    pub(crate) group: u32,
    pub(crate) pid: u32,
    pub(crate) parent: u32,
}

/// The rendezvous of one case.
pub(crate) struct Spot {
    pub(crate) tools: PathBuf,
    dir: PathBuf,
    go: Option<File>,
    look: Arc<LookState>,
    reached: Receiver<Reached>,
    said: Sender<Reached>,
}

impl Spot {
    /// Sets up the case's place in `dir`, which is made; `owner` is whoever works on the host.
    pub(crate) fn new(dir: &Path, owner: &Account, case: &Case, pm2: Option<&Pm2>, looks: &Looks) -> Spot {
        let key = dir.parent().and_then(Path::file_name).and_then(OsStr::to_str).expect("the case's name").to_owned();
        let Case { place, fault, .. } = *case;
        let tools = dir.join("tools");
        fs::create_dir_all(&tools).unwrap();
        owner.own(dir);
        for fifo in ["reached", "go"] {
            let made = Command::new("mkfifo").args(["-m", "666"]).arg(dir.join(fifo)).status().unwrap();
            assert!(made.success());
        }
        let then = match Then::of(fault) {
            // PM2's workers are all of its daemon's group: one that is broken for good would break what is put back, too.
            Then::Break if place.at == At::Line("worker") => Then::Fail,
            then => then,
        };
        let (said, reached) = channel();
        let stop = Stop { dir, tools: &tools, then, pm2, fails: (case.verb == Verb::Undone).then_some(COMMIT) };
        let mut rest: Vec<&str> = Vec::new();
        // Without a word that matches it only is the tool that it stands for, or fails as it is to.
        rest.extend(pm2.map(|_| "node"));
        rest.extend(stop.fails.map(|_| "mv"));
        match place.at {
            At::Tool(tool, words, when) => {
                if then == Then::Break {
                    rest.extend(ALL_TOOLS);
                }
                rest.retain(|other| *other != tool);
                if tool == "pm2" { stop.write_pm2(words) } else { stop.write(tool, words, when) }
            }
            At::Line(line) => {
                let when = match line {
                    // It also looks at what is live before anything begins.
                    "status" => r#"[ "$SHIPIT_RELEASE" != "$SHIPIT_PREVIOUS" ]"#,
                    "worker" => "[ -L ../../.shipit/pending ]",
                    _ => ":",
                };
                stop.write(&format!("line-{line}"), "*", when);
            }
            At::Event(tool, words) => stop.write(tool, words, ":"),
            At::Look => {}
        }
        rest.iter().for_each(|tool| stop.write(tool, NEVER, ":"));
        // Open at both ends: neither side ever waits for the other to open it.
        let mut hears = open(&dir.join("reached"));
        let telling = said.clone();
        std::thread::spawn(move || {
            let mut byte = [0; 1];
            let mut line = String::new();
            while hears.read(&mut byte).is_ok_and(|n| n == 1) {
                match byte[0] {
                    b'\n' if line == "over" => return,
                    b'\n' => {
                        let mut numbers = line.split(' ').map(|word| word.parse().unwrap_or(0));
                        let mut number = || numbers.next().unwrap_or(0);
                        let reached = Reached { group: number(), pid: number(), parent: number() };
                        line.clear();
                        if telling.send(reached).is_err() {
                            return;
                        }
                    }
                    other => line.push(char::from(other)),
                }
            }
        });
        let go = Some(open(&dir.join("go")));
        let look = looks.watch(&key, place.at == At::Look, fault, said.clone());
        Spot { tools, dir: dir.to_owned(), go, look, reached, said }
    }

    /// What the user's config runs at this line: nothing, or the rendezvous.
    pub(crate) fn line(&self, name: &str) -> String {
        self.tools.join(format!("line-{name}")).display().to_string()
    }

    /// The run has come to its place by itself.
    pub(crate) fn begun(&self) {
        let _ = self.said.send(Reached { group: 0, pid: 0, parent: 0 });
    }

    /// Waits until the place is reached; none when the run is over without it.
    pub(crate) fn wait(&self, mut over: impl FnMut() -> bool) -> Option<Reached> {
        let mut last = false;
        loop {
            match self.reached.recv_timeout(Duration::from_millis(if last { 200 } else { 10 })) {
                Ok(reached) => return Some(reached),
                Err(RecvTimeoutError::Timeout) if last => return None,
                Err(RecvTimeoutError::Timeout) => last = over(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Lets what waits go on. Fine where nobody waits any more.
    pub(crate) fn release(&mut self) {
        self.look.release();
        if let Some(mut go) = self.go.take() {
            let _ = go.write_all(b"go\n");
            // Whoever has it open keeps the line; nobody else needs it.
            self.go = Some(go);
        }
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        self.release();
        let _ = open(&self.dir.join("reached")).write_all(b"over\n");
    }
}

fn open(fifo: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(fifo).expect("it was made just now")
}

/// Where the host's own tool is.
fn real(tool: &str) -> String {
    let found = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(tool)).into_iter().find(|file| file.exists());
    found.unwrap_or_else(|| panic!("there is no {tool}")).display().to_string()
}

/// No tool is called with these.
const NEVER: &str = "no such words";
/// The commit's rename.
const COMMIT: &str = "*pending .shipit/committed";

/// How the scripts that stand before the tools are written.
struct Stop<'a> {
    dir: &'a Path,
    tools: &'a Path,
    then: Then,
    pm2: Option<&'a Pm2>,
    fails: Option<&'static str>,
}

impl Stop<'_> {
    /// Stands before a tool. `words`: a pattern for its arguments; `when`: a test that must hold as well.
    fn write(&self, tool: &str, words: &str, when: &str) {
        let real = match self.pm2 {
            _ if tool.starts_with("line-") => "true".to_owned(),
            // The daemon of this case alone.
            Some(pm2) if tool == "node" => format!("env {} {}", pm2.env(), real(tool)),
            _ => real(tool),
        };
        let blanks = |words: &str| words.replace(' ', "\\ ");
        let fails = self.fails.filter(|_| tool == "mv").unwrap_or(NEVER);
        // A place on the way back is none before what had to fail has failed.
        let when = if self.fails.is_some() { format!("[ -e 'DIR/failed' ] && {when}") } else { when.to_owned() };
        let text = SCRIPT
            .replace("WHEN", &when)
            .replace("DIR", &self.dir.display().to_string())
            .replace("REAL", &real)
            .replace("FAILS", &blanks(fails))
            .replace("WORDS", &blanks(words))
            .replace("THEN", self.then.word());
        program(&self.tools.join(tool), &text);
    }

    /// Stands before PM2: its driver starts the program that belongs to the `pm2` on the PATH, by a node of its own.
    fn write_pm2(&self, words: &str) {
        self.write("line-pm2", words, ":");
        let real = fs::canonicalize(real("pm2")).expect("tests/run installs pm2");
        let about = real.parent().and_then(Path::parent).expect("it is in a package").join("package.json");
        let package = self.dir.join("pm2");
        fs::create_dir_all(package.join("bin")).unwrap();
        fs::copy(about, package.join("package.json")).unwrap();
        let line = self.tools.join("line-pm2");
        let text = PM2.replace("LINE", &line.display().to_string()).replace("REAL", &real.display().to_string());
        program(&package.join("bin/pm2"), &text);
        std::os::unix::fs::symlink(package.join("bin/pm2"), self.tools.join("pm2")).unwrap();
    }
}

fn program(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

const SCRIPT: &str = r#"#!/bin/sh
# Stands before a tool and stops the run at one place.
group() { read -r G <"/proc/$$/stat"; set -- ${G##*) }; G=$3; }
if [ -e 'DIR/broken' ]; then
  group
  read -r broken <'DIR/broken'
  [ "$broken" != "$G" ] || exit 1
fi
here=no
case "$*" in
  WORDS) if WHEN; then here=yes; fi ;;
  FAILS) ! /bin/mkdir 'DIR/failed' 2>/dev/null || exit 1 ;;
esac
if [ "$here" = no ] || ! /bin/mkdir 'DIR/once' 2>/dev/null; then exec REAL "$@"; fi
group
case THEN in
  break) echo "$G" >'DIR/broken' ;;
  print) yes 'a line of what a tool may print when it has lost its mind' | head -c 10485760 >&2 ;;
esac
echo "$G $$ ${CALLER:-$PPID}" >'DIR/reached'
case THEN in
  wait) read -r go <'DIR/go' ;;
  fail) exit 1 ;;
  break) case $0 in */line-*) exit 3 ;; *) exit 1 ;; esac ;;
esac
exec REAL "$@"
"#;

const PM2: &str = r#"#!/usr/bin/env node
// Stands before PM2. Who called it is the program that is killed as the script.
const env = Object.assign({}, process.env, { CALLER: String(process.ppid) });
const ended = require("child_process").spawnSync("LINE", process.argv.slice(2), { env, stdio: "inherit" });
if (ended.status !== 0) process.exit(1);
require("REAL");
"#;

/// The health address of all cases.
pub(crate) struct Looks {
    port: u16,
    watched: Arc<Mutex<HashMap<String, Arc<LookState>>>>,
}

struct LookState {
    is_place: bool,
    fault: Fault,
    said: Mutex<Option<Sender<Reached>>>,
    open: Mutex<bool>,
    opened: Condvar,
}

impl LookState {
    fn release(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Looks {
    /// Starts the server.
    pub(crate) fn start() -> Looks {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
        let port = listener.local_addr().unwrap().port();
        let watched: Arc<Mutex<HashMap<String, Arc<LookState>>>> = Arc::default();
        let serving = watched.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let watched = serving.clone();
                std::thread::spawn(move || {
                    let _ = answer(stream, &watched);
                });
            }
        });
        Looks { port, watched }
    }

    /// The address of one case.
    pub(crate) fn url(&self, key: &str) -> String {
        format!("http://127.0.0.1:{}/{key}", self.port)
    }

    fn watch(&self, key: &str, is_place: bool, fault: Fault, said: Sender<Reached>) -> Arc<LookState> {
        let (said, open) = (Mutex::new(Some(said)), Mutex::new(false));
        let state = Arc::new(LookState { is_place, fault, said, open, opened: Condvar::new() });
        self.watched.lock().unwrap().insert(key.to_owned(), state.clone());
        state
    }
}

fn answer(stream: TcpStream, watched: &Mutex<HashMap<String, Arc<LookState>>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let key = first.split(' ').nth(1).unwrap_or("").trim_start_matches('/').to_owned();
    let state = watched.lock().unwrap().get(&key).cloned();
    let mut status = "200 OK";
    let mut body = b"ok".to_vec();
    if let Some(state) = state.filter(|state| state.is_place) {
        // Only the first look is the place; but what is unhealthy stays so until the place is left.
        if let Some(said) = state.said.lock().unwrap().take() {
            let _ = said.send(Reached { group: 0, pid: 0, parent: 0 });
        }
        match state.fault {
            Fault::ToolFails => {
                if !*state.open.lock().unwrap() {
                    status = "500 Internal Server Error";
                }
            }
            Fault::Prints => body = vec![b'x'; 10 << 20],
            _ => {
                let mut open = state.open.lock().unwrap();
                while !*open {
                    open = state.opened.wait(open).unwrap();
                }
            }
        }
    }
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}
