//! How each open choice of a deploy would fall today.

use super::{Row, Seen, Status, ok, row};
use crate::config::{Config, Service};
use crate::plan::{self, Plan, Step};

/// In the order of the steps.
pub(super) fn choices(config: &Config, plan: &Plan, seen: &Seen) -> Vec<Row> {
    let mut rows = Vec::new();
    for planned in &plan.steps {
        let about = planned.step.word();
        let skipped = planned.skip.as_ref().map(|why| format!("skipped: {why}"));
        match planned.step {
            Step::Receive | Step::Activate => rows.extend(plan::how(planned.step, &seen.facts).map(|how| ok(about, how))),
            Step::BootTest => rows.push(ok(about, skipped.unwrap_or_else(|| planned.how.clone()))),
            Step::Verify => rows.push(match (skipped, seen.forwards) {
                (Some(skipped), _) => ok(about, skipped),
                (None, None) => ok(about, planned.how.clone()),
                (None, Some(true)) => ok(about, format!("{}; through the connection", planned.how)),
                (None, Some(false)) if config.service != Service::None => row(
                    Status::Note,
                    about,
                    format!("{}; by the host's own node, since its sshd forwards no ports", planned.how),
                    "to look from here as well: AllowTcpForwarding yes in the host's sshd_config",
                ),
                (None, Some(false)) => row(
                    Status::Warning,
                    about,
                    "sshd forwards no ports, and without a service there is no node to look from: a deploy would be taken back",
                    "AllowTcpForwarding yes in the host's sshd_config, or health.from = \"here\"",
                ),
            }),
            _ => {}
        }
    }
    rows
}
