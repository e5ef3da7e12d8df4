//! Where scripts run: over ssh, or here. The only place that starts something on a host. Carries bytes and parsed
//! replies; what they mean is the engine's business.

mod channel;
mod files;
mod local;
mod ssh;

use std::path::PathBuf;

pub(crate) use channel::each_line;
pub use channel::{Running, Stdin};
pub use files::allow_many_files;

use crate::config::{Address, Host, Ssh as SshConfig};
use crate::error::Result;
use crate::remote::Script;

/// What every channel runs: it reads a line with a number and that many bytes, a script packed by gzip, from its standard
/// input; what follows them is for the script. Constant, so that no value of ours crosses a login shell; exact under sh, bash, fish and tcsh.
/// The empty line ends what a login shell's startup file may have printed without one: our first reply begins a line.
/// A dd that knows no `fullblock` says so before it reads anything, and then takes the bytes one by one: it must not
/// take one too many. Of a script that was cut on its way no line is run.
const BOOTSTRAP: &str = concat!(
    // To a session and to all others, each in its own words.
    r#"echo;command -v gzip >/dev/null||{ w="the host has no gzip";c="install it there (Debian: apt install gzip)";"#,
    r#"printf "@refuse $w\t$c\n@why $w; $c\n@done 1\n@bye refused\n";exit 1;};"#,
    r#"read -r n&&s=$({ dd bs="$n" count=1 iflag=fullblock||dd bs=1 count="$n";} 2>/dev/null|gzip -dc)&&eval "$s""#
);

/// A connection to one host.
#[derive(Debug)]
pub enum Transport {
    /// Over ssh.
    Ssh(Box<ssh::Ssh>),
    /// On this machine.
    Local,
}

/// Where a service's port can be reached from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Directly.
    Direct,
    /// Through a local Unix socket that leads to the host's port.
    Socket(PathBuf),
}

impl Transport {
    /// Connects. With a terminal, ssh may ask for a passphrase or a touch; without one it never asks.
    pub async fn connect(host: &Host, config: &SshConfig, terminal: bool) -> Result<Transport> {
        match &host.address {
            Address::Local => Ok(Transport::Local),
            Address::Ssh { .. } => {
                ssh::Ssh::connect(host, config, terminal).await.map(|ssh| Transport::Ssh(Box::new(ssh)))
            }
        }
    }

    /// Starts a script. Its replies, log and end come through what is returned.
    pub async fn start(&self, script: &Script) -> Result<Running> {
        let packed = script.packed()?;
        let mut running = match self {
            Transport::Ssh(ssh) => ssh.channel().await?,
            Transport::Local => local::channel()?,
        };
        running.send(&[format!("{}\n", packed.len()).as_bytes(), &packed].concat()).await;
        Ok(running)
    }

    /// Opens the channel of the next script now, beside whatever else goes on: the next `start` waits for nothing then.
    /// Where the host allows no further channel, `start` opens one as ever.
    pub fn open_ahead(&self) {
        if let Transport::Ssh(ssh) = self {
            ssh.open_ahead();
        }
    }

    /// Makes a port that the host sees as `host:port` reachable from here.
    pub async fn forward(&self, host: &str, port: u16) -> Result<Endpoint> {
        match self {
            Transport::Ssh(ssh) => ssh.forward(host, port).await.map(Endpoint::Socket),
            Transport::Local => Ok(Endpoint::Direct),
        }
    }

    /// Whether the host was seen to refuse a forward: asking for one succeeds all the same, its connections then fail.
    pub fn forwards_nothing(&self) -> bool {
        match self {
            Transport::Ssh(ssh) => ssh.forwards_nothing(),
            Transport::Local => false,
        }
    }

    /// What the connection's own log says last; empty where there is none.
    pub fn last_words(&self) -> String {
        match self {
            Transport::Ssh(ssh) => ssh.last_words(),
            Transport::Local => String::new(),
        }
    }

    /// Ends the connection. Never fails: an ssh master that stays ends by itself a minute later.
    pub async fn close(self) {
        if let Transport::Ssh(ssh) = self {
            ssh.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a shell prints that is told of `len` bytes and gets these. `dd`: the host's own, in a
    /// directory that comes first.
    fn told(shell: &[&str], dd: Option<&std::path::Path>, len: usize, bytes: &[u8]) -> String {
        let mut command = Command::new(shell[0]);
        if let Some(dd) = dd {
            command.env("PATH", format!("{}:{}", dd.display(), std::env::var("PATH").unwrap()));
        }
        command.args(&shell[1..]).args(["-c", BOOTSTRAP, "shipit"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{len}").unwrap();
        // In pieces, as a link brings them.
        for piece in bytes.chunks(bytes.len() / 3 + 1) {
            stdin.write_all(piece).and_then(|()| stdin.flush()).unwrap();
        }
        drop(stdin);
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    #[test]
    fn a_script_leaves_what_follows_it_and_is_run_whole_or_not_at_all() {
        use std::os::unix::fs::PermissionsExt;
        let old = tempfile::tempdir().unwrap();
        let dd = old.path().join("dd");
        let text = "#!/bin/sh\ncase $* in *iflag*) exit 1 ;; esac\nexec /bin/dd \"$@\"\n";
        std::fs::write(&dd, text).unwrap();
        std::fs::set_permissions(&dd, std::fs::Permissions::from_mode(0o755)).unwrap();
        // What can't be packed makes it long.
        let noise: String = (0..10_000u64).map(|n| (n * n).to_string()).collect();
        let script = Script::new("test", &["echo @began\nread -r line\necho \"@read $line\"\n"]).var("A", noise);
        let packed = script.packed().unwrap();
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            for dd in [None, Some(old.path())] {
                let all = [&packed[..], b"what follows\n"].concat();
                assert_eq!(told(shell, dd, packed.len(), &all), "\n@began\n@read what follows\n", "{shell:?} {dd:?}");
                let cut = &packed[..packed.len() - 9];
                assert_eq!(told(shell, dd, packed.len(), cut), "\n", "{shell:?} {dd:?}");
            }
        }
    }
}
