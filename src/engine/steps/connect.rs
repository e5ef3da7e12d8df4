//! Connects to every host, takes every lock, learns the facts; meanwhile builds and packages here.

use std::time::Duration;

use futures_util::future::join_all;

use crate::engine::host::{Begun, HostRun, Phase};
use crate::engine::run::{Context, Run, build_and_package, random};
use crate::engine::scripts::Beginning;
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::plan::{Step, Verb};

/// Connects to every host, takes every lock, and meanwhile builds and packages here.
pub(in crate::engine) async fn connect(run: &mut Run) -> Result<()> {
    let local = run.request.plan.has(Step::Package);
    let request = &run.request;
    let context = Context {
        config: &request.config,
        plan: &request.plan,
        release: None,
        parcel: None,
        wait: request.wait,
        keep: request.keep,
        hold: request.hold,
        terminal: request.terminal,
        origin: &run.origin,
    };
    // A host that can't be had makes the build pointless; a build that fails waits for the hosts, to let them go in order.
    let (failed, failure) = tokio::sync::watch::channel(false);
    let here = async {
        if !local {
            return Ok(None);
        }
        let mut failure = failure;
        tokio::select! {
            biased;
            _ = failure.wait_for(|failed| *failed) => Ok(None),
            made = build_and_package(&request.config, &request.plan, &run.events) => made.map(Some),
        }
    };
    let hosts = async {
        let result = lock_all(&context, &mut run.hosts).await;
        if result.is_err() {
            failed.send_replace(true);
        }
        result
    };
    let (connected, made) = tokio::join!(hosts, here);
    connected?;
    run.artifact = made?;
    Ok(())
}

/// All locks or none: while one is held by somebody else, nothing is held here, and after a random while all are tried
/// again, for as long as `--wait` says.
async fn lock_all(context: &Context<'_>, hosts: &mut [HostRun]) -> Result<()> {
    let until = tokio::time::Instant::now() + context.wait.unwrap_or_default();
    let history = history(context);
    let mut told_waiting = false;
    for host in hosts.iter() {
        host.events.send(EventKind::StepStarted { step: Step::Connect.word() });
    }
    let began = std::time::Instant::now();
    loop {
        let begun = join_all(hosts.iter_mut().map(|host| begin(context, host, &history))).await;
        let mut locked = None;
        let mut failure = None;
        for (host, result) in hosts.iter().zip(begun) {
            match result.and_then(|begun| held(context, host).map_or(Ok(begun), Err)) {
                Ok(Begun::Idle) => {}
                Ok(Begun::Locked(who, since)) => {
                    locked.get_or_insert(Error::Locked {
                        host: host.host.name.clone(),
                        who,
                        since: crate::remote::reply::since(&since),
                        stage: context.config.stage.clone(),
                    });
                }
                Err(error) => {
                    host.events.send(EventKind::StepFailed {
                        step: Step::Connect.word(),
                        message: error.to_string(),
                        seconds: began.elapsed().as_secs_f64(),
                    });
                    failure.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let Some(error) = locked else { break };
        join_all(hosts.iter_mut().filter(|host| host.phase == Phase::Idle).map(HostRun::end_session)).await;
        let pause = Duration::from_millis(1000 + random() % 2000);
        if tokio::time::Instant::now() + pause > until {
            hosts[0].events.send(EventKind::StepFailed {
                step: Step::Connect.word(),
                message: error.to_string(),
                seconds: began.elapsed().as_secs_f64(),
            });
            return Err(error);
        }
        if !std::mem::replace(&mut told_waiting, true) {
            hosts[0].events.warn(format!("waiting: {error}"));
        }
        tokio::time::sleep(pause).await;
    }
    for host in hosts.iter() {
        for (release, left) in host.facts.not_undone() {
            host.events.warn(format!("{release} did not go live, and what its hooks did was not undone: {left}"));
        }
        let mut parts = Vec::new();
        if let Some((committed, release)) = &host.facts.recovered {
            let how = if *committed { "finished" } else { "taken back" };
            parts.push(format!("an earlier run's switch to {release} was {how}"));
        }
        parts.push(match host.facts.current() {
            Some(current) => format!("{current} is live"),
            None => "nothing is live yet".into(),
        });
        host.events.send(EventKind::StepFinished {
            step: Step::Connect.word(),
            outcome: crate::event::StepOutcome::Ok,
            detail: parts.join("; "),
            seconds: began.elapsed().as_secs_f64(),
        });
    }
    Ok(())
}

async fn begin(context: &Context<'_>, host: &mut HostRun, history: &str) -> Result<Begun> {
    host.connect(context.config, context.terminal).await?;
    let earlier = context.plan.verb == Verb::Rollback;
    let receives = context.plan.has(Step::Receive);
    host.begin(context.config, &Beginning { keep: context.keep, history, earlier, receives }).await
}

/// What keeps a deploy off this host. The way out of it, a rollback, and what only tidies up go on.
fn held(context: &Context<'_>, host: &HostRun) -> Option<Error> {
    let hold = host.facts.hold.clone().filter(|_| context.plan.verb == Verb::Deploy)?;
    Some(Error::Held {
        host: host.host.name.clone(),
        who: hold.who,
        since: hold.since,
        why: hold.why,
        stage: context.config.stage.clone(),
    })
}

/// The client's fields of the history line.
fn history(context: &Context<'_>) -> String {
    let fields = serde_json::json!({
        "verb": context.plan.verb.word(),
        "who": context.origin.who,
        "commit": context.origin.commit,
    });
    let text = fields.to_string();
    text[1..text.len() - 1].to_owned()
}
