//! The end of a run on every host: where all went well nothing is left to do; else each host is brought to a known
//! state, from wherever it is. A host that isn't heard is asked again over a fresh connection: its answer decides.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::host::{Begun, HostRun, Phase, goodbye};
use super::limits::Limits;
use super::outcome::Ending;
use super::release::Release;
use super::run::Run;
use super::scripts::Beginning;
use super::steps::{to_undo, undo_hooks};
use crate::error::{Error, Result};
use crate::event::{EventKind, HostState};
use crate::release::State;
use crate::remote::{Facts, Reply};
use crate::service;

/// How long a host that can't be reached is asked again, beside the silence after which it helps itself. One that is
/// reached, and is still putting things back, gets the time that this may take.
const AGAIN: Duration = Duration::from_secs(45);

/// Brings every host to an end and tells which.
pub(super) async fn conclude(run: &mut Run, failure: Option<&Error>) -> Vec<Ending> {
    let context = Way {
        guilty: matches!(failure, Some(Error::Step { step: "activate" | "shift" | "verify", .. })),
        failure,
        release: run.release.as_ref(),
        config: &run.request.config,
        keep: run.request.keep,
        terminal: run.request.terminal,
        held: failure.is_some() && to_undo(&run.ran),
    };
    let ending = async {
        if !context.held {
            return join_all(run.hosts.iter_mut().map(|host| one(&context, host))).await;
        }
        let back = join_all(run.hosts.iter_mut().map(|host| back(&context, host))).await;
        // Under what was released somewhere, or is not known, nothing is pulled away: the hosts keep the notes.
        if back.iter().all(|(state, _)| matches!(state, HostState::Untouched | HostState::Reverted)) {
            undo_hooks(&run.request, &run.origin, run.release.as_ref(), &run.events, &run.hosts, &mut run.ran).await;
        }
        join_all(run.hosts.iter_mut().zip(back).map(|(host, back)| end(&context, host, back))).await
    };
    let endings = if failure.is_none() {
        ending.await
    } else {
        // The second signal stops listening: the hosts put themselves right.
        tokio::select! {
            endings = ending => endings,
            () = run.cancel.second() => Vec::new(),
        }
    };
    if endings.is_empty() && !run.hosts.is_empty() {
        let switched = run.switched();
        return run
            .hosts
            .iter()
            .map(|host| Ending {
                host: host.host.name.clone(),
                heard: heard(host),
                state: if switched { HostState::Unknown } else { HostState::Untouched },
                previous: host.facts.current().map(str::to_owned),
                detail: "not listened to any more".into(),
                doubt: Some("it was not heard to the end".into()),
            })
            .collect();
    }
    endings
}

/// What the way back has to know.
struct Way<'a> {
    /// Whether the release itself failed: then it is marked so. A cancel, a lost link or another host's disk say
    /// nothing about it.
    guilty: bool,
    failure: Option<&'a Error>,
    release: Option<&'a Release>,
    config: &'a crate::config::Config,
    keep: usize,
    terminal: bool,
    /// Whether sessions stay open behind the way back: hooks are undone under their lock.
    held: bool,
}

async fn one(way: &Way<'_>, host: &mut HostRun) -> Ending {
    let back = back(way, host).await;
    end(way, host, back).await
}

/// Brings a host back, from wherever it is.
async fn back(way: &Way<'_>, host: &mut HostRun) -> (HostState, String) {
    match host.phase.clone() {
        // Nothing was switched, that is certain. Its lock and notes may be left: a new session clears them away, now
        // if it can be had, else at the next contact. A session that was lost at its start had begun, too.
        Phase::Idle | Phase::Closed if died(way, host) => {
            let known = host.facts.clone();
            host.session = None;
            let _ = try_again(way, host).await;
            host.facts = known;
            (HostState::Untouched, String::new())
        }
        Phase::Closed => (HostState::Untouched, String::new()),
        Phase::Idle => {
            if !way.held {
                host.end_session().await;
            }
            (HostState::Untouched, String::new())
        }
        Phase::Active | Phase::Held => take_back(way, host).await,
        Phase::Reverted => {
            blame(way, host).await;
            (HostState::Reverted, String::new())
        }
        Phase::Committed => (HostState::Released, String::new()),
        Phase::Stuck(why) => (HostState::Unknown, why),
        Phase::Committing | Phase::Lost => ask_again(way, host).await,
    }
}

/// Lets a host go and says how it ended.
async fn end(way: &Way<'_>, host: &mut HostRun, (state, mut detail): (HostState, String)) -> Ending {
    host.end().await;
    let previous = host.facts.current().map(str::to_owned);
    let release = way.release.map(|release| release.id.to_string()).unwrap_or_default();
    if state == HostState::Reverted
        && previous.is_some()
        && let Some(ill) = ill_before(&host.facts)
    {
        detail = format!("it was not healthy before either: {ill}");
    }
    let told = match state {
        HostState::Untouched if !heard(host) => "not touched".to_owned(),
        state => state_detail(state, &release, previous.as_deref()),
    };
    let told = if detail.is_empty() { told } else { format!("{told}; {detail}") };
    if way.failure.is_some() || state != HostState::Untouched {
        host.events.send(EventKind::HostEnded { state, detail: told });
    }
    Ending { host: host.host.name.clone(), heard: heard(host), state, previous, detail, doubt: host.doubt.take() }
}

/// Whether a session of this run has ended on the host without having cleared up.
fn died(way: &Way<'_>, host: &HostRun) -> bool {
    match way.failure {
        Some(Error::Lost { host: there, .. }) if *there == host.host.name => true,
        Some(Error::Connect { host: there, .. }) if *there == host.host.name => host.phase != Phase::Closed,
        _ => host.session_over(),
    }
}

/// Whether a host ever told what is live on it.
fn heard(host: &HostRun) -> bool {
    host.facts.value("user").is_some()
}

/// What was wrong with the live release before this run, by the baseline.
pub(super) fn ill_before(facts: &Facts) -> Option<String> {
    let service = facts.value("service").unwrap_or_default();
    let health = facts.value("health").filter(|health| !matches!(*health, "ok" | "none"));
    if service.starts_with("absent") {
        return Some("its service did not run".into());
    }
    health.map(str::to_owned).or_else(|| service.strip_prefix("broken").map(|why| why.trim().to_owned()))
}

/// The longest a host may take from being told to having put everything back: the worker in flight, then the revert.
fn back_limit(way: &Way<'_>, host: &HostRun) -> Duration {
    let limit = match way.release {
        Some(release) => Limits::of(release, &host.facts).revert,
        None => service::revert_limit(&way.config.service, &way.config.health, 0),
    };
    limit + Duration::from_secs(15)
}

/// A release that failed is taken back by a word, which marks it; one that is merely not wanted any more by the end of
/// input, which leaves it unproven.
async fn take_back(way: &Way<'_>, host: &mut HostRun) -> (HostState, String) {
    let Some(mut session) = host.session.take() else { return ask_again(way, host).await };
    let limit = back_limit(way, host);
    if way.guilty || way.held {
        session.word("revert").await;
    } else {
        session.let_go().await;
    }
    let answer = loop {
        match session.answer(limit, &host.events, "activate").await {
            // An activation that came to its end meanwhile.
            Some(Reply::Ready) => {}
            other => break other,
        }
    };
    match answer {
        Some(Reply::Reverted(_)) => {
            if way.guilty {
                host.session = Some(session);
                blame(way, host).await;
            } else if way.held {
                host.session = Some(session);
                if let Some(release) = way.release {
                    host.mark(&release.id, State::Unproven, "put back: not committed").await;
                }
            } else {
                goodbye(&mut session, &host.events, Duration::from_secs(30)).await;
                host.doubt = session.doubt().map(str::to_owned);
            }
            (HostState::Reverted, String::new())
        }
        Some(Reply::Stuck(why)) => {
            host.session = Some(session);
            (HostState::Unknown, why)
        }
        _ => ask_again(way, host).await,
    }
}

/// Writes down why the release failed, while the session still holds the lock.
async fn blame(way: &Way<'_>, host: &HostRun) {
    if let (Some(release), Some(failure), true) = (way.release, way.failure, way.guilty) {
        let why = match failure {
            Error::Step { host: there, step, why } if *there == host.host.name => format!("{step}: {why}"),
            other => other.to_string(),
        };
        host.mark(&release.id, State::Failed, &why).await;
    }
}

/// A new session over a fresh connection. Bounded by ssh's own limits.
async fn try_again(way: &Way<'_>, host: &mut HostRun) -> Result<Begun> {
    if let Some(transport) = host.transport.take() {
        transport.close().await;
    }
    host.connect(way.config, way.terminal).await?;
    host.home.token = super::run::token();
    host.begin(way.config, &Beginning { keep: way.keep, history: "", earlier: true, receives: false }).await
}

/// A fresh connection and a new session: it waits until the old one has come to its end, finishes what that one left,
/// and tells what is live. That decides.
async fn ask_again(way: &Way<'_>, host: &mut HostRun) -> (HostState, String) {
    // What was live and well before this run is what counts in the end, not what a new session finds.
    let known = host.facts.clone();
    let answer = asked_again(way, host).await;
    host.facts = known;
    answer
}

async fn asked_again(way: &Way<'_>, host: &mut HostRun) -> (HostState, String) {
    let before = host.facts.current().map(str::to_owned);
    let wanted = way.release.map(|release| release.id.to_string());
    host.session = None;
    let reachable = Instant::now() + way.config.rollout.silence + AGAIN;
    let until = reachable + back_limit(way, host);
    let mut last = String::new();
    host.events.warn("the connection was lost; asking again over a new one");
    while Instant::now() < until {
        match try_again(way, host).await {
            Ok(Begun::Idle) => {
                let current = host.facts.current().map(str::to_owned);
                // A run to what was live already leaves the same name either way: what was finished tells.
                let committed = matches!(&host.facts.recovered, Some((true, _)))
                    || way
                        .release
                        .is_some_and(|release| host.facts.state(&release.id) == State::Good && wanted != before);
                return if wanted.is_some() && current == wanted && committed {
                    (HostState::Released, String::new())
                } else if current == before {
                    (HostState::Reverted, String::new())
                } else {
                    (HostState::Unknown, format!("current is {}", current.as_deref().unwrap_or("absent")))
                };
            }
            Ok(Begun::Locked(who, _)) => last = format!("its session is still putting things back (lock: {who})"),
            Err(error @ Error::Step { .. }) => return (HostState::Unknown, error.to_string()),
            Err(error) => {
                last = error.to_string();
                if Instant::now() > reachable {
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    (HostState::Unknown, format!("not heard any more: {last}"))
}

/// The words for a host's end.
fn state_detail(state: HostState, release: &str, previous: Option<&str>) -> String {
    match (state, previous) {
        (HostState::Released, _) => format!("runs {release}"),
        (HostState::Untouched, Some(previous)) => format!("runs {previous}, not touched"),
        (HostState::Untouched, None) => "nothing is live, not touched".into(),
        (HostState::Reverted, Some(previous)) => format!("runs {previous} again"),
        (HostState::Reverted, None) => "nothing is live again".into(),
        (HostState::Unknown, _) => "not known".into(),
    }
}
