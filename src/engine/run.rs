//! A run: the plan's steps in order over all hosts, then either the end or the way back. What one host does is in
//! host.rs; what a step does on it is in steps/; this file is the order of things.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::cancel::Cancel;
use super::here::{self, Origin};
use super::host::{HostRun, Phase};
use super::outcome::{Outcome, judge};
use super::parcel::Parcel;
use super::release::{self, Release};
use super::scripts::Home;
use super::suits::Asks;
use super::target::{self, Wanted};
use super::unchanged::{self, Verdict};
use super::{findings, steps, takeback};
use crate::artifact::{Artifact, Kept};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::{EventKind, Events, StepOutcome};
use crate::plan::{Plan, Step, Verb};

/// What a run is told beside its plan.
pub struct Request {
    /// The stage.
    pub config: Config,
    /// What will happen.
    pub plan: Plan,
    /// `--wait`: how long to wait for a lock.
    pub wait: Option<Duration>,
    /// What `rollback` makes live.
    pub wanted: Option<Wanted>,
    /// Good releases to keep.
    pub keep: usize,
    /// `--artifact`: what is shipped instead of a build's result.
    pub kept: Option<Kept>,
    /// `--if-changed`: nothing is done where what is live is equal.
    pub if_changed: bool,
    /// `rollback --hold`: deploys are held from the commit on.
    pub hold: bool,
    /// Whether ssh may ask.
    pub terminal: bool,
    /// `--allow mismatch`: what doesn't suit a host is a warning.
    pub allow_mismatch: bool,
}

impl Request {
    /// One that nothing more was asked of than its plan.
    pub fn new(config: Config, plan: Plan, terminal: bool) -> Request {
        let keep = config.release.keep;
        Request {
            config,
            plan,
            wait: None,
            wanted: None,
            keep,
            kept: None,
            if_changed: false,
            hold: false,
            terminal,
            allow_mismatch: false,
        }
    }
}

/// A run in progress.
pub(super) struct Run {
    pub(super) request: Request,
    pub(super) events: Events,
    pub(super) cancel: Cancel,
    pub(super) origin: Origin,
    pub(super) artifact: Option<Arc<Artifact>>,
    pub(super) asks: Option<Asks>,
    pub(super) parcel: Option<Arc<Parcel>>,
    pub(super) release: Option<Release>,
    pub(super) hosts: Vec<HostRun>,
    /// With `--if-changed`: that there is nothing to do, and what is live.
    pub(super) unchanged: Option<String>,
    /// The hooks that ran before the switch.
    pub(super) ran: Vec<steps::Ran>,
}

/// Runs a plan to its end, whatever happens, and tells what production is like then.
pub async fn run(request: Request, events: &Events, cancel: Cancel) -> Outcome {
    let config = &request.config;
    let (verb, stage, path) = (request.plan.verb, config.stage.clone(), config.path.clone());
    events.send(EventKind::Started {
        verb: verb.word(),
        app: config.app.clone(),
        stage: stage.clone(),
        hosts: config.hosts.iter().map(|host| host.name.clone()).collect(),
    });
    let mut origin = Origin::find(&config.build.root).await;
    if let Some(kept) = &request.kept {
        (origin.commit, origin.branch) = (kept.head().commit.clone(), kept.head().branch.clone());
    }
    let hosts = config
        .hosts
        .iter()
        .map(|host| {
            let home = Home {
                base: config.path.clone(),
                token: token(),
                who: origin.who.clone(),
                path: config.ssh.path.clone(),
            };
            HostRun::new(host.clone(), home, events)
        })
        .collect();
    let events = events.clone();
    let mut run = Run {
        request,
        events: events.clone(),
        cancel,
        origin,
        artifact: None,
        asks: None,
        parcel: None,
        release: None,
        hosts,
        unchanged: None,
        ran: Vec::new(),
    };
    let failure = run.forward().await.err();
    if let Some(Error::Cancelled) = failure {
        events.warn(match run.switched() {
            true => "cancelled: what was live is put back, which takes a moment",
            false => "cancelled",
        });
    }
    let endings = takeback::conclude(&mut run, failure.as_ref()).await;
    let release = run.release.as_ref().map(|release| release.id.to_string());
    let mut outcome = judge(verb, &stage, &path, release, endings, failure);
    if let (0, Some(unchanged)) = (outcome.code, &run.unchanged) {
        outcome.state = format!("nothing to do: {unchanged}");
    }
    if !matches!(outcome.code, 0 | 6) {
        outcome.state.push_str(&steps::tell_hooks(&run.ran, &run.hosts));
    }
    outcome
}

/// 16 hex digits that no other session has.
pub(super) fn token() -> String {
    format!("{:016x}", random())
}

/// 64 random bits from the system, by way of the standard library's own seeding.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

impl Run {
    /// All steps, up to the first failure.
    async fn forward(&mut self) -> Result<()> {
        self.check_branch()?;
        let cancel = self.cancel.clone();
        let steps: Vec<Step> = self.request.plan.steps.iter().map(|planned| planned.step).collect();
        // A hook after the commit that fails stops neither the removal of old releases nor the goodbye.
        let mut late = Ok(());
        for step in steps {
            match step {
                Step::AfterSwitch => tokio::select! {
                    biased;
                    done = self.step(step) => late = done,
                    () = cancel.first() => {
                        let why = "cancelled before its hooks had ended".into();
                        late = Err(Error::AfterSwitch { host: "here".into(), why });
                    }
                },
                // The commit is not raced: once one host has it, the others must be asked.
                Step::Commit => {
                    if cancel.asked() {
                        return Err(Error::Cancelled);
                    }
                    self.step(step).await?;
                }
                // The release is live: to cancel is to leave old releases where they are.
                Step::Prune => {
                    let events = self.events.clone();
                    tokio::select! {
                        biased;
                        done = self.step(step) => done?,
                        () = cancel.first() => events.warn("cancelled while old releases were removed; the next run goes on with it"),
                    }
                }
                Step::End => self.step(step).await?,
                _ => tokio::select! {
                    biased;
                    () = cancel.first() => return Err(Error::Cancelled),
                    done = self.step(step) => done?,
                },
            }
        }
        late
    }

    /// One step. `build` and `package` run beside `connect`, and are reported where they stand in the plan.
    async fn step(&mut self, step: Step) -> Result<()> {
        let skip = self.request.plan.skipped(step).map(str::to_owned);
        match step {
            Step::Connect => {
                steps::connect(self).await?;
                self.look_for_change();
                Ok(())
            }
            Step::BeforeSwitch | Step::AfterSwitch if self.unchanged.is_some() => {
                told(&self.events, step, &skip, async { Ok(String::new()) }).await
            }
            Step::Receive | Step::Activate | Step::Shift | Step::Verify | Step::Commit if self.unchanged.is_some() => {
                self.each(step, skip, async |_, _| Ok(String::new())).await
            }
            Step::Build | Step::Package => Ok(()),
            Step::Activate => self.activate_and_verify().await,
            // Done with `activate`, batch by batch; with a proxy after it, on all hosts.
            Step::Shift | Step::Verify => Ok(()),
            Step::Commit => steps::commit(self).await,
            Step::End => {
                self.each(Step::End, None, async |_, host| {
                    let freed = host.end().await;
                    Ok(if freed { "the lock is free" } else { "no goodbye was heard" }.into())
                })
                .await
            }
            Step::Preflight => {
                steps::preflight(self).await?;
                if self.unchanged.is_some() { Ok(()) } else { self.prepare_release() }
            }
            Step::Receive => steps::receive(self).await,
            Step::BeforeSwitch => steps::before_switch(self).await,
            Step::AfterSwitch => steps::after_switch(self).await,
            Step::Check => self.each(step, skip, steps::check).await,
            Step::BootTest => self.each(step, skip, steps::boot_test).await,
            Step::Prune => self.each(step, skip, steps::prune).await,
        }
    }

    /// Batch by batch: switched, proved and verified before the next batch begins; where a proxy leads the requests, that
    /// is done for all at once, when the release is proved everywhere. Held hosts stay held, so that a
    /// failure in a later batch takes back the earlier ones.
    async fn activate_and_verify(&mut self) -> Result<()> {
        let size =
            self.request.config.rollout.batch.map_or(self.hosts.len(), |batch| batch.size(self.hosts.len())).max(1);
        let skip = self.request.plan.skipped(Step::Verify).map(str::to_owned);
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        for (number, batch) in all.chunks(size).enumerate() {
            if number > 0 {
                tokio::time::sleep(self.request.config.rollout.pause).await;
            }
            self.some(batch, Step::Activate, None, steps::activate).await?;
            if self.request.config.proxy.is_none() {
                self.some(batch, Step::Verify, skip.clone(), steps::verify).await?;
            }
        }
        if self.request.config.proxy.is_some() {
            steps::shift(self).await?;
            self.each(Step::Verify, skip, steps::verify).await?;
        }
        Ok(())
    }

    /// One step on every host.
    pub(super) async fn each<F>(&mut self, step: Step, skip: Option<String>, work: F) -> Result<()>
    where
        F: AsyncFn(&Context<'_>, &mut HostRun) -> Result<String>,
    {
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        self.some(&all, step, skip, work).await
    }

    /// One step on some hosts, `parallel` at a time. All come to their end; the first failure is returned, and every
    /// failure is told as an event.
    pub(super) async fn some<F>(&mut self, which: &[usize], step: Step, skip: Option<String>, work: F) -> Result<()>
    where
        F: AsyncFn(&Context<'_>, &mut HostRun) -> Result<String>,
    {
        let context = Context {
            config: &self.request.config,
            plan: &self.request.plan,
            release: self.release.as_ref(),
            parcel: self.parcel.as_ref(),
            wait: self.request.wait,
            keep: self.request.keep,
            hold: self.request.hold,
            terminal: self.request.terminal,
            origin: &self.origin,
        };
        let bound = Semaphore::new(self.request.config.rollout.parallel.max(1));
        let (bound, context, skip, work) = (&bound, &context, &skip, &work);
        let hosts =
            self.hosts.iter_mut().enumerate().filter(|(number, _)| which.contains(number)).map(|(_, host)| host);
        let results = join_all(hosts.map(async |host| {
            let _turn = bound.acquire().await;
            let events = host.events.clone();
            told(&events, step, skip, work(context, host)).await
        }))
        .await;
        results.into_iter().collect()
    }

    /// With `--if-changed`, once the artifact and what is live are known: whether there is anything to do.
    fn look_for_change(&mut self) {
        if !self.request.if_changed {
            return;
        }
        let new = release::record(self);
        let hosts: Vec<_> = self
            .hosts
            .iter()
            .map(|host| (host.host.name.as_str(), &host.facts, takeback::ill_before(&host.facts)))
            .collect();
        match unchanged::verdict(&new, &hosts) {
            Verdict::Equal(live) => {
                self.request.plan.stop(&format!("nothing to do: {live}"));
                self.unchanged = Some(live);
            }
            Verdict::Unwell(why) => self.events.warn(format!("{why}: it is deployed all the same")),
            Verdict::Differs => {}
        }
    }

    /// After preflight the release of this run is decided.
    fn prepare_release(&mut self) -> Result<()> {
        match self.request.plan.verb {
            Verb::Deploy => release::new_release(self),
            Verb::Rollback => {
                let facts: Vec<_> = self.hosts.iter().map(|host| (host.host.name.as_str(), &host.facts)).collect();
                let wanted = self.request.wanted.clone().unwrap_or(Wanted::Back(1));
                let record = target::choose(&wanted, &facts, &self.request.config)?;
                steps::can_run_again(self, &record)?;
                release::earlier_release(self, record);
                Ok(())
            }
            Verb::Cleanup | Verb::Recover => Ok(()),
        }
    }

    fn check_branch(&self) -> Result<()> {
        if self.request.plan.verb != Verb::Deploy {
            return Ok(());
        }
        match findings::wrong_branch(&self.request.config, self.origin.branch.as_deref()) {
            Some(found) => Err(Error::Usage { what: found.what, hint: found.cure }),
            None => Ok(()),
        }
    }

    /// Whether anything was switched.
    pub(super) fn switched(&self) -> bool {
        self.hosts.iter().any(|host| !matches!(host.phase, Phase::Closed | Phase::Idle))
    }
}

/// The build and what is made of it, told as two steps.
pub(super) async fn build_and_package(
    config: &Config,
    plan: &Plan,
    kept: Option<&Kept>,
    events: &Events,
) -> Result<Arc<Artifact>> {
    if let Some(kept) = kept {
        return from_file(config, plan, kept, events).await;
    }
    let build = &config.build;
    let skip = plan.skipped(Step::Build).map(str::to_owned);
    told(events, Step::Build, &skip, async {
        here::build(build, events).await?;
        Ok(String::new())
    })
    .await?;
    let mut made = None;
    told(events, Step::Package, &None, async {
        let (build, shared, service) = (build.clone(), config.shared.clone(), config.service.clone());
        let collected = tokio::task::spawn_blocking(move || Artifact::collect(&build, &shared, &service)).await;
        let artifact = collected.expect("collecting does not panic and is never aborted")?;
        for warning in &artifact.warnings {
            events.warn(warning.clone());
        }
        let detail =
            format!("{}, {}", crate::text::count(artifact.files(), "file"), crate::text::bytes(artifact.bytes()));
        made = Some(Arc::new(artifact));
        Ok(detail)
    })
    .await?;
    Ok(made.expect("set where packaging succeeded"))
}

/// An artifact that was built before; both steps are told to be skipped, and the second to fail where the file is no good.
async fn from_file(config: &Config, plan: &Plan, kept: &Kept, events: &Events) -> Result<Arc<Artifact>> {
    let skip = |step| plan.skipped(step).map(str::to_owned);
    told(events, Step::Build, &skip(Step::Build), async { Ok(String::new()) }).await?;
    let (kept, config) = (kept.clone(), config.clone());
    let read = tokio::task::spawn_blocking(move || kept.read(&config, true)).await;
    let read = read.expect("reading does not panic and is never aborted");
    let (artifact, failure) = match read {
        Ok(artifact) => (Some(artifact), None),
        Err(error) => (None, Some(error)),
    };
    let skip = if failure.is_none() { skip(Step::Package) } else { None };
    told(events, Step::Package, &skip, async { failure.map_or(Ok(String::new()), Err) }).await?;
    Ok(Arc::new(artifact.expect("there is one where nothing failed")))
}

/// What a step on a host may know of the run.
pub(super) struct Context<'a> {
    pub(super) config: &'a Config,
    pub(super) plan: &'a Plan,
    pub(super) release: Option<&'a Release>,
    pub(super) parcel: Option<&'a Arc<Parcel>>,
    pub(super) wait: Option<Duration>,
    pub(super) keep: usize,
    pub(super) hold: bool,
    pub(super) terminal: bool,
    pub(super) origin: &'a Origin,
}

impl<'a> Context<'a> {
    /// The release; steps after preflight only.
    pub(super) fn release(&self) -> &'a Release {
        self.release.expect("every plan decides its release before the steps that need it")
    }
}

/// Tells a step's beginning and end around its work.
pub(super) async fn told(
    events: &Events,
    step: Step,
    skip: &Option<String>,
    work: impl Future<Output = Result<String>>,
) -> Result<()> {
    let word = step.word();
    events.send(EventKind::StepStarted { step: word });
    if let Some(why) = skip {
        events.send(EventKind::StepFinished {
            step: word,
            outcome: StepOutcome::Skipped,
            detail: why.clone(),
            seconds: 0.0,
        });
        return Ok(());
    }
    let began = std::time::Instant::now();
    let result = work.await;
    let seconds = began.elapsed().as_secs_f64();
    match result {
        Ok(detail) => {
            events.send(EventKind::StepFinished { step: word, outcome: StepOutcome::Ok, detail, seconds });
            Ok(())
        }
        Err(error) => {
            events.send(EventKind::StepFailed { step: word, message: error.to_string(), seconds });
            Err(error)
        }
    }
}
