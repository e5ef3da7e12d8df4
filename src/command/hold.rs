//! `shipit hold`: keeps deploys off a stage, with a reason that those who are refused are told; or no longer. It takes
//! no lock: a run that has begun goes on, and is named.

use super::{each, load};
use crate::cli::{Global, HoldArgs};
use crate::error::{Error, Result};
use crate::remote::{Facts, reply};

pub(super) async fn run(global: &Global, args: HoldArgs) -> Result<u8> {
    let config = load(global, args.place.stage.as_deref(), &args.place.hosts)?;
    each::run(global, &config, async |run| {
        let said = run.side(&run.home.hold(args.why.as_deref()), "connect", each::LIMIT, None).await?;
        if said.code != Some(0) {
            return Err(Error::Step { host: run.host.name.clone(), step: "connect", why: said.why });
        }
        let mut facts = Facts::default();
        said.replies.into_iter().for_each(|reply| drop(facts.take(reply)));
        Ok(did(&facts, args.lift))
    })
    .await
}

/// What was done, from what was there before.
fn did(before: &Facts, lift: bool) -> String {
    let was = before.hold.as_ref().map(|hold| format!("{}'s since {}: {}", hold.who, hold.since, hold.why));
    let mut did = match (lift, was) {
        (true, Some(was)) => format!("deploys are allowed again; the hold was {was}"),
        (true, None) => "deploys were not held".into(),
        (false, Some(was)) => format!("deploys are held; this takes the place of {was}"),
        (false, None) => "deploys are held".into(),
    };
    if let (false, Some((who, since, true))) = (lift, &before.lock) {
        did.push_str(&format!("; a run has begun before and goes on: {who} since {}", reply::since(since)));
    }
    did
}
