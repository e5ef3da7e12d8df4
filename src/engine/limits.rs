//! How long a host may take for one run's switch and for its way back. Pure: from the release that comes, the one that
//! is live, and the host's cores; deploy.toml has no say in what its records know better.

use std::time::Duration;

use super::release::Release;
use crate::remote::Facts;
use crate::service;

/// The bounds of one run on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The switch with its proofs.
    pub(super) activate: Duration,
    /// The way back: of whichever takes longer, what comes (its workers are ended) or what was live (they start again).
    pub(super) revert: Duration,
    /// The workers that these reckon with.
    pub(super) workers: u32,
}

impl Limits {
    /// For a switch to `release` on the host that told `facts`.
    pub(super) fn of(release: &Release, facts: &Facts) -> Limits {
        let cores = facts.number("cores").and_then(|cores| u32::try_from(cores).ok()).unwrap_or(0);
        let live = facts.current().and_then(|id| facts.records.get(&id.parse().ok()?));
        let back = live.map(|live| service::revert_limit(&live.service, &live.health, cores)).unwrap_or_default();
        Limits {
            activate: service::activate_limit(&release.service, &release.health, cores),
            revert: service::revert_limit(&release.service, &release.health, cores).max(back),
            workers: service::reckoned(&release.service, cores),
        }
    }

    /// As the host's scripts read them: seconds for the switch, seconds for the way back, workers.
    pub(super) fn line(&self) -> String {
        let seconds = |limit: Duration| limit.as_millis().div_ceil(1000).max(1);
        format!("{} {} {}", seconds(self.activate), seconds(self.revert), self.workers)
    }
}
