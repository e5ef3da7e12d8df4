//! The user's own lines around the switch, on the hosts or here; and the undo lines of those that ran, where the switch
//! does not come about. What ran is kept in order, from before it begins: a line that was cut short may have done half.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use tokio::sync::Semaphore;

use crate::config::{Config, Hook, On};
use crate::engine::here::{self, Origin};
use crate::engine::host::HostRun;
use crate::engine::release::Release;
use crate::engine::run::{Request, Run, told};
use crate::engine::scripts::Line;
use crate::error::{Error, Result};
use crate::event::{EventKind, Events};
use crate::plan::{Plan, Step, Verb};
use crate::release::State;
use crate::text::{count, duration, list};

/// What a host needs beside a hook's own time: to begin, and to end what has to be ended.
const MARGIN: Duration = Duration::from_secs(45);

/// A hook that ran, or began to, before the switch.
pub(in crate::engine) struct Ran {
    hook: Hook,
    /// Its place among its kind, which is its number in the host's notes.
    number: usize,
    /// On which of the run's hosts; none: here.
    hosts: Vec<usize>,
    /// Whether its undo line was run, well.
    undone: bool,
}

/// What a hook's environment and script are made of.
struct Scene<'a> {
    config: &'a Config,
    plan: &'a Plan,
    origin: &'a Origin,
    release: &'a Release,
    events: &'a Events,
    step: Step,
}

/// The hooks before the switch. A failure marks the release, which nothing was switched to.
pub(in crate::engine) async fn before_switch(run: &mut Run) -> Result<()> {
    let result = all(run, Step::BeforeSwitch).await;
    if let (Err(Error::Step { why, .. }), Some(release)) = (&result, &run.release) {
        let why = format!("before_switch: {why}");
        join_all(run.hosts.iter().map(|host| host.mark(&release.id, State::Failed, &why))).await;
    }
    result
}

/// The hooks after it: the release is live and stays so.
pub(in crate::engine) async fn after_switch(run: &mut Run) -> Result<()> {
    all(run, Step::AfterSwitch).await.map_err(|error| match error {
        Error::Step { host, why, .. } => Error::AfterSwitch { host, why },
        Error::Lost { host, detail, .. } => {
            Error::AfterSwitch { host, why: format!("the connection was lost: {detail}") }
        }
        other => Error::AfterSwitch { host: "here".into(), why: other.to_string() },
    })
}

/// One after the other; each is told to be begun before it is, since what follows a kill depends on it.
async fn all(run: &mut Run, step: Step) -> Result<()> {
    let before = step == Step::BeforeSwitch;
    let hooks = &run.request.config.hooks;
    let hooks = if before { hooks.before_switch.clone() } else { hooks.after_switch.clone() };
    let skip = run.request.plan.skipped(step).map(str::to_owned);
    let events = run.events.clone();
    told(&events, step, &skip, async {
        let mut failed = 0;
        for (number, hook) in hooks.iter().enumerate() {
            let hosts: Vec<usize> = match hook.on {
                On::All => (0..run.hosts.len()).collect(),
                On::First => vec![0],
                On::Here => Vec::new(),
            };
            if before {
                run.ran.push(Ran { hook: hook.clone(), number, hosts: hosts.clone(), undone: false });
            }
            let release = run.release.as_ref();
            let release = release.expect("every plan decides its release before its hooks");
            let scene = Scene::new(&run.request, &run.origin, release, &events, step);
            match one(&scene, &run.hosts, &hosts, hook, number).await {
                Err(error @ Error::Step { .. }) if hook.optional => {
                    failed += 1;
                    events.warn(format!("{error}; it is optional"));
                }
                other => other?,
            }
        }
        let less = if failed > 0 { format!(", {failed} of them failed and optional") } else { String::new() };
        Ok(format!("{}{less}", count(hooks.len(), "hook")))
    })
    .await
}

/// One hook at all its places.
async fn one(scene: &Scene<'_>, hosts: &[HostRun], at: &[usize], hook: &Hook, number: usize) -> Result<()> {
    let undo = if scene.step == Step::BeforeSwitch { hook.undo.as_deref() } else { None };
    if at.is_empty() {
        let note = undo.map(|undo| format!("here: `{undo}`")).unwrap_or_default();
        if !note.is_empty() {
            // The machine that deploys may be gone by then: a host keeps the note for it.
            scene.on_host(&hosts[0], &scene.line("note", number, &note, "", false, &[]), hook).await?;
        }
        // It is this run's only while its hosts are: what would go on without them would go on beside the next run.
        return tokio::select! {
            done = scene.here(hosts, &hook.run, hook.timeout) => done,
            host = first_lost(hosts) => Err(host.lost(scene.step.word())),
        };
    }
    let note = undo.map(|undo| format!("`{undo}`")).unwrap_or_default();
    let bound = Semaphore::new(scene.config.rollout.parallel.max(1));
    let runs = join_all(at.iter().map(async |at| {
        let _turn = bound.acquire().await;
        let host = &hosts[*at];
        host.events.send(EventKind::StepNote { step: scene.step.word(), text: format!("`{}`", hook.run) });
        let env = scene.env(Some(host));
        scene.on_host(host, &scene.line("run", number, &note, &hook.run, false, &env), hook).await
    }))
    .await;
    runs.into_iter().collect()
}

/// Waits for the first host whose session is lost.
async fn first_lost(hosts: &[HostRun]) -> &HostRun {
    let lost = hosts.iter().map(|host| {
        Box::pin(async move {
            match &host.session {
                Some(session) => session.lost().await,
                None => std::future::pending().await,
            }
            host
        })
    });
    select_all(lost).await.0
}

impl<'a> Scene<'a> {
    fn new(
        request: &'a Request,
        origin: &'a Origin,
        release: &'a Release,
        events: &'a Events,
        step: Step,
    ) -> Scene<'a> {
        Scene { config: &request.config, plan: &request.plan, origin, release, events, step }
    }

    fn line<'l>(
        &'l self,
        mode: &'static str,
        number: usize,
        note: &'l str,
        run: &'l str,
        last: bool,
        env: &'l [(String, String)],
    ) -> Line<'l> {
        Line {
            mode,
            number,
            note,
            run,
            last,
            limit: Duration::ZERO,
            id: &self.release.id,
            app_dir: &self.release.app_dir,
            env,
            env_file: self.release.service.env_file(),
        }
    }

    /// The service's own environment, then what a hook is told; on no host: what a hook here is told.
    fn env(&self, host: Option<&HostRun>) -> Vec<(String, String)> {
        let commit = match self.plan.verb {
            Verb::Deploy => self.origin.commit.clone(),
            _ => host.and_then(|host| host.facts.records.get(&self.release.id)?.commit.clone()),
        };
        let mut env: Vec<(String, String)> = self.release.service.env().into_iter().collect();
        let previous = host.and_then(|host| host.facts.current()).unwrap_or_default();
        env.extend(
            [
                ("SHIPIT_APP", self.config.app.as_str()),
                ("SHIPIT_STAGE", &self.config.stage),
                ("SHIPIT_HOST", host.map_or("here", |host| &host.host.name)),
                ("SHIPIT_RELEASE", self.release.id.as_str()),
                ("SHIPIT_PREVIOUS", previous),
                ("SHIPIT_COMMIT", commit.as_deref().unwrap_or_default()),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        env
    }

    /// A line on a host: anything but 0 is its failure, with what it printed last.
    async fn on_host(&self, host: &HostRun, line: &Line<'_>, hook: &Hook) -> Result<()> {
        let step = self.step.word();
        let line = Line { limit: hook.timeout, ..*line };
        let said = host.side(&host.home.hook(&line), step, hook.timeout + MARGIN, None).await?;
        let why = match said.code {
            Some(0) => return Ok(()),
            _ if !said.why.is_empty() => said.why,
            Some(code) => format!("it ended with {code}"),
            None => "it did not end".into(),
        };
        self.tell_log(&host.host.name, line.run, said.log);
        Err(host.failed(step, format!("`{}`: {why}", line.run)))
    }

    /// A line on this machine.
    async fn here(&self, hosts: &[HostRun], run: &str, limit: Duration) -> Result<()> {
        let step = self.step.word();
        self.events.send(EventKind::StepNote { step, text: format!("here: `{run}`") });
        let mut env: BTreeMap<String, String> = self.config.build.env.clone();
        env.extend(self.env(None));
        // Here there is no one host to ask: what all agree on is what was live.
        let mut live: Vec<&str> = hosts.iter().map(|host| host.facts.current().unwrap_or_default()).collect();
        live.dedup();
        if let [one] = live[..] {
            env.insert("SHIPIT_PREVIOUS".into(), one.to_owned());
        }
        let printed = std::cell::RefCell::new(Vec::new());
        let tell = |line: String| {
            printed.borrow_mut().push(line.clone());
            self.events.send(EventKind::Output { step, line });
        };
        let ended = here::line(run, &self.config.build.root, &env, &tell);
        let why = match tokio::time::timeout(limit, ended).await {
            Ok(Ok(Some(0))) => return Ok(()),
            Ok(Ok(Some(code))) => format!("it ended with {code}"),
            Ok(Ok(None)) => "it was killed".into(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no end within {}", duration(limit)),
        };
        Err(Error::Step { host: "here".into(), step, why: format!("`{run}`: {why}") })
    }

    fn tell_log(&self, host: &str, run: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            let title = format!("the last lines of `{run}` on {host}");
            self.events.send(EventKind::Log { title, lines });
        }
    }
}

/// Whether a hook that ran has an undo line.
pub(in crate::engine) fn to_undo(ran: &[Ran]) -> bool {
    ran.iter().any(|ran| ran.hook.undo.is_some())
}

/// The undo lines of what ran, the last one first, once every host is back. What can't be undone is said and goes on:
/// an earlier hook's undo line does not depend on it. A host that can't be had keeps its note.
pub(in crate::engine) async fn undo(
    request: &Request,
    origin: &Origin,
    release: Option<&Release>,
    events: &Events,
    hosts: &[HostRun],
    ran: &mut [Ran],
) {
    let Some(release) = release else { return };
    let scene = Scene::new(request, origin, release, events, Step::BeforeSwitch);
    let mut well = true;
    let first = ran.iter().position(|ran| ran.hook.undo.is_some());
    for (at, ran) in ran.iter_mut().enumerate().rev() {
        let Some(undo) = ran.hook.undo.clone() else { continue };
        // A note in a record goes only where nothing stays undone.
        let last = well && first == Some(at);
        let result = scene.undo_one(hosts, ran, &undo, last).await;
        match result {
            Ok(()) => ran.undone = true,
            Err(error) => {
                well = false;
                events.warn(format!("not undone: {error}"));
            }
        }
    }
}

impl Scene<'_> {
    async fn undo_one(&self, hosts: &[HostRun], ran: &Ran, undo: &str, last: bool) -> Result<()> {
        if ran.hosts.is_empty() {
            self.here(hosts, undo, ran.hook.timeout).await?;
            return self.on_host(&hosts[0], &self.line("done", ran.number, "", "", last, &[]), &ran.hook).await;
        }
        let all = join_all(ran.hosts.iter().map(async |at| {
            let host = &hosts[*at];
            if host.session.is_none() {
                return Err(host.lost(self.step.word()));
            }
            host.events.send(EventKind::StepNote { step: self.step.word(), text: format!("undo: `{undo}`") });
            let env = self.env(Some(host));
            self.on_host(host, &self.line("undo", ran.number, "", undo, last, &env), &ran.hook).await
        }))
        .await;
        all.into_iter().collect()
    }
}

/// What the hooks that ran before the switch left, for the end of a run that failed.
pub(in crate::engine) fn tell(ran: &[Ran], hosts: &[HostRun]) -> String {
    let each = ran.iter().map(|ran| {
        let names: Vec<&str> = ran.hosts.iter().map(|at| hosts[*at].host.name.as_str()).collect();
        let place = if names.is_empty() { "here".into() } else { format!("on {}", list(&names)) };
        let then = match &ran.hook.undo {
            None => ", which has no undo line".into(),
            Some(_) if ran.undone => ", undone".into(),
            Some(undo) => format!(", NOT undone: `{undo}`"),
        };
        format!("\nbefore_switch ran `{}` {place}{then}", ran.hook.run)
    });
    each.collect()
}
