//! `shipit unlock`: takes a lock away from an owner that can't be proved dead (another machine's process, say).
//! A lock whose owner is dead needs no unlock, the next run takes it over; one whose owner is seen to run is not taken.

use super::{each, load};
use crate::cli::{Global, Place};
use crate::error::{Error, Result};
use crate::remote::{Reply, reply};

pub(super) async fn run(global: &Global, place: Place) -> Result<u8> {
    let config = load(global, place.stage.as_deref(), &place.hosts)?;
    each::run(global, &config, async |run| {
        let host = run.host.name.clone();
        // First who has it, then that very one is taken away: a new owner in between is left alone.
        let seen = run.side(&run.home.unlock(""), "connect", each::LIMIT, None).await?;
        let Some(Reply::Lock { who, since, token, alive }) = seen.replies.into_iter().next() else {
            return Ok("not locked".to_owned());
        };
        if alive {
            return Err(Error::Running { host, who, since: reply::since(&since) });
        }
        let said = run.side(&run.home.unlock(&token), "connect", each::LIMIT, None).await?;
        match said.code {
            Some(0) => Ok(format!("unlocked; it was {who}'s since {}", reply::since(&since))),
            _ => Err(Error::Step { host, step: "connect", why: said.why }),
        }
    })
    .await
}
