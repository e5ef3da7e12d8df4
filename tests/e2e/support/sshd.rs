//! A private sshd on a loopback port: own host key, own client key, own list of accepted keys, so that tests
//! share nothing. Optionally in a network and mount namespace of its own, which makes it a machine apart:
//! several of them may use the same port and the same path, and a tool can be missing on one.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::account::Account;
use super::ports;
use super::process::{Signal, alive, all, descendants, signal};

/// What differs from the usual.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Lines that go before all others: sshd takes the first value it reads.
    pub(crate) lines: Vec<String>,
    /// `NAME=value` pairs for every command that it runs.
    pub(crate) env: Vec<String>,
    /// The umask of what it runs; 022 unless set.
    pub(crate) umask: Option<&'static str>,
    /// A machine apart.
    pub(crate) apart: Option<Apart>,
}

/// How a machine apart differs from this one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apart {
    /// What is mounted over what, each `(source, target)`.
    pub(crate) mounts: Vec<(PathBuf, PathBuf)>,
    /// Programs of `/usr/bin` that it lacks.
    pub(crate) without: Vec<&'static str>,
}

/// A running sshd.
#[derive(Debug)]
pub(crate) struct Sshd {
    pub(crate) port: u16,
    dir: PathBuf,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Plain(Child),
    Apart { holder: Child, stop: Arc<AtomicBool>, accepts: Option<JoinHandle<()>>, port: u16 },
}

impl Sshd {
    /// Starts one that lets `accounts` in with the key `identity`; its files go to `dir`.
    pub(crate) fn start(dir: &Path, identity: &Path, accounts: &[&Account], options: &Options) -> Sshd {
        fs::create_dir_all(dir.join("keys")).expect("the area is writable");
        fs::create_dir_all("/run/sshd").expect("tests run as root");
        keygen(&dir.join("host"));
        for account in accounts {
            let accepted = dir.join("keys").join(account.name);
            fs::copy(identity.with_extension("pub"), accepted).expect("made by keygen");
        }
        let port = ports::free();
        let config = dir.join("sshd_config");
        fs::write(&config, config_text(dir, port, options)).expect("the area is writable");
        let sshd = Sshd { port, dir: dir.to_owned(), running: Running::start(dir, &config, port, options) };
        sshd.await_ready();
        sshd
    }

    /// A line of known_hosts with this host's key, for a client that connects to `port` (a proxy's, perhaps).
    pub(crate) fn known_host(&self, port: u16) -> String {
        let key = fs::read_to_string(self.dir.join("host.pub")).expect("made at the start");
        format!("[127.0.0.1]:{port} {key}")
    }

    /// What sshd had to say, for a failing test.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("sshd.log")).unwrap_or_default()
    }

    /// A command that runs, as root, where this sshd's sessions run.
    pub(crate) fn command(&self, program: &str) -> Command {
        match &self.running {
            Running::Plain(_) => Command::new(program),
            Running::Apart { holder, .. } => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &holder.id().to_string(), "--net", "--mount", "--", program]);
                command
            }
        }
    }

    /// Status and body of a GET on the host's loopback; status 0 when nothing answers.
    pub(crate) fn get(&self, port: u16, path: &str) -> (u16, String) {
        let mut command = self.command("curl");
        command.args(["-sS", "--noproxy", "*", "-m", "5", "-w", "\n%{http_code}"]);
        let output = command.arg(format!("http://127.0.0.1:{port}{path}")).output().expect("tests/run installs curl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        (status.parse().unwrap_or(0), body.to_owned())
    }

    /// The process that listens on a loopback port of this machine, as the kernel tells; none: nobody does.
    pub(crate) fn listener(&self, port: u16) -> Option<u32> {
        let whose = match &self.running {
            Running::Plain(child) => child.id(),
            Running::Apart { holder, .. } => holder.id(),
        };
        let table = fs::read_to_string(format!("/proc/{whose}/net/tcp")).expect("it runs");
        let local = format!(":{port:04X}");
        let listens = |fields: &[&str]| fields.len() > 9 && fields[1].ends_with(&local) && fields[3] == "0A";
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let socket = format!("socket:[{}]", lines.find(|fields| listens(fields))?[9]);
        all().into_iter().find(|pid| {
            let mut files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files.any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket.as_str()))
        })
    }

    fn await_ready(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            // Its greeting is the proof: an open port alone could be anybody's.
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                let mut greeting = [0; 4];
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                if stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-" {
                    return;
                }
            }
            assert!(Instant::now() < end, "sshd does not answer on port {}:\n{}", self.port, self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Running {
    fn start(dir: &Path, config: &Path, port: u16, options: &Options) -> Running {
        let umask = options.umask.unwrap_or("022");
        let log =
            || Stdio::from(fs::File::options().create(true).append(true).open(dir.join("sshd.log")).expect("log"));
        // sshd itself sets no umask; its sessions inherit ours.
        let daemon = ["-c", "umask \"$1\"; shift; exec /usr/sbin/sshd \"$@\"", "sshd", umask];
        let Some(apart) = &options.apart else {
            let mut command = Command::new("sh");
            command.args(daemon).args(["-D", "-e", "-f"]).arg(config);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log());
            return Running::Plain(command.spawn().expect("sh is everywhere"));
        };
        let holder = hold_namespaces(dir, apart);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, pid, config, dir) = (stop.clone(), holder.id().to_string(), config.to_owned(), dir.to_owned());
        let accepts = std::thread::spawn(move || {
            let mut sessions: Vec<Child> = Vec::new();
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let Ok(twin) = stream.try_clone() else { continue };
                let log = fs::File::options().create(true).append(true).open(dir.join("sshd.log")).expect("log");
                let mut command = Command::new("nsenter");
                command.args(["--target", &pid, "--net", "--mount", "--", "sh"]).args(daemon);
                command.args(["-i", "-e", "-f"]).arg(&config);
                command.stdin(OwnedFd::from(stream)).stdout(OwnedFd::from(twin)).stderr(log);
                sessions.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
                sessions.push(command.spawn().expect("util-linux has nsenter"));
            }
            for mut session in sessions {
                end(session.id());
                let _ = session.wait();
            }
        });
        Running::Apart { holder, stop, accepts: Some(accepts), port }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        match &mut self.running {
            Running::Plain(child) => {
                end(child.id());
                let _ = child.wait();
            }
            Running::Apart { holder, stop, accepts, port } => {
                stop.store(true, Ordering::SeqCst);
                let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, *port));
                if let Some(thread) = accepts.take() {
                    let _ = thread.join();
                }
                let _ = holder.kill();
                let _ = holder.wait();
            }
        }
    }
}

/// Ends an sshd, its connections and what they run. Daemons that left the tree belong to somebody else.
fn end(pid: u32) {
    let mut all = descendants(pid);
    all.push(pid);
    for pid in all.into_iter().filter(|pid| alive(*pid)) {
        signal(pid, Signal::Kill);
    }
}

/// A process that does nothing but keep a network and a mount namespace open. Programs are taken away in an
/// overlay: hiding one under something that can't be run would leave its name to be found.
fn hold_namespaces(dir: &Path, apart: &Apart) -> Child {
    let script = r#"set -e; over=$1; shift; ip link set lo up
        while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift
        if [ $# -gt 0 ]; then
            mkdir -p "$over/upper" "$over/work"
            mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$over/upper,workdir=$over/work" /usr/bin
            for name; do rm "/usr/bin/$name"; done
        fi
        echo ready; read -r end"#;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "--", "sh", "-c", script, "hold"]);
    command.arg(dir.join("overlay"));
    for (source, target) in &apart.mounts {
        command.arg(source).arg(target);
    }
    command.arg("--").args(&apart.without);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux has unshare");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("its output is text");
    assert_eq!(line, "ready\n", "this machine can't make network and mount namespaces");
    child
}

fn config_text(dir: &Path, port: u16, options: &Options) -> String {
    let mut text = String::new();
    for line in &options.lines {
        text += &format!("{line}\n");
    }
    if !options.env.is_empty() {
        let pairs: Vec<String> = options.env.iter().map(|pair| format!("\"{pair}\"")).collect();
        text += &format!("SetEnv {}\n", pairs.join(" "));
    }
    let dir = dir.display();
    text += &format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nPidFile none\nAuthorizedKeysFile {dir}/keys/%u\n\
         StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
         MaxStartups 100:30:200\nMaxSessions 50\nLogLevel VERBOSE\n"
    );
    text
}

/// Makes a key pair: `file` and `file.pub`.
pub(crate) fn keygen(file: &Path) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(file);
    assert!(command.status().expect("tests/run installs openssh-client").success());
}
