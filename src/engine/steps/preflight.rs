//! The last look before anything is sent. What is looked for is findings.rs's business.

use chrono::Utc;

use crate::engine::findings::{self, Needs};
use crate::engine::run::Run;
use crate::error::{Error, Result};
use crate::plan::{Step, Verb};

/// Holds the facts of all hosts against the artifact; the findings of all are told before any host gets anything.
pub(in crate::engine) async fn preflight(run: &mut Run) -> Result<()> {
    let needs =
        run.artifact.as_ref().map(|artifact| Needs { bytes: artifact.bytes(), entries: artifact.entries.len() as u64 });
    if run.request.plan.verb == Verb::Rollback {
        // What is shared into an earlier release is that release's own list; `check` follows its links.
        run.hosts.iter_mut().for_each(|host| host.facts.missing.clear());
    }
    run.each(Step::Preflight, None, async |context, host| {
        let found = findings::findings(&host.host, context.config, &host.facts, needs);
        for warning in findings::warnings(&host.facts, Utc::now().timestamp()) {
            host.events.warn(warning);
        }
        if found.is_empty() {
            return Ok(host.facts.value("service").map(|service| format!("service {service}")).unwrap_or_default());
        }
        Err(Error::Preflight { host: host.host.name.clone(), findings: found })
    })
    .await
}
