//! What each step does: one file a step, named after it. The order of steps is the plan's; the way back is takeback.rs's.

mod activate;
mod boot_test;
mod check;
mod commit;
mod connect;
mod hooks;
mod preflight;
mod prune;
mod receive;
mod shift;
mod verify;

use crate::engine::host::HostRun;
use crate::error::Error;
use crate::release::{ReleaseId, State};

pub(super) use activate::activate;
pub(super) use boot_test::boot_test;
pub(super) use check::check;
pub(super) use commit::commit;
pub(super) use connect::connect;
pub(super) use hooks::{Ran, after_switch, before_switch, tell as tell_hooks, to_undo, undo as undo_hooks};
pub(super) use preflight::{can_run_again, preflight};
pub(super) use prune::prune;
pub(super) use receive::receive;
pub(super) use shift::shift;
pub(super) use verify::verify;

/// Writes down that a release failed before it was switched to.
async fn blame(host: &HostRun, id: &ReleaseId, error: &Error) {
    if let Error::Step { step, why, .. } = error {
        host.mark(id, State::Failed, &format!("{step}: {why}")).await;
    }
}
