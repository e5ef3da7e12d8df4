//! Looking at hosts without a session: no lock, no write.

use std::time::Duration;

use futures_util::future::join_all;

use super::terminal;
use crate::config::{Config, Host};
use crate::engine::{Home, HostRun, Origin, token};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::remote::{Facts, Reply};

/// How long a host may take to tell about itself.
const LIMIT: Duration = Duration::from_secs(60);
/// The same where it may have to read every file of a release.
const READ_LIMIT: Duration = Duration::from_secs(600);

/// What was seen of one host.
pub(super) struct Seen {
    /// Which.
    pub(super) host: Host,
    /// Its facts, or why there are none.
    pub(super) facts: Result<Facts>,
    /// With `keep`: what a cleanup would remove.
    pub(super) removable: Vec<String>,
}

/// Looks at all hosts at once. With `keep`, also asks what a cleanup would remove.
pub(super) async fn all(config: &Config, keep: Option<usize>) -> Vec<Seen> {
    join_all(config.hosts.iter().map(async |host| one(config, host, keep, false).await)).await
}

/// Looks at all hosts at once, also at what of their live releases is not as released.
pub(super) async fn drift(config: &Config) -> Vec<Seen> {
    join_all(config.hosts.iter().map(async |host| one(config, host, None, true).await)).await
}

async fn one(config: &Config, host: &Host, keep: Option<usize>, drift: bool) -> Seen {
    let (events, _) = Events::channel();
    let mut run = HostRun::new(host.clone(), home(config, String::new()), &events);
    let mut removable = Vec::new();
    let facts = async {
        run.connect(config, terminal()).await?;
        let script = run.home.look(config, keep, drift);
        let said = run.side(&script, "connect", if drift { READ_LIMIT } else { LIMIT }, None).await?;
        if said.code != Some(0) {
            return Err(Error::Step { host: host.name.clone(), step: "connect", why: said.why });
        }
        let mut facts = Facts::default();
        for reply in said.replies {
            match reply {
                Reply::Removed(release) => removable.push(release),
                reply => {
                    facts.take(reply);
                }
            }
        }
        Ok(facts)
    }
    .await;
    run.end().await;
    Seen { host: host.clone(), facts, removable }
}

/// What the scripts of a look are told.
pub(super) fn home(config: &Config, who: String) -> Home {
    Home { base: config.path.clone(), token: token(), who, path: config.ssh.path.clone() }
}

/// Who we are, for a script that writes.
pub(super) async fn who(config: &Config) -> String {
    Origin::find(&config.build.root).await.who
}
