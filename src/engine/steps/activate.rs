//! The switch: from here on the host takes itself back when it doesn't hear from us.

use std::time::Duration;

use crate::engine::host::{HostRun, Phase};
use crate::engine::limits::Limits;
use crate::engine::run::Context;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::remote::Reply;

/// Asks for the switch and waits for its proof.
pub(in crate::engine) async fn activate(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let release = context.release();
    if host.session_over() {
        return Err(host.lost("activate"));
    }
    let limits = Limits::of(release, &host.facts);
    let limit = limits.activate + limits.revert + Duration::from_secs(30);
    match host.ask("activate", Phase::Active, limit, "activate").await? {
        Reply::Ready => {
            host.phase = Phase::Held;
            let doubt = match host.session.as_ref().and_then(Session::doubt) {
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
            if host.has_left() {
                return Err(host.over("activate"));
            }
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
