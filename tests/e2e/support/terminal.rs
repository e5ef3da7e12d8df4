//! The real binary at a real pseudo-terminal of a given size, by `script` of util-linux, and what is on its screen
//! in the end: what was drawn over is gone, as for a person.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bench::Bench;
use super::process::eventually;

/// Longer than any run's output.
const ROWS: u16 = 400;

/// A run that goes on; killed when dropped.
#[derive(Debug)]
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    columns: u16,
}

/// What was on the screen when a run had ended.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) code: Option<i32>,
    /// The lines that are left.
    pub(crate) text: String,
    /// Everything that was ever written.
    pub(crate) bytes: Vec<u8>,
}

impl Terminal {
    /// Starts `shipit` with these words in the bench's project.
    pub(crate) fn start(bench: &Bench, columns: u16, words: &[&str]) -> Terminal {
        let line = format!("stty cols {columns} rows 24; exec {} {}", env!("CARGO_BIN_EXE_shipit"), words.join(" "));
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", &line, "/dev/null"]).current_dir(&bench.project).env_clear();
        command.env("PATH", std::env::var_os("PATH").expect("the tests have a PATH"));
        command.env("HOME", bench.area.path().join("home")).env("USER", "tester").env("SHELL", "/bin/sh");
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux is there");
        let (keys, mut out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let keeping = bytes.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                keeping.lock().expect("no thread panics with it").extend(&buffer[..n]);
            }
        });
        Terminal { child, keys, bytes, reader: Some(reader), columns }
    }

    /// Waits until `text` is on the screen.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        eventually(&format!("{text:?} on the screen"), Duration::from_secs(60), || {
            let screen = screen(&self.bytes.lock().expect("no thread panics with it"), self.columns);
            if screen.contains(text) { Ok(()) } else { Err(screen) }
        });
    }

    /// Types something.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal reads");
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Screen {
        let code = self.child.wait().expect("it is our child").code();
        self.reader.take().map(JoinHandle::join).transpose().expect("it does not panic");
        let bytes = self.bytes.lock().expect("no thread panics with it").clone();
        Screen { code, text: screen(&bytes, self.columns), bytes }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows after these bytes.
fn screen(bytes: &[u8], columns: u16) -> String {
    let mut parser = vt100::Parser::new(ROWS, columns, 0);
    parser.process(bytes);
    let rows: Vec<String> = parser.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n").trim_end().to_owned()
}
