//! What each step does, on one host or on all. The order of steps is the plan's; the way back is takeback.rs's.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;

use super::host::{Begun, HostRun, Phase};
use super::preflight::{self, Needs};
use super::receive::{Parcel, Sending};
use super::run::{Context, Release, Run, build_and_package, random, told};
use super::scripts::Intake;
use super::verify;
use crate::artifact::Codec;
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::plan::{Step, Verb};
use crate::release::{ReleaseId, State};
use crate::remote::{Record, Reply};
use crate::service;
use crate::text::{bytes, count};

/// How long a host may take to unpack, verify and sync a release after the last byte was sent.
const RECEIVE_LIMIT: Duration = Duration::from_secs(3600);
/// How long a check of every file may take.
const CHECK_LIMIT: Duration = Duration::from_secs(600);
/// How long a commit's answer may take: one rename.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
/// How long what follows a commit may take: the record, and the service's own list.
const RECORD_LIMIT: Duration = Duration::from_secs(150);

/// Connects to every host, takes every lock, and meanwhile builds and packages here.
pub(super) async fn connect(run: &mut Run) -> Result<()> {
    let local = run.request.plan.has(Step::Package);
    let request = &run.request;
    let context = Context {
        config: &request.config,
        plan: &request.plan,
        release: None,
        parcel: None,
        wait: request.wait,
        keep: request.keep,
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
            match result {
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
    host.begin(context.config, context.keep, history).await
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

/// Holds the facts of all hosts against the artifact; the findings of all are told before any host gets anything.
pub(super) async fn preflight(run: &mut Run) -> Result<()> {
    let needs =
        run.artifact.as_ref().map(|artifact| Needs { bytes: artifact.bytes(), entries: artifact.entries.len() as u64 });
    if run.request.plan.verb == Verb::Rollback {
        // What is shared into an earlier release is that release's own list; `check` follows its links.
        run.hosts.iter_mut().for_each(|host| host.facts.missing.clear());
    }
    run.each(Step::Preflight, None, async |context, host| {
        let found = preflight::findings(&host.host, context.config, &host.facts, needs);
        for warning in preflight::warnings(&host.facts, Utc::now().timestamp()) {
            host.events.warn(warning);
        }
        if found.is_empty() {
            return Ok(host.facts.value("service").map(|service| format!("service {service}")).unwrap_or_default());
        }
        Err(Error::Preflight { host: host.host.name.clone(), findings: found })
    })
    .await
}

/// Makes the new release: its id, its record, its parcel.
pub(super) fn new_release(run: &mut Run) -> Result<()> {
    let artifact = run.artifact.clone().expect("package comes before preflight in every deploy");
    let config = &run.request.config;
    let now = Utc::now();
    let newest = run.hosts.iter().filter_map(|host| host.facts.newest()).max();
    let id = ReleaseId::new(&config.release.prefix, now, newest, random() as u32);
    let mut service = config.service.clone();
    if let (crate::config::Service::Pm2(pm2), Some(script)) = (&mut service, &artifact.script)
        && pm2.script.is_none()
        && pm2.ecosystem.is_none()
    {
        pm2.script = Some(script.clone());
    }
    let record = Record {
        id: id.clone(),
        at: now,
        who: run.origin.who.clone(),
        commit: run.origin.commit.clone(),
        branch: run.origin.branch.clone(),
        artifact: artifact.hash.clone(),
        files: artifact.files() as u64,
        bytes: artifact.bytes(),
        app_dir: artifact.app_dir.clone(),
        shared: config.shared.clone(),
        service: service.clone(),
        health: config.health.clone(),
        previous: String::new(),
        state: State::Unproven,
        why: String::new(),
    };
    let marker = serde_json::json!({ "id": id, "commit": run.origin.commit, "artifact": artifact.hash }).to_string();
    let mtime = u64::try_from(id.time().timestamp()).unwrap_or_default();
    run.parcel = Some(Arc::new(Parcel::new(
        Arc::clone(&artifact),
        record.render(),
        marker + "\n",
        config.release.access.modes(),
        mtime,
    )));
    let settings = service::settings(&service, &config.health, &artifact.app_dir);
    let commit = run.origin.commit.clone();
    decide(
        run,
        Release {
            id,
            app_dir: artifact.app_dir.clone(),
            service,
            health: run.request.config.health.clone(),
            shared: run.request.config.shared.clone(),
            settings,
        },
        commit,
    );
    Ok(())
}

/// Makes an earlier release this run's, with the service and health settings of its own time.
pub(super) fn earlier_release(run: &mut Run, id: ReleaseId, record: Record) -> Result<()> {
    if std::mem::discriminant(&record.service) != std::mem::discriminant(&run.request.config.service) {
        return Err(Error::NoTarget {
            why: format!("{id} was run by another service than deploy.toml names now"),
            hint: "put the [service] table of that time back, or deploy its commit".into(),
        });
    }
    let settings = service::settings(&record.service, &record.health, &record.app_dir);
    decide(
        run,
        Release {
            id,
            app_dir: record.app_dir,
            service: record.service,
            health: record.health,
            shared: record.shared,
            settings,
        },
        record.commit,
    );
    Ok(())
}

fn decide(run: &mut Run, release: Release, commit: Option<String>) {
    run.events.send(EventKind::Release { release: release.id.to_string(), commit });
    run.release = Some(release);
}

/// Sends the release to every host; packed once for each codec.
pub(super) async fn receive(run: &mut Run) -> Result<()> {
    let parcel = Arc::clone(run.parcel.as_ref().expect("made with the release"));
    let codec = |host: &HostRun| if host.facts.has("zstd") { Codec::Zstd } else { Codec::Gzip };
    let mut packed = Vec::new();
    for wanted in [Codec::Zstd, Codec::Gzip] {
        if run.hosts.iter().any(|host| codec(host) == wanted) {
            packed.push((wanted, parcel.pack(wanted).await?));
        }
    }
    run.each(Step::Receive, None, async |context, host| {
        let release = context.release();
        let codec = codec(host);
        let (_, file) = packed.iter().find(|(packed, _)| *packed == codec).expect("packed for every codec in use");
        let sha = context.parcel.expect("made with the release").manifest_sha();
        let script = host.home.receive(&Intake {
            id: &release.id,
            codec,
            manifest_sha: &sha,
            settings: &release.settings,
            app_dir: &release.app_dir,
            access: &context.config.release.access,
            shared: &release.shared,
        });
        let mut sending = Sending::new(Arc::clone(file), host.events.clone())?;
        let total = sending.total;
        let said = host.side(&script, "receive", RECEIVE_LIMIT, Some(&mut sending)).await?;
        if said.code != Some(0) {
            return Err(host.failed("receive", said.why));
        }
        if let Err(error) = host.job("prepare", "", "receive", Duration::from_secs(60)).await {
            blame(host, &release.id, &error).await;
            return Err(error);
        }
        Ok(format!("{} sent, every file verified", bytes(total)))
    })
    .await
}

/// Whether the release of a rollback is complete, unchanged where it matters, and its links lead somewhere.
pub(super) async fn check(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let release = context.release();
    let withdraw = match host.facts.current() {
        Some(current) if current != release.id.as_str() => {
            format!("rolled back to {} by {}", release.id, context.origin.who)
        }
        _ => String::new(),
    };
    let script = host.home.check(&release.id, &release.settings, &release.app_dir, &release.shared, &withdraw);
    let said = host.side(&script, "check", CHECK_LIMIT, None).await?;
    if said.code != Some(0) {
        return Err(host.failed("check", said.why));
    }
    let mut wrong = Vec::new();
    for reply in said.replies {
        match reply {
            Reply::Bad(path) if !is_mutable(&path) && !is_shared(&path, release) => wrong.push(path),
            Reply::Dangling(path) => wrong.push(format!("{path} (its shared file is gone)")),
            _ => {}
        }
    }
    if !wrong.is_empty() {
        let more = if wrong.len() > 5 { format!(" and {} more", wrong.len() - 5) } else { String::new() };
        wrong.truncate(5);
        return Err(
            host.failed("check", format!("{} is not what was released: {}{more}", release.id, wrong.join(", ")))
        );
    }
    host.job("prepare", "", "check", Duration::from_secs(60)).await?;
    Ok("every file as it was released".into())
}

/// Pages and caches that Next.js rewrites in place while it runs (14 and 15 do; 16 writes beside them).
fn is_mutable(path: &str) -> bool {
    let inside = |part: &str| path.contains(part);
    inside(".next/cache/") || inside("/server/app/") || inside("/server/pages/") || inside("/server/route-cache/")
}

/// What was shipped at a shared path was replaced by its link when the release was received.
fn is_shared(path: &str, release: &Release) -> bool {
    release.shared.dirs.iter().chain(&release.shared.files).any(|shared| {
        crate::artifact::place(&release.app_dir, shared)
            .and_then(|at| at.to_str().map(str::to_owned))
            .is_some_and(|at| path == at || path.strip_prefix(&at).is_some_and(|rest| rest.starts_with('/')))
    })
}

/// The candidate on a spare port; a release that fails it is marked and never switched to.
pub(super) async fn boot_test(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let release = context.release();
    let limit = release.health.within + Duration::from_secs(60);
    match host.job("boot", "", "boot_test", limit).await {
        Ok(_) => Ok("started, answered, stopped".into()),
        Err(error) => {
            blame(host, &release.id, &error).await;
            Err(error)
        }
    }
}

/// Writes down that a release failed before it was switched to.
async fn blame(host: &HostRun, id: &ReleaseId, error: &Error) {
    if let Error::Step { step, why, .. } = error {
        host.mark(id, State::Failed, &format!("{step}: {why}")).await;
    }
}

/// The switch: from here on the host takes itself back when it doesn't hear from us.
pub(super) async fn activate(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let release = context.release();
    if host.session_over() {
        return Err(host.lost("activate"));
    }
    host.phase = Phase::Active;
    let limit = service::activate_limit(&release.service, &release.health)
        + service::revert_limit(&release.service, &release.health)
        + Duration::from_secs(30);
    match host.ask("activate", limit, "activate").await? {
        Reply::Ready => {
            host.phase = Phase::Held;
            let doubt = match host.session.as_ref().and_then(|session| session.doubt.as_ref()) {
                Some(why) => format!(", not provable here: {why}"),
                None => String::new(),
            };
            Ok(match host.facts.current() {
                Some(old) => format!("{old} -> {}{doubt}", release.id),
                None => format!("{}{doubt}", release.id),
            })
        }
        Reply::Reverted(why) => {
            host.phase = Phase::Reverted;
            let log = host.session.as_mut().map(|session| std::mem::take(&mut session.log)).unwrap_or_default();
            host.tell_log("the last lines of the log", log);
            Err(host.failed("activate", why))
        }
        Reply::Stuck(why) => {
            host.phase = Phase::Stuck(why.clone());
            Err(host.failed("activate", format!("and it could not be put back: {why}")))
        }
        other => Err(Error::Protocol { host: host.host.name.clone(), detail: format!("{other:?} to activate") }),
    }
}

/// Health from here, and no worker that restarts meanwhile.
pub(super) async fn verify(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let release = context.release();
    match verify::verify(host, release).await {
        Ok(detail) => Ok(detail),
        Err(error) => {
            if let Ok(said) = host.side(&host.home.side("log", ""), "verify", Duration::from_secs(15), None).await {
                host.tell_log("the last lines of the log", said.log);
            }
            Err(error)
        }
    }
}

/// Every host must be heard and held; then every host is told. A host whose answer is lost is asked again later.
pub(super) async fn commit(run: &mut Run) -> Result<()> {
    let heard = join_all(run.hosts.iter_mut().map(async |host| match &mut host.session {
        Some(session) if host.phase == Phase::Held => session.held_within(Duration::from_secs(3)).await,
        _ => false,
    }))
    .await;
    if let Some((host, _)) = run.hosts.iter_mut().zip(heard).find(|(_, heard)| !heard) {
        host.phase = Phase::Lost;
        let error = host.lost("commit");
        host.events.send(EventKind::StepFailed { step: "commit", message: error.to_string(), seconds: 0.0 });
        return Err(error);
    }
    // All at once, whatever `parallel` says: the shorter the time in which only some have it, the better.
    let all = join_all(run.hosts.iter_mut().map(async |host| {
        let events = host.events.clone();
        told(&events, Step::Commit, &None, commit_one(host)).await
    }));
    all.await.into_iter().collect()
}

async fn commit_one(host: &mut HostRun) -> Result<String> {
    host.phase = Phase::Committing;
    match host.ask("commit", COMMIT_LIMIT, "commit").await? {
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
        && !matches!(session.answer(RECORD_LIMIT, &host.events, "commit").await, Some(Reply::Recorded))
    {
        host.events.warn("the release is live, but its record could not be finished; the next run does it");
    }
    Ok(String::new())
}

/// Old releases go. A failure is a warning: the release is live.
pub(super) async fn prune(_: &Context<'_>, host: &mut HostRun) -> Result<String> {
    match host.ask("prune", Duration::from_secs(660), "prune").await {
        Ok(Reply::Pruned(0)) => Ok("nothing to remove".into()),
        Ok(Reply::Pruned(n)) => Ok(format!("{} removed", count(n, "release"))),
        _ => {
            host.events.warn("old releases could not be removed; shipit cleanup does it alone");
            Ok("not done".into())
        }
    }
}
