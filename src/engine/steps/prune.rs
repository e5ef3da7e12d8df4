//! Old releases go, after the commit or by `cleanup`.

use std::time::Duration;

use crate::engine::host::HostRun;
use crate::engine::run::Context;
use crate::error::Result;
use crate::remote::Reply;
use crate::text::count;

/// Old releases go. A failure is a warning: the release is live.
pub(in crate::engine) async fn prune(_: &Context<'_>, host: &mut HostRun) -> Result<String> {
    // In every plan this comes last but for the goodbye.
    if let Some(session) = &mut host.session {
        session.words_ahead(&["prune", "end"]).await;
    }
    match host.ask("prune", host.phase.clone(), Duration::from_secs(660), "prune").await {
        Ok(Reply::Pruned(0)) => Ok("nothing to remove".into()),
        Ok(Reply::Pruned(n)) => Ok(format!("{} removed", count(n, "release"))),
        _ => {
            host.events.warn("old releases could not be removed; shipit cleanup does it alone");
            Ok("not done".into())
        }
    }
}
