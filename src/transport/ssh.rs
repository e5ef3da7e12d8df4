//! Over ssh: one master of our own a host, started with the user's ssh config, agent and jump hosts; every script is a
//! channel of it, spoken to without a child process (native mux), so that a Ctrl-C in the terminal hits only us.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssh::{ForwardType, Session, Socket};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::{BOOTSTRAP, Running};
use crate::config::{Address, Host, Ssh as Config};
use crate::error::{ConnectFailure, Error, Result, Target};
use crate::text::clean;

/// ssh appends 17 characters to the socket's path while it binds, and the system allows about 104.
const LONGEST_DIRECTORY: usize = 75;
/// As much of ssh's own log is read.
const LOGGED: u64 = 1 << 20;
/// A host may allow one channel a connection (`MaxSessions 1`): then each channel gets a connection of its own.
const MOST_MASTERS: usize = 6;

/// A connection.
#[derive(Debug)]
pub struct Ssh {
    host: String,
    target: Vec<String>,
    shown: Box<Target>,
    terminal: bool,
    jump_config: Option<PathBuf>,
    directory: TempDir,
    masters: Mutex<Vec<Arc<Session>>>,
    forwards: Mutex<usize>,
    ahead: Mutex<Option<JoinHandle<Option<Running>>>>,
}

impl Ssh {
    pub(super) async fn connect(host: &Host, config: &Config, terminal: bool) -> Result<Ssh> {
        let directory = control_directory()?;
        let ssh = Ssh {
            jump_config: jump_config(directory.path(), config, terminal)?,
            host: host.name.clone(),
            target: arguments(host, config),
            shown: Box::new(shown(host, config)),
            terminal,
            directory,
            masters: Mutex::default(),
            forwards: Mutex::new(0),
            ahead: Mutex::default(),
        };
        ssh.master().await?;
        Ok(ssh)
    }

    /// Starts one more master and waits until it is authenticated: `-f` makes ssh go to the background only then.
    async fn master(&self) -> Result<Arc<Session>> {
        let number = self.masters.lock().expect("no holder panics").len();
        let (socket, log) = (self.directory.path().join(format!("m{number}")), self.log(number));
        let mut command = self.ssh();
        command.arg("-M").arg("-f").arg("-N").arg("-S").arg(&socket).arg("-E").arg(&log);
        for option in ["ControlPersist=60", "ServerAliveInterval=5", "ServerAliveCountMax=3"] {
            command.arg("-o").arg(option);
        }
        if !self.terminal {
            command.arg("-o").arg("BatchMode=yes").stdin(Stdio::null());
        }
        // What ssh says before it has opened its log goes to the same file.
        let errors = std::fs::File::options().append(true).create(true).open(&log);
        let errors = errors.map_err(|source| Error::File { path: log.clone(), doing: "write", source })?;
        command.args(&self.target).stdout(Stdio::null()).stderr(errors);
        // Without a terminal nothing may wait for a person: end with us while still connecting.
        command.kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| Error::File { path: "ssh".into(), doing: "start", source })?;
        let ended = tokio::time::timeout(Duration::from_secs(if self.terminal { 300 } else { 45 }), child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => {}
            _ => return Err(self.refused(number).await),
        }
        let session = Arc::new(Session::resume_mux(socket.into_boxed_path(), Some(log.into_boxed_path())));
        self.masters.lock().expect("no holder panics").push(Arc::clone(&session));
        Ok(session)
    }

    fn log(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("l{number}"))
    }

    /// What ssh has logged: its own words, and what a host says before it lets anybody in, which may be anything.
    fn logged(&self, number: usize) -> String {
        let mut bytes = Vec::new();
        let _ = File::open(self.log(number)).and_then(|file| file.take(LOGGED).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// ssh with what all its calls have in common; the host comes last.
    fn ssh(&self) -> Command {
        let mut command = Command::new("ssh");
        if let Some(config) = &self.jump_config {
            command.arg("-F").arg(config);
        }
        for option in [
            "ConnectTimeout=10",
            "ClearAllForwardings=yes",
            "RemoteCommand=none",
            "PermitLocalCommand=no",
            "StrictHostKeyChecking=yes",
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    /// Why ssh did not connect, from its own log.
    async fn refused(&self, number: usize) -> Error {
        let mut log = self.logged(number);
        if log.contains("kex_exchange_identification") || log.contains("banner exchange") {
            log = self.said_on_the_way().await + &log;
        }
        let (failure, detail) = classify(&log);
        Error::Connect { host: self.host.clone(), failure, detail, target: self.shown.clone() }
    }

    /// A master hides what the ssh of a host on the way says, so that one is asked again without being a master.
    async fn said_on_the_way(&self) -> String {
        let mut command = self.ssh();
        command.args(["-T", "-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none"]);
        command.args(&self.target).arg("exit").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(Duration::from_secs(20), command.output()).await {
            Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).into_owned(),
            _ => String::new(),
        }
    }

    pub(super) fn forwards_nothing(&self) -> bool {
        self.logged(0).contains("administratively prohibited")
    }

    pub(super) fn last_words(&self) -> String {
        let number = self.masters.lock().expect("no holder panics").len().saturating_sub(1);
        let log = self.logged(number);
        log.lines().rev().map(|line| clean(line.trim(), 200)).find(|line| !line.is_empty()).unwrap_or_default()
    }

    /// A channel with the bootstrap in it: the one that was opened ahead, else a new one.
    pub(super) async fn channel(&self) -> Result<Running> {
        let ahead = self.ahead.lock().expect("no holder panics").take();
        if let Some(ahead) = ahead
            && let Ok(Some(running)) = ahead.await
        {
            return Ok(running);
        }
        let masters = self.masters.lock().expect("no holder panics").clone();
        let mut refusal = String::new();
        // The newest first: once a host has refused a second channel, older connections are full.
        for master in masters.iter().rev() {
            match spawn(master).await {
                Ok(running) => return Ok(running),
                Err(error) => refusal = error.to_string(),
            }
        }
        if masters.len() < MOST_MASTERS {
            let master = self.master().await?;
            match spawn(&master).await {
                Ok(running) => return Ok(running),
                Err(error) => refusal = error.to_string(),
            }
        }
        let words = self.last_words();
        Err(Error::Lost {
            host: self.host.clone(),
            step: "connect",
            detail: if words.is_empty() { clean(&refusal, 200) } else { words },
        })
    }

    /// Opens a channel for later, on a connection that is there; none where the host refuses it.
    pub(super) fn open_ahead(&self) {
        let newest = self.masters.lock().expect("no holder panics").last().cloned();
        let opening = newest.map(|master| tokio::spawn(async move { spawn(&master).await.ok() }));
        *self.ahead.lock().expect("no holder panics") = opening;
    }

    pub(super) async fn forward(&self, host: &str, port: u16) -> Result<PathBuf> {
        let number = {
            let mut forwards = self.forwards.lock().expect("no holder panics");
            *forwards += 1;
            *forwards
        };
        let path = self.directory.path().join(format!("f{number}"));
        let master = self.masters.lock().expect("no holder panics")[0].clone();
        master
            .request_port_forward(
                ForwardType::Local,
                Socket::UnixSocket { path: path.as_path().into() },
                Socket::new(host, port),
            )
            .await
            .map_err(|error| Error::Lost {
                host: self.host.clone(),
                step: "verify",
                detail: format!("a forward to {host}:{port} was refused: {}", clean(&error.to_string(), 200)),
            })?;
        Ok(path)
    }

    /// Asks each master to end. The sessions behind it have said goodbye by then.
    pub(super) async fn close(self) {
        let masters = self.masters.lock().expect("no holder panics").len();
        for number in 0..masters {
            let socket = self.directory.path().join(format!("m{number}"));
            let exit = Command::new("ssh")
                .arg("-S")
                .arg(socket)
                .args(["-O", "exit", "shipit"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            let _ = tokio::time::timeout(Duration::from_secs(2), exit).await;
        }
    }
}

async fn spawn(master: &Arc<Session>) -> std::result::Result<Running, openssh::Error> {
    let mut child = Arc::clone(master)
        .arc_raw_command(format!("exec sh -c '{BOOTSTRAP}' shipit"))
        .stdin(openssh::Stdio::piped())
        .stdout(openssh::Stdio::piped())
        .stderr(openssh::Stdio::piped())
        .spawn()
        .await?;
    let piped = "asked for above";
    let stdin = child.stdin().take().expect(piped);
    let stdout = child.stdout().take().expect(piped);
    let stderr = child.stderr().take().expect(piped);
    Ok(Running::new(Box::pin(stdin), stdout, stderr, child))
}

/// A private directory with a short path for the control sockets.
fn control_directory() -> Result<TempDir> {
    let candidates =
        [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(std::env::temp_dir()), Some("/tmp".into())];
    let mut failure = None;
    for parent in candidates.into_iter().flatten() {
        match tempfile::Builder::new().prefix("shipit-").tempdir_in(&parent) {
            Ok(directory) if directory.path().as_os_str().len() <= LONGEST_DIRECTORY => return Ok(directory),
            Ok(directory) => {
                failure = Some((
                    directory.path().to_owned(),
                    std::io::Error::other("its path is too long for a socket; set TMPDIR to a shorter one"),
                ));
            }
            Err(source) => failure = Some((parent, source)),
        }
    }
    let (path, source) = failure.expect("the list of candidates is not empty");
    Err(Error::File { path, doing: "write", source })
}

/// ssh's arguments for this host, after the options that are the same for all.
fn arguments(host: &Host, config: &Config) -> Vec<String> {
    let Address::Ssh { user, host: name, port } = &host.address else { return Vec::new() };
    let mut arguments = Vec::new();
    let mut push = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    if let Some(port) = port.or(config.port) {
        push("-p", port.to_string());
    }
    if let Some(file) = &config.identity_file {
        push("-i", file.clone());
        push("-o", "IdentitiesOnly=yes".into());
    }
    if let Some(file) = &config.known_hosts {
        // ssh splits this value at spaces unless it is quoted.
        push("-o", format!("UserKnownHostsFile=\"{file}\""));
        push("-o", "GlobalKnownHostsFile=/dev/null".into());
    }
    if let Some(jump) = &config.proxy_jump {
        push("-J", jump.clone());
    }
    for option in &config.options {
        push("-o", option.clone());
    }
    if let Some(user) = user {
        push("-l", user.clone());
    }
    arguments.extend(["--".into(), name.clone()]);
    arguments
}

/// For hosts on the way ssh starts another ssh, which gets its config file but none of its options. So what is said of
/// keys and trust for all hosts stands in a file, which leads on to the user's own. None without such hosts.
fn jump_config(directory: &Path, config: &Config, terminal: bool) -> Result<Option<PathBuf>> {
    if config.proxy_jump.is_none() {
        return Ok(None);
    }
    let mut text = String::from("StrictHostKeyChecking yes\nConnectTimeout 10\n");
    if let Some(file) = &config.identity_file {
        text += &format!("IdentityFile \"{file}\"\nIdentitiesOnly yes\n");
    }
    if let Some(file) = &config.known_hosts {
        text += &format!("UserKnownHostsFile \"{file}\"\nGlobalKnownHostsFile /dev/null\n");
    }
    if !terminal {
        text += "BatchMode yes\n";
    }
    text += "Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\n";
    let path = directory.join("config");
    match std::fs::write(&path, text) {
        Ok(()) => Ok(Some(path)),
        Err(source) => Err(Error::File { path, doing: "write", source }),
    }
}

/// The host as a user would type it.
fn shown(host: &Host, config: &Config) -> Target {
    let Address::Ssh { user, host: name, port } = &host.address else { return Target::default() };
    let at = user.as_ref().map_or(name.clone(), |user| format!("{user}@{name}"));
    let port = port.or(config.port);
    let ssh = port.map_or(at.clone(), |port| format!("-p {port} {at}"));
    Target { ssh, host: name.clone(), port, known_hosts: config.known_hosts.clone() }
}

/// What kind of failure ssh's log tells of, and its telling line.
fn classify(log: &str) -> (ConnectFailure, String) {
    let find = |needles: &[&str]| {
        log.lines().find(|line| needles.iter().any(|needle| line.contains(needle))).map(|line| clean(line.trim(), 200))
    };
    if log.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        let offered = find(&["fingerprint"]).or_else(|| find(&["SHA256:"])).unwrap_or_default();
        return (ConnectFailure::ChangedHostKey, offered);
    }
    for (failure, needles) in [
        (ConnectFailure::UnknownHostKey, &["host key is known for", "Host key verification failed"][..]),
        (
            ConnectFailure::KeyRefused,
            &["Permission denied", "Too many authentication failures", "no mutual signature"][..],
        ),
        (
            ConnectFailure::Unreachable,
            &[
                "Connection refused",
                "timed out",
                "Could not resolve",
                "No route to host",
                "unreachable",
                "Connection closed",
                "Connection reset",
                "not responding",
            ][..],
        ),
    ] {
        if let Some(line) = find(needles) {
            return (failure, line);
        }
    }
    let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("ssh ended without a word");
    (ConnectFailure::Other, clean(last.trim(), 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_failures_are_told_apart() {
        let case = |log: &str, expected| assert_eq!(classify(log).0, expected, "{log}");
        case("ssh: connect to host a port 22: Connection refused\n", ConnectFailure::Unreachable);
        case(
            "No ED25519 host key is known for a and you have requested strict checking.\nHost key verification failed.",
            ConnectFailure::UnknownHostKey,
        );
        case(
            "@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            ConnectFailure::ChangedHostKey,
        );
        case("deploy@a: Permission denied (publickey).", ConnectFailure::KeyRefused);
        case("Bad configuration option: foo", ConnectFailure::Other);
    }

    #[test]
    fn a_host_that_looks_like_an_option_stays_a_host() {
        let host = Host {
            name: "x".into(),
            address: Address::Ssh { user: Some("u".into()), host: "h".into(), port: Some(2222) },
        };
        assert_eq!(arguments(&host, &Config::default()), ["-p", "2222", "-l", "u", "--", "h"]);
    }
}
