//! Blue-green: the requests are led to the new colour share by share, in lockstep over all hosts, with a look at each
//! share but the last, which is verify's. Any failure puts the old weights back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::verify::watch;
use crate::config::Proxy;
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
    for share in &proxy.shift {
        let all = run.hosts.iter_mut().map(async |host| {
            let led = lead(host, release, proxy, *share).await;
            if let Err(error) = &led {
                let seconds = began.elapsed().as_secs_f64();
                host.events.send(EventKind::StepFailed { step, message: error.to_string(), seconds });
            }
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

/// One share on one host, and the look at it.
async fn lead(host: &mut HostRun, release: &Release, proxy: &Proxy, share: u8) -> Result<()> {
    let step = Step::Shift.word();
    // Where nothing is live nobody's requests are shared.
    if share < 100 && host.facts.current().is_none() {
        return Ok(());
    }
    if host.session_over() {
        return Err(host.lost(step));
    }
    host.phase = Phase::Active;
    let limit = proxy::shift_limit() + Limits::of(release, &host.facts).revert + Duration::from_secs(30);
    match host.ask(&format!("shift {share}"), limit, step).await? {
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
    if share == 100 {
        return Ok(());
    }
    let watched = watch(host, release, proxy.pause).await;
    // As in verify: a session that was ended has put the shares back, and what was seen then says nothing of the release.
    if watched.is_err() && !host.goes_on("held").await {
        return Err(host.over(step));
    }
    watched
}
