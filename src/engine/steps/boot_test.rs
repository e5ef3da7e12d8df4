//! The candidate on a spare port, before anything is switched: it answers, and goes on so for the soak.

use std::time::Duration;

use super::blame;
use crate::engine::host::HostRun;
use crate::engine::run::Context;
use crate::error::Result;

/// The candidate on a spare port; a release that fails it is marked and never switched to.
pub(in crate::engine) async fn boot_test(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let release = context.release();
    let limit = release.health.within + release.health.soak + Duration::from_secs(60);
    match host.job("boot", "", "boot_test", limit).await {
        Ok(_) => Ok("started, answered, stopped".into()),
        Err(error) => {
            blame(host, &release.id, &error).await;
            Err(error)
        }
    }
}
