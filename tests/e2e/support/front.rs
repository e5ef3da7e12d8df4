//! nginx or Caddy before an app, as a user's own web server: run by the host's account on a loopback port, with a config
//! that names the colours only once it is told to. Ended with everything below it when the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::account::Account;
use super::config::Config;
use super::ports;
use super::process::{Signal, alive, command_line, descendants, eventually, signal};

/// An account's own PATH lacks it.
const NGINX: &str = "/usr/sbin/nginx";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
}

/// Whom it leads requests to.
#[derive(Clone, Copy, Debug)]
enum Led<'a> {
    Nobody,
    /// The colours of the app in this home.
    Home(&'a Path),
    /// An app on this port.
    Port(u16),
}

/// A web server of the user's own.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) kind: Kind,
    dir: PathBuf,
    account: Account,
    /// Where it listens; nginx keeps its connections to the app there.
    pub(crate) port: u16,
    /// Where nginx makes a new one for each request.
    pub(crate) plain: u16,
    admin: u16,
    /// Where blue and green listen.
    pub(crate) colours: [u16; 2],
    /// None until it is known: of nobody else's process may anything be ended.
    pid: Option<u32>,
}

impl Front {
    /// Starts it with a config that knows of no app.
    pub(crate) fn start(kind: Kind, dir: &Path, account: &Account) -> Front {
        account.make_dir(dir);
        let (port, plain, admin) = (ports::free(), ports::free(), ports::free());
        let colours = [ports::free(), ports::free()];
        let mut front =
            Front { kind, dir: dir.to_owned(), account: account.clone(), port, plain, admin, colours, pid: None };
        front.write(Led::Nobody);
        let config = front.config();
        match kind {
            Kind::Nginx => assert!(front.run(NGINX, &["-c", &config]).success()),
            Kind::Caddy => {
                // What README asks of a host with Caddy; tests/run may change this machine.
                fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1").expect("root, and Linux 5.14");
                let pid = dir.join("pid").display().to_string();
                assert!(
                    front
                        .run("caddy", &["start", "--config", &config, "--adapter", "caddyfile", "--pidfile", &pid])
                        .success()
                );
            }
        }
        let told = || fs::read_to_string(dir.join("pid")).ok()?.trim().parse().ok();
        eventually("it tells its process", Duration::from_secs(20), || told().map(|_: u32| ()).ok_or_else(String::new));
        front.pid = told().filter(|pid| *pid > 1);
        front
    }

    fn config(&self) -> String {
        self.dir.join("front.conf").display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) -> std::process::ExitStatus {
        let mut command: Command = self.account.command(program);
        command.env("HOME", &self.dir).env("XDG_DATA_HOME", &self.dir).env("XDG_CONFIG_HOME", &self.dir);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("tests/run installs nginx and caddy")
    }

    /// The lines that test its config and make it take it.
    pub(crate) fn lines(&self) -> (String, String) {
        let path = self.config();
        match self.kind {
            Kind::Nginx => (format!("{NGINX} -c {path} -T"), format!("{NGINX} -c {path} -s reload")),
            Kind::Caddy => (
                format!("caddy adapt --validate --adapter caddyfile --config {path}"),
                format!("caddy reload --force --adapter caddyfile --address 127.0.0.1:{} --config {path}", self.admin),
            ),
        }
    }

    /// Its table in a config.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Nginx => "nginx",
            Kind::Caddy => "caddy",
        }
    }

    /// What a config with this front says of it, in its own table.
    pub(crate) fn table(&self, config: &mut Config) {
        let name = self.name();
        let (test, reload) = self.lines();
        config.unset("service.pm2.port");
        let ports: Vec<toml::Value> = self.colours.iter().map(|port| i64::from(*port).into()).collect();
        config.set(&format!("proxy.{name}.ports"), ports);
        config.set(&format!("proxy.{name}.test"), test).set(&format!("proxy.{name}.reload"), reload);
        config.set(&format!("proxy.{name}.drain"), "5s");
    }

    /// Leads all requests to the app of this home, by the file that shipit has written there.
    pub(crate) fn lead(&self, home: &Path) {
        self.take(Led::Home(home));
    }

    /// Leads all requests to what listens on this port, whoever that is.
    pub(crate) fn lead_to(&self, port: u16) {
        self.take(Led::Port(port));
    }

    /// What nginx had to say last, of what went wrong.
    pub(crate) fn said(&self) -> String {
        let text = fs::read_to_string(self.dir.join("error.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("[error]")).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Leads nobody anywhere any more.
    pub(crate) fn leave(&self) {
        self.take(Led::Nobody);
    }

    fn take(&self, led: Led<'_>) {
        self.write(led);
        let path = self.config();
        let before = self.pid.map(descendants).unwrap_or_default();
        let done = match self.kind {
            Kind::Nginx => self.run(NGINX, &["-c", &path, "-s", "reload"]),
            Kind::Caddy => {
                let admin = format!("127.0.0.1:{}", self.admin);
                self.run(
                    "caddy",
                    &["reload", "--force", "--adapter", "caddyfile", "--address", &admin, "--config", &path],
                )
            }
        };
        assert!(done.success());
        // Only told to: whoever asks before they are gone may be answered by the old config.
        let works = |pid: &u32| {
            command_line(*pid).starts_with("nginx: worker process ") && !command_line(*pid).contains("shutting")
        };
        eventually("it leads there", Duration::from_secs(60), || match before.iter().find(|pid| works(pid)) {
            None => Ok(()),
            Some(pid) => Err(format!("{pid} works on")),
        });
    }

    fn write(&self, led: Led<'_>) {
        let (dir, port, plain) = (self.dir.display(), self.port, self.plain);
        let text = match self.kind {
            Kind::Nginx => {
                let upstream = match led {
                    Led::Home(home) => format!("include {}/.shipit/proxy/upstream.conf;", home.display()),
                    Led::Port(to) => format!("upstream tiny {{ server 127.0.0.1:{to}; keepalive 16; }}"),
                    Led::Nobody => String::new(),
                };
                let [kept, anew] = match led {
                    Led::Nobody => ["return 503;"; 2],
                    _ => [
                        "proxy_pass http://tiny; proxy_http_version 1.1; proxy_set_header Connection \"\";",
                        "proxy_pass http://tiny;",
                    ],
                };
                format!(
                    "worker_processes 2;\npid {dir}/pid;\nerror_log {dir}/error.log;\nevents {{}}\nhttp {{\n  access_log off;\n  \
                     client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi; \
                     uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n  {upstream}\n  \
                     server {{ listen 127.0.0.1:{port}; location / {{ {kept} }} }}\n  \
                     server {{ listen 127.0.0.1:{plain}; location / {{ {anew} }} }}\n}}\n"
                )
            }
            Kind::Caddy => {
                let (import, to) = match led {
                    Led::Home(home) => (
                        format!("import {}/.shipit/proxy/upstream.caddy", home.display()),
                        "reverse_proxy {\n import tiny\n}".to_owned(),
                    ),
                    Led::Port(to) => (String::new(), format!("reverse_proxy 127.0.0.1:{to}")),
                    Led::Nobody => (String::new(), "respond 503".to_owned()),
                };
                let admin = self.admin;
                format!(
                    "{{\n admin 127.0.0.1:{admin}\n auto_https off\n}}\n{import}\nhttp://:{port} {{\n bind 127.0.0.1\n{to}\n}}\n"
                )
            }
        };
        fs::write(self.dir.join("front.conf"), text).expect("a folder of this test's own");
        self.account.own(&self.dir.join("front.conf"));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let Some(pid) = self.pid else { return };
        for pid in [vec![pid], descendants(pid)].concat().into_iter().filter(|pid| alive(*pid)) {
            signal(pid, Signal::Kill);
        }
    }
}
