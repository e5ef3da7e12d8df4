//! `shipit hold`: keeps deploys off a stage, with a reason that those who are refused are told; or no longer. It takes
//! no lock: a run that has begun goes on, and is named.

use std::time::Duration;

use serde_json::json;

use super::{load, look, print, terminal, unheard};
use crate::cli::{Global, HoldArgs};
use crate::engine::HostRun;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::remote::{Facts, reply};

const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(global: &Global, args: HoldArgs) -> Result<u8> {
    let config = load(global, args.place.stage.as_deref(), &args.place.hosts)?;
    let who = look::who(&config).await;
    let mut listed = Vec::new();
    let mut code = 0;
    for host in &config.hosts {
        let (events, _) = Events::channel();
        let mut run = HostRun::new(host.clone(), look::home(&config, who.clone()), &events);
        let told = async {
            run.connect(&config, terminal()).await?;
            let said = run.side(&run.home.hold(args.why.as_deref()), "connect", LIMIT, None).await?;
            if said.code != Some(0) {
                return Err(Error::Step { host: host.name.clone(), step: "connect", why: said.why });
            }
            let mut facts = Facts::default();
            said.replies.into_iter().for_each(|reply| drop(facts.take(reply)));
            Ok(did(&facts, args.lift))
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
