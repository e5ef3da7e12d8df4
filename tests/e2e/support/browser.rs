//! A real browser: pages that stay open, and what went wrong in each. A node program speaks with it; see there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A running Chromium; ended when dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts one that keeps its files in `dir`.
    pub(crate) fn start(dir: &Path) -> Browser {
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/support/browser.cjs");
        let log = std::fs::File::create(dir.join("browser.log")).expect("the area is writable");
        let mut command = Command::new("node");
        command.arg(driver).arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the tests need node");
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("piped"));
        Browser { child, to, from }
    }

    /// Opens `url` as the page `name`.
    #[track_caller]
    pub(crate) fn open(&mut self, name: &str, url: &str) {
        self.ask(&json!(["open", name, url]));
    }

    /// Presses a button that reads `before` until it reads something else.
    #[track_caller]
    pub(crate) fn press(&mut self, name: &str, selector: &str, before: &str) {
        self.ask(&json!(["press", name, selector, before]));
    }

    /// Presses something once.
    #[track_caller]
    pub(crate) fn click(&mut self, name: &str, selector: &str) {
        self.ask(&json!(["click", name, selector]));
    }

    /// Waits until an element reads `text`.
    #[track_caller]
    pub(crate) fn reads(&mut self, name: &str, selector: &str, text: &str) {
        self.ask(&json!(["reads", name, selector, text]));
    }

    /// The addresses that a page has asked for.
    #[track_caller]
    pub(crate) fn asked(&mut self, name: &str) -> Vec<String> {
        texts(&self.ask(&json!(["asked", name])))
    }

    /// Failed requests, errors on the console, exceptions of a page.
    #[track_caller]
    pub(crate) fn wrong(&mut self, name: &str) -> Vec<String> {
        texts(&self.ask(&json!(["wrong", name])))
    }

    #[track_caller]
    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.to.as_mut().expect("open until it is dropped"), "{question}").expect("the driver reads");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("its output is text");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{question}: the browser is gone"));
        assert!(answer.get("error").is_none(), "{question}: {answer}");
        answer["value"].clone()
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.wait();
    }
}
