//! `shipit unlock`: takes a lock away from an owner that can't be proved dead (another machine's process, say).
//! A lock whose owner is dead needs no unlock, the next run takes it over; one whose owner is seen to run is not taken.

use std::time::Duration;

use serde_json::json;

use super::{load, look, print, terminal, unheard};
use crate::cli::{Global, Place};
use crate::engine::HostRun;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::remote::{Reply, reply};

const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(global: &Global, place: Place) -> Result<u8> {
    let config = load(global, place.stage.as_deref(), &place.hosts)?;
    let who = look::who(&config).await;
    let mut listed = Vec::new();
    let mut code = 0;
    for host in &config.hosts {
        let (events, _) = Events::channel();
        let mut run = HostRun::new(host.clone(), look::home(&config, who.clone()), &events);
        let told = async {
            run.connect(&config, terminal()).await?;
            // First who has it, then that very one is taken away: a new owner in between is left alone.
            let seen = run.side(&run.home.unlock(""), "connect", LIMIT, None).await?;
            let Some(Reply::Lock { who, since, token, alive }) = seen.replies.into_iter().next() else {
                return Ok("not locked".to_owned());
            };
            if alive {
                return Err(Error::Running { host: host.name.clone(), who, since: reply::since(&since) });
            }
            let said = run.side(&run.home.unlock(&token), "connect", LIMIT, None).await?;
            match said.code {
                Some(0) => Ok(format!("unlocked; it was {who}'s since {}", reply::since(&since))),
                _ => Err(Error::Step { host: host.name.clone(), step: "connect", why: said.why }),
            }
        }
        .await;
        run.end().await;
        match told {
            Ok(did) if global.json => listed.push(json!({"host": host.name, "did": did})),
            Ok(did) => print(&format!("{}: {did}\n", host.name)),
            Err(error) => listed.push(unheard(&host.name, &error, &mut code)),
        }
    }
    if global.json {
        print(&format!("{}\n", json!({"app": config.app, "stage": config.stage, "hosts": listed})));
    }
    Ok(code)
}
