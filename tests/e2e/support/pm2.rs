//! A PM2 daemon of a test's own, in a home of its own: looked at through `/proc` and its process list, and
//! ended with everything below it when the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use super::account::Account;
use super::process::{Signal, alive, command_line, cwd, descendants, signal};

/// One process of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    pub(crate) status: String,
    pub(crate) restarts: u64,
    /// The release it stands in, by its working directory; none when that is no release that exists.
    pub(crate) release: Option<String>,
}

/// A private PM2.
#[derive(Debug)]
pub(crate) struct Pm2 {
    home: PathBuf,
    account: Account,
}

impl Pm2 {
    /// Makes the home; nothing is started.
    pub(crate) fn new(home: &Path, account: &Account) -> Pm2 {
        account.make_dir(home);
        Pm2 { home: home.to_owned(), account: account.clone() }
    }

    /// What a host's commands must have in their environment to use it.
    pub(crate) fn env(&self) -> String {
        format!("PM2_HOME={}", self.home.display())
    }

    /// The daemon, when it runs. Never asked through `pm2`, which would start one.
    pub(crate) fn daemon(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.home.join("pm2.pid")).ok()?.trim().parse().ok()?;
        (alive(pid) && command_line(pid).contains(&*self.home.to_string_lossy())).then_some(pid)
    }

    /// Runs `pm2` as its owner.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = self.account.command("pm2");
        command.env("PM2_HOME", &self.home).args(args).stdin(Stdio::null());
        command.output().expect("tests/run installs pm2")
    }

    /// The processes of the app `name`, by their number in PM2.
    pub(crate) fn workers(&self, name: &str) -> Vec<Worker> {
        self.all().into_iter().filter(|(of, _)| of == name).map(|(_, worker)| worker).collect()
    }

    /// The processes of all apps with the app's name, by their number in PM2.
    pub(crate) fn all(&self) -> Vec<(String, Worker)> {
        if self.daemon().is_none() {
            return Vec::new();
        }
        let output = self.run(&["-s", "jlist"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().rfind(|line| line.starts_with('[')).unwrap_or("[]");
        let list: Vec<Value> = serde_json::from_str(last).expect("jlist is JSON");
        let name = |app: &Value| app["name"].as_str().unwrap_or("").to_owned();
        let mut workers: Vec<(String, Worker)> = list.iter().map(|app| (name(app), Worker::read(app))).collect();
        workers.sort_by_key(|(_, worker)| worker.id);
        workers
    }
}

impl Worker {
    fn read(app: &Value) -> Worker {
        let env = &app["pm2_env"];
        let pid = app["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Worker {
            id: app["pm_id"].as_u64().unwrap_or(u64::MAX),
            pid,
            status: env["status"].as_str().unwrap_or("").to_owned(),
            restarts: env["restart_time"].as_u64().unwrap_or(u64::MAX),
            release: if pid == 0 { None } else { release_of(pid) },
        }
    }
}

/// The release that a process stands in, from the kernel's word for its working directory.
pub(crate) fn release_of(pid: u32) -> Option<String> {
    let dir = cwd(pid)?;
    let text = dir.to_str()?;
    let (_, rest) = text.split_once("releases/")?;
    let id = rest.split('/').next()?;
    (!text.ends_with(" (deleted)")).then(|| id.to_owned())
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        // The daemon first, so that it restarts nothing; its workers were listed before they lose their parent.
        let Some(daemon) = self.daemon() else { return };
        let workers = descendants(daemon);
        signal(daemon, Signal::Kill);
        for worker in workers.into_iter().filter(|pid| alive(*pid)) {
            signal(worker, Signal::Kill);
        }
    }
}
