//! Blue-green: the requests are led to the new colour share by share, in lockstep over all hosts. Before each share there is
//! a look at what was led so far: before the first one, at a release that nobody is led to yet. The look at the last one is
//! verify's. Any failure puts the old weights back.

use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};

use super::verify::watch;
use crate::engine::host::{HostRun, Phase};
use crate::engine::limits::Limits;
use crate::engine::release::Release;
use crate::engine::run::Run;
use crate::error::{Error, Result};
use crate::event::{EventKind, StepOutcome};
use crate::plan::Step;
use crate::proxy;
use crate::remote::Reply;

/// All shares on all hosts: no host gets the next one before every host is well with this one.
pub(in crate::engine) async fn shift(run: &mut Run) -> Result<()> {
    let step = Step::Shift.word();
    let began = Instant::now();
    let release = run.release.as_ref().expect("every plan decides its release before the steps that need it");
    let Some(proxy) = &release.proxy else { return Ok(()) };
    for host in &run.hosts {
        host.events.send(EventKind::StepStarted { step });
    }
    let told = |host: &HostRun, done: &Result<()>| {
        if let Err(error) = done {
            let seconds = began.elapsed().as_secs_f64();
            host.events.send(EventKind::StepFailed { step, message: error.to_string(), seconds });
        }
    };
    for (number, share) in proxy.shift.iter().enumerate() {
        let time = if number == 0 { release.health.soak } else { proxy.pause };
        // The first host that is not well ends the watch on all: what is led to it is to go back at once.
        try_join_all(run.hosts.iter().map(async |host| {
            let watched = watched(host, release, time).await;
            told(host, &watched);
            watched
        }))
        .await?;
        let all = run.hosts.iter_mut().map(async |host| {
            let led = lead(host, release, *share).await;
            told(host, &led);
            led
        });
        join_all(all).await.into_iter().collect::<Result<()>>()?;
    }
    for host in &run.hosts {
        let detail = format!("all requests go to {}", host.facts.value("colour").unwrap_or("the new colour"));
        let seconds = began.elapsed().as_secs_f64();
        host.events.send(EventKind::StepFinished { step, outcome: StepOutcome::Ok, detail, seconds });
    }
    Ok(())
}

/// One share on one host.
async fn lead(host: &mut HostRun, release: &Release, share: u8) -> Result<()> {
    let step = Step::Shift.word();
    if host.session_over() {
        return Err(host.lost(step));
    }
    let limit = proxy::shift_limit() + Limits::of(release, &host.facts).revert + Duration::from_secs(30);
    match host.ask(&format!("shift {share}"), Phase::Active, limit, step).await? {
        Reply::Shifted(led) if led == share => host.phase = Phase::Held,
        Reply::Reverted(why) => {
            host.phase = Phase::Reverted;
            return Err(if host.has_left() { host.over(step) } else { host.failed(step, why) });
        }
        Reply::Stuck(why) => {
            host.phase = Phase::Stuck(why.clone());
            return Err(host.failed(step, format!("and it could not be put back: {why}")));
        }
        other => return Err(Error::Protocol { host: host.host.name.clone(), detail: format!("{other:?} to shift") }),
    }
    Ok(())
}

/// The look at what is led so far.
async fn watched(host: &HostRun, release: &Release, time: Duration) -> Result<()> {
    // Where nothing is live nobody's requests can be lost.
    if host.facts.current().is_none() {
        return Ok(());
    }
    let watched = watch(host, release, time).await;
    // As in verify: a session that was ended has put the shares back, and what was seen then says nothing of the release.
    if watched.is_err() && !host.goes_on("held").await {
        return Err(host.over(Step::Shift.word()));
    }
    watched
}
