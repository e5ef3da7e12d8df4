//! Where scripts run: over ssh, or here. The only place that starts something on a host. Carries bytes and parsed
//! replies; what they mean is the engine's business.

mod channel;
mod local;
mod ssh;

use std::path::PathBuf;

pub use channel::{Running, Stdin};

use crate::config::{Address, Host, Ssh as SshConfig};
use crate::error::Result;
use crate::remote::Script;

/// What every channel runs: it reads exactly `$1` bytes of script from its standard input; what follows them is for
/// the script. Constant, so that no value of ours crosses a login shell; exact under sh, bash, fish and tcsh. The empty
/// line ends what a login shell's startup file may have printed without one: our first reply begins a line.
const BOOTSTRAP: &str = r#"echo;eval "$(dd bs=1 count="$1" 2>/dev/null)""#;

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
        let text = script.render()?;
        let mut running = match self {
            Transport::Ssh(ssh) => ssh.start(text.len()).await?,
            Transport::Local => local::start(text.len())?,
        };
        running.send(text.as_bytes()).await;
        Ok(running)
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
