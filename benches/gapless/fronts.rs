//! nginx and Caddy as they stand before an app: Debian's, started here as the deploy user on loopback ports, and ended by
//! their pids. Their configs are those of a small site.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::account::Account;
use crate::support::ports;
use crate::support::process::{Signal, eventually, signal};

/// Where a front gets its answers.
#[derive(Clone, Debug)]
pub(crate) enum Behind {
    /// From this port.
    Port(u16),
    /// From the upstream of this name in this file, which shipit writes.
    File(&'static str, PathBuf),
}

/// A running nginx: one port with a plain `proxy_pass`, one with connections that are kept.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(crate) plain: u16,
    pub(crate) kept: u16,
    config: PathBuf,
    child: Child,
}

/// A running Caddy.
#[derive(Debug)]
pub(crate) struct Caddy {
    pub(crate) port: u16,
    config: PathBuf,
    child: Child,
}

impl Nginx {
    /// Starts it in `dir`, which becomes the account's.
    pub(crate) fn start(dir: &Path, account: &Account, behind: &Behind) -> Nginx {
        account.make_dir(dir);
        let (plain, kept) = (ports::free(), ports::free());
        let (upstream, name) = match behind {
            Behind::Port(port) => {
                (format!("upstream kept {{ server 127.0.0.1:{port}; keepalive 16; }}"), "kept".to_owned())
            }
            Behind::File(name, file) => (format!("include {};", file.display()), (*name).to_owned()),
        };
        let plainly = match behind {
            Behind::Port(port) => format!("http://127.0.0.1:{port}"),
            Behind::File(name, _) => format!("http://{name}"),
        };
        let home = dir.display();
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders: String = folders.iter().map(|name| format!("  {name}_temp_path {home}/{name};\n")).collect();
        let text = format!(
            "daemon off;\nworker_processes 1;\npid {home}/pid;\nerror_log {home}/error.log;\n\
             events {{ worker_connections 512; }}\nhttp {{\n{folders}  access_log off;\n  {upstream}\n  \
             server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass {plainly}; }} }}\n  \
             server {{ listen 127.0.0.1:{kept}; location / {{\n    proxy_pass http://{name};\n    \
             proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n  }} }}\n}}\n"
        );
        let config = dir.join("nginx.conf");
        fs::write(&config, text).unwrap();
        let log = fs::File::create(dir.join("said.log")).unwrap();
        let mut command = account.command("/usr/sbin/nginx");
        command.args(["-e", &format!("{home}/error.log"), "-c"]).arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let nginx = Nginx { plain, kept, config, child: child.expect("tests/run installs nginx") };
        answers(nginx.plain, dir);
        answers(nginx.kept, dir);
        nginx
    }

    pub(crate) fn said(&self) -> String {
        last(self.config.with_file_name("error.log"))
    }

    /// The line that looks at its config, and the one that has it read again.
    pub(crate) fn lines(&self) -> [String; 2] {
        let log = self.config.with_file_name("error.log");
        let line = format!("/usr/sbin/nginx -e {} -c {}", log.display(), self.config.display());
        [format!("{line} -T"), format!("{line} -s reload")]
    }
}

impl Caddy {
    /// Starts it in `dir`, which becomes the account's.
    pub(crate) fn start(dir: &Path, account: &Account, behind: &Behind) -> Caddy {
        account.make_dir(dir);
        let (port, admin) = (ports::free(), ports::free());
        let (above, inside) = match behind {
            Behind::Port(to) => (String::new(), format!("reverse_proxy 127.0.0.1:{to}")),
            Behind::File(name, file) => {
                (format!("import {}", file.display()), format!("reverse_proxy {{\n\t\timport {name}\n\t}}"))
            }
        };
        let text = format!(
            "{{\n\tadmin 127.0.0.1:{admin}\n\tauto_https off\n}}\n{above}\n\
             http://:{port} {{\n\tbind 127.0.0.1\n\t{inside}\n}}\n"
        );
        let config = dir.join("Caddyfile");
        fs::write(&config, text).unwrap();
        let log = fs::File::create(dir.join("said.log")).unwrap();
        let mut command = account.command("caddy");
        command.env("HOME", dir).args(["run", "--adapter", "caddyfile", "--config"]).arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let caddy = Caddy { port, config, child: child.expect("tests/run installs caddy") };
        answers(port, dir);
        caddy
    }

    pub(crate) fn said(&self) -> String {
        last(self.config.with_file_name("said.log"))
    }

    /// The line that looks at its config, and the one that has it read again.
    pub(crate) fn lines(&self) -> [String; 2] {
        let line = |verb: &str| format!("caddy {verb} --adapter caddyfile --config {}", self.config.display());
        [line("adapt --validate"), line("reload")]
    }
}

/// The last lines of a log that say of an error.
fn last(file: PathBuf) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("error")).collect();
    lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("{line}\n")).collect()
}

fn answers(port: u16, dir: &Path) {
    eventually("a front listens", Duration::from_secs(20), || {
        let said = || fs::read_to_string(dir.join("said.log")).unwrap_or_default();
        TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| format!("{error}\n{}", said()))
    });
}

fn end(child: &mut Child) {
    signal(child.id(), Signal::Term);
    let _ = child.wait();
}

impl Drop for Nginx {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
