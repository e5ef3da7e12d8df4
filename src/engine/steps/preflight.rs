//! The last look before anything is sent. What is looked for is findings.rs's business, and suits.rs's.

use std::time::Duration;

use chrono::Utc;

use crate::artifact::pinned;
use crate::engine::findings::{self, Needs};
use crate::engine::host::HostRun;
use crate::engine::run::Run;
use crate::engine::suits::{self, Asks, Changed};
use crate::error::{Error, Finding, Result};
use crate::event::{EventKind, Events};
use crate::plan::{Step, Verb};
use crate::remote::{Record, Reply};
use crate::text::count;

/// Holds the facts of all hosts against the artifact; the findings of all are told before any host gets anything.
pub(in crate::engine) async fn preflight(run: &mut Run) -> Result<()> {
    let needs =
        run.artifact.as_ref().map(|artifact| Needs { bytes: artifact.bytes(), entries: artifact.entries.len() as u64 });
    // Where nothing is sent nothing has to make room.
    let needs = needs.filter(|_| run.unchanged.is_none());
    if run.request.plan.verb == Verb::Rollback {
        // What is shared into an earlier release is that release's own list; `check` follows its links.
        run.hosts.iter_mut().for_each(|host| host.facts.missing.clear());
    }
    let asks = asks(run).await?;
    run.asks = Some(asks.clone());
    let allowed = run.request.allow_mismatch;
    run.each(Step::Preflight, None, async |context, host| {
        let mut found = findings::findings(&host.host, context.config, &host.facts);
        let mut removed = 0;
        if let Some(needs) = needs {
            // Only where nothing else stops the run: what is removed is gone.
            if found.is_empty() && !findings::space(context.config, &host.facts, needs, 0).is_empty() {
                removed = make_room(host).await?;
            }
            found.extend(findings::space(context.config, &host.facts, needs, removed));
        }
        for warning in findings::warnings(&host.facts, Utc::now().timestamp()) {
            host.events.warn(warning);
        }
        if let Some(warning) = suits::warning(&asks, &host.facts) {
            host.events.warn(warning);
        }
        found.extend(unless(allowed, suits::findings(&asks, &host.facts), &host.events));
        if found.is_empty() {
            let service = host.facts.value("service").map(|service| format!("service {service}"));
            let room = (removed > 0).then(|| format!("made room: {} removed", count(removed, "release")));
            return Ok(service.into_iter().chain(room).collect::<Vec<_>>().join(", "));
        }
        Err(Error::Preflight { host: host.host.name.clone(), findings: found })
    })
    .await
}

/// Has the host remove, before the release arrives, what the cleanup after it would remove; how many that were. What is
/// free then becomes a fact.
async fn make_room(host: &mut HostRun) -> Result<usize> {
    let told = Step::Preflight.word();
    host.events.send(EventKind::StepNote { step: told, text: "too little space: old releases go first".into() });
    match host.ask("room", host.phase.clone(), Duration::from_secs(660), told).await? {
        Reply::Pruned(removed) => {
            let said = host.session.as_mut().map(|session| std::mem::take(&mut session.said)).unwrap_or_default();
            host.facts.values.extend(said);
            Ok(removed)
        }
        other => Err(Error::Protocol { host: host.host.name.clone(), detail: format!("{other:?} to room") }),
    }
}

/// What the artifact asks of a machine; nothing where there is none.
async fn asks(run: &Run) -> Result<Asks> {
    let Some(artifact) = run.artifact.clone() else { return Ok(Asks::default()) };
    let pinned = match &run.request.kept {
        Some(kept) => kept.head().pinned(),
        None => pinned(&run.request.config.build.root),
    };
    Asks::of(artifact, pinned).await
}

/// What `--allow mismatch` lets pass is said all the same.
fn unless(allowed: bool, found: Vec<Finding>, events: &Events) -> Vec<Finding> {
    if !allowed {
        return found;
    }
    found.into_iter().for_each(|found| events.warn(format!("allowed: {}", found.what)));
    Vec::new()
}

/// Whether the release of a rollback can run on every host's node of today.
pub(in crate::engine) fn can_run_again(run: &Run, record: &Record) -> Result<()> {
    for host in &run.hosts {
        let own = host.facts.records.get(&record.id).unwrap_or(record);
        match suits::again(own, &host.facts) {
            None => {}
            Some(Changed::Warn(text)) => host.events.warn(text),
            Some(Changed::Refuse(found)) => {
                let findings = unless(run.request.allow_mismatch, vec![found], &host.events);
                if !findings.is_empty() {
                    return Err(Error::Preflight { host: host.host.name.clone(), findings });
                }
            }
        }
    }
    Ok(())
}
