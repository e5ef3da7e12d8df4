//! Looking at hosts without a session: no lock, no write.

use std::time::Duration;

use futures_util::future::join_all;

use super::terminal;
use crate::artifact::Held;
use crate::config::{Config, Host};
use crate::engine::{Home, HostRun, Origin, Reading, token};
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
    /// Where asked for: what a new release could be made of; none where it can't tell.
    pub(super) held: Option<Held>,
}

/// Looks at all hosts at once. With `keep`, also asks what a cleanup would remove.
pub(super) async fn all(config: &Config, keep: Option<usize>) -> Vec<Seen> {
    join_all(config.hosts.iter().map(async |host| one(config, host, keep, Reading::Nothing).await)).await
}

/// Looks at all hosts at once, and reads more of their releases.
pub(super) async fn reading(config: &Config, reading: Reading) -> Vec<Seen> {
    join_all(config.hosts.iter().map(async |host| one(config, host, None, reading).await)).await
}

async fn one(config: &Config, host: &Host, keep: Option<usize>, reading: Reading) -> Seen {
    let (events, _) = Events::channel();
    let mut run = HostRun::new(host.clone(), home(config, String::new()), &events);
    let (mut removable, mut held) = (Vec::new(), None);
    let facts = async {
        run.connect(config, terminal()).await?;
        let script = run.home.look(config, keep, reading);
        let limit = if reading == Reading::Nothing { LIMIT } else { READ_LIMIT };
        let said = run.side(&script, "connect", limit, None).await?;
        if said.code != Some(0) {
            return Err(Error::Step { host: host.name.clone(), step: "connect", why: said.why });
        }
        held = said.held().await;
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
    Seen { host: host.clone(), facts, removable, held }
}

/// What the scripts of a look are told.
pub(super) fn home(config: &Config, who: String) -> Home {
    Home { base: config.path.clone(), token: token(), who, path: config.ssh.path.clone() }
}

/// Who we are, for a script that writes.
pub(super) async fn who(config: &Config) -> String {
    Origin::find(&config.build.root).await.who
}
