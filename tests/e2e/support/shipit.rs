//! The real binary, run as a person or a CI job would: in a project, with a clean home, its exit code and its
//! output taken apart from each other.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{Signal, most_memory, signal};

/// No single run of a test takes longer; one that does hangs. A host that is never heard again is asked for minutes.
const LONGEST: Duration = Duration::from_secs(300);

/// A place to run shipit in.
#[derive(Clone, Debug)]
pub(crate) struct Shipit {
    dir: PathBuf,
    home: PathBuf,
    env: Vec<(String, String)>,
    by: Vec<String>,
}

/// What a finished run said.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) args: Vec<String>,
    /// None: killed by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// When it ended.
    pub(crate) ended: Instant,
}

/// One line of `--json`.
#[derive(Clone, Debug)]
pub(crate) struct Event(pub(crate) Value);

/// A run that goes on; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    args: Vec<String>,
    heard: Arc<Heard>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    raw: String,
    over: bool,
}

impl Shipit {
    /// In `dir`, with `home` as its home.
    pub(crate) fn new(dir: &Path, home: &Path) -> Shipit {
        Shipit { dir: dir.to_owned(), home: home.to_owned(), env: Vec::new(), by: Vec::new() }
    }

    /// The same, with one more variable.
    pub(crate) fn env(&self, name: &str, value: &str) -> Shipit {
        let mut next = self.clone();
        next.env.push((name.to_owned(), value.to_owned()));
        next
    }

    /// The same, started by another program, which takes it as its last words.
    pub(crate) fn by(&self, program: &[&str]) -> Shipit {
        Shipit { by: program.iter().map(|word| (*word).to_owned()).collect(), ..self.clone() }
    }

    /// The same, in another directory.
    pub(crate) fn within(&self, dir: &Path) -> Shipit {
        Shipit { dir: dir.to_owned(), ..self.clone() }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.spawn(args).finish()
    }

    /// Starts it with `--json` after `args`.
    pub(crate) fn spawn_json(&self, args: &[&str]) -> Running {
        let mut args = args.to_vec();
        args.push("--json");
        self.spawn(&args)
    }

    /// Starts it.
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        let path = std::env::var_os("PATH").expect("the tests have a PATH");
        let mut words = self.by.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_shipit")]);
        let mut command = Command::new(words.next().expect("at least shipit itself"));
        command.args(words).args(args).current_dir(&self.dir).env_clear().env("PATH", path).env("HOME", &self.home);
        command.env("USER", "tester").env("LANG", "C.UTF-8").envs(self.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cargo built it");
        let heard = Arc::new(Heard::default());
        let stderr = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (hearing, keeping) = (heard.clone(), stderr.clone());
        let readers =
            vec![std::thread::spawn(move || hearing.listen(out)), std::thread::spawn(move || keep(err, &keeping))];
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Running { child, args, heard, stderr, readers }
    }
}

impl Heard {
    fn listen(&self, out: impl Read) {
        let mut lines = BufReader::new(out);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            let mut state = self.state.lock().expect("no thread panics with it");
            if let Ok(value @ Value::Object(_)) = serde_json::from_str(&text) {
                state.events.push(Event(value));
            }
            state.raw += &text;
            drop(state);
            self.more.notify_all();
            line.clear();
        }
        self.state.lock().expect("no thread panics with it").over = true;
        self.more.notify_all();
    }
}

fn keep(mut from: impl Read, to: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        to.lock().expect("no thread panics with it").push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

impl Running {
    /// The first event that is asked for; panics when the run ends without it.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        match self.wait_for_nth(1, wanted) {
            Some(event) => event,
            None => panic!("{what} never happened:\n{}", self.so_far()),
        }
    }

    /// The `nth` (from 1) event that is asked for; none when the run ends without it.
    pub(crate) fn wait_for_nth(&self, nth: usize, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        let end = Instant::now() + LONGEST;
        let mut state = self.heard.state.lock().expect("no thread panics with it");
        loop {
            if let Some(event) = state.events.iter().filter(|event| wanted(event)).nth(nth - 1) {
                return Some(event.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.over || left.is_zero() {
                return None;
            }
            state = self.heard.more.wait_timeout(state, left).expect("no thread panics with it").0;
        }
    }

    /// What it said until now, for a failing test.
    pub(crate) fn so_far(&self) -> String {
        let state = self.heard.state.lock().expect("no thread panics with it");
        let stderr = self.stderr.lock().expect("no thread panics with it");
        format!("shipit {}\n--- stdout\n{}--- stderr\n{stderr}", self.args.join(" "), state.raw)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, which: Signal) {
        assert!(self.try_signal(which), "it was over before {which:?} reached it:\n{}", self.so_far());
    }

    /// Sends it a signal; whether it was still there.
    pub(crate) fn try_signal(&self, which: Signal) -> bool {
        signal(self.child.id(), which)
    }

    /// Ends it as `kill -9` does, and gives what it had said by then; fine if it was over already.
    pub(crate) fn kill(mut self) -> Output {
        let _ = self.child.kill();
        self.finish()
    }

    /// Waits for its end, and tells the most memory that it had, in KB: the system counts it, it is only asked for.
    pub(crate) fn weigh(mut self) -> (Output, u64) {
        let mut most = 0;
        while !self.is_over() {
            most = most_memory(self.pid()).unwrap_or(most);
            std::thread::sleep(Duration::from_millis(5));
        }
        (self.finish(), most)
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Output {
        let end = Instant::now() + LONGEST;
        let status = loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => break status,
                None if Instant::now() > end => {
                    let _ = self.child.kill();
                    panic!("it hangs:\n{}", self.so_far());
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let ended = Instant::now();
        // The pipes may be held open by a connection's master for a while; everything that shipit itself wrote
        // is in them by now, so the readers get a moment, not for ever.
        let patience = Instant::now() + Duration::from_secs(2);
        while self.readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        let stdout = self.heard.state.lock().expect("no thread panics with it").raw.clone();
        let stderr = self.stderr.lock().expect("no thread panics with it").clone();
        Output { args: std::mem::take(&mut self.args), code: status.code(), stdout, stderr, ended }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    /// Panics with everything that was said unless it ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Output {
        assert!(self.code == Some(code), "expected exit code {code}, got {:?}\n{self}", self.code);
        self
    }

    /// Panics unless one of `words` in each group is said, on either stream.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Output {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(all.contains(word), "{word:?} is not said\n{self}");
        }
        self
    }

    /// The events of a `--json` run.
    pub(crate) fn events(&self) -> Vec<Event> {
        let lines = self.stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(Value::is_object).map(Event).collect()
    }

    /// The release of a `--json` run.
    #[track_caller]
    pub(crate) fn release(&self) -> String {
        let events = self.events();
        let found = events.iter().find(|event| event.kind() == "release");
        found.unwrap_or_else(|| panic!("no release was named\n{self}")).text("release").to_owned()
    }

    /// The whole of stdout as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let args = self.args.join(" ");
        write!(f, "shipit {args}: {:?}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Event {
    /// `step_started`, `ended`, ...
    pub(crate) fn kind(&self) -> &str {
        self.text("event")
    }

    /// A text field; empty where it is absent.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// Whether it is `kind` of `step`.
    pub(crate) fn is(&self, kind: &str, step: &str) -> bool {
        self.kind() == kind && self.text("step") == step
    }
}
