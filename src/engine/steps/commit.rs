//! The point of no return, on all hosts at once.

use std::time::Duration;

use futures_util::future::join_all;

use crate::engine::host::{HostRun, Phase};
use crate::engine::run::{Run, told};
use crate::engine::steps::to_undo;
use crate::engine::switch::record_limit;
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::plan::Step;
use crate::remote::Reply;

/// How old a sign of life may be that stands for an answer.
const LATELY: Duration = Duration::from_secs(3);
/// How long a host may take to say that it holds.
const HEARD_LIMIT: Duration = Duration::from_secs(3);
/// How long a commit's answer may take: one rename.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
/// How long the host may be late with what follows a commit.
const LATE: Duration = Duration::from_secs(30);

/// Every host must be heard and held; then every host is told. A host whose answer is lost is asked again later. One that
/// is alone has nobody to wait for: it need not be asked when it has just spoken, and is told at once what comes after. Not
/// where hooks have undo lines: should the commit fail, these are run under this session's lock, and it may not be over.
pub(in crate::engine) async fn commit(run: &mut Run) -> Result<()> {
    let alone = run.hosts.len() == 1;
    let age = if alone { LATELY } else { Duration::ZERO };
    let heard = join_all(run.hosts.iter().map(async |host| match &host.session {
        Some(session) if host.phase == Phase::Held => {
            session.state_lately(age, HEARD_LIMIT).await.as_deref() == Some("held")
        }
        _ => false,
    }))
    .await;
    if let Some((host, _)) = run.hosts.iter_mut().zip(heard).find(|(_, heard)| !heard) {
        host.phase = Phase::Lost;
        let error = host.lost("commit");
        host.events.send(EventKind::StepFailed { step: "commit", message: error.to_string(), seconds: 0.0 });
        return Err(error);
    }
    let to_do = run.request.plan.steps.iter().filter(|planned| planned.skip.is_none()).map(|planned| planned.step);
    if let [HostRun { session: Some(session), .. }] = &mut run.hosts[..]
        && !to_undo(&run.ran)
        && to_do.skip_while(|step| *step != Step::Commit).eq([Step::Commit, Step::Prune, Step::End])
    {
        session.words_ahead(&["commit", "prune", "end"]).await;
    }
    // All at once, whatever `parallel` says: the shorter the time in which only some have it, the better.
    let limit = record_limit(&run.request.config) + LATE;
    let all = join_all(run.hosts.iter_mut().map(async |host| {
        let events = host.events.clone();
        told(&events, Step::Commit, &None, commit_one(host, limit)).await
    }));
    all.await.into_iter().collect()
}

/// `limit`: for what follows.
async fn commit_one(host: &mut HostRun, limit: Duration) -> Result<String> {
    match host.ask("commit", Phase::Committing, COMMIT_LIMIT, "commit").await? {
        Reply::Committed => host.phase = Phase::Committed,
        Reply::Reverted(why) => {
            host.phase = Phase::Reverted;
            return Err(host.failed("commit", why));
        }
        Reply::Stuck(why) => {
            host.phase = Phase::Stuck(why.clone());
            return Err(host.failed("commit", why));
        }
        other => return Err(Error::Protocol { host: host.host.name.clone(), detail: format!("{other:?} to commit") }),
    }
    // Committed is committed: that its record comes late is no failure.
    if let Some(session) = &mut host.session
        && !matches!(session.answer(limit, &host.events, "commit").await, Some(Reply::Recorded))
    {
        host.events.warn("the release is live, but its record could not be finished; the next run does it");
    }
    Ok(String::new())
}
