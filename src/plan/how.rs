//! Fills in how a step will work, from the facts of hosts. Chooses nothing: the steps stay the plan's.

use super::show::INDENT;
use super::{Plan, Step};
use crate::remote::Facts;
use crate::remote::facts::Worker;

/// Adds to each step what the facts of `hosts` (name and facts) decide, and `target`: the release a rollback makes live.
pub fn fill(plan: &mut Plan, hosts: &[(String, Facts)], target: Option<&str>) {
    for planned in &mut plan.steps {
        let each = |tell: &dyn Fn(&Facts) -> Option<String>| -> Vec<String> {
            hosts.iter().filter_map(|(name, facts)| Some(format!("{name}: {}", tell(facts)?))).collect()
        };
        let lines = match planned.step {
            Step::Connect => each(&|facts| {
                let mut parts = Vec::new();
                if let Some((who, since, alive)) = &facts.lock {
                    parts.push(format!(
                        "locked by {who} since {}{}",
                        crate::remote::reply::since(since),
                        if *alive { "" } else { " (dead)" }
                    ));
                }
                if let Some(hold) = &facts.hold {
                    parts.push(format!("deploys are held by {} since {}: {}", hold.who, hold.since, hold.why));
                }
                if let Some((journal, release)) = &facts.leftover {
                    let way = if journal == "pending" { "is taken back" } else { "is finished" };
                    parts.push(format!("an unfinished switch to {release} {way} first"));
                }
                for name in ["node", "pm2"] {
                    if let Some((file, version)) = facts.tool(name) {
                        parts.push(format!("{name} {version} ({file})"));
                    }
                }
                (!parts.is_empty()).then(|| parts.join("; "))
            }),
            Step::Preflight => target.map(str::to_owned).into_iter().collect(),
            Step::Receive => each(&|facts| Some(if facts.has("zstd") { "zstd".into() } else { "gzip".into() })),
            Step::Activate => each(&|facts| {
                if let Some(tie) = facts.workers.iter().find_map(Worker::tie) {
                    return Some(tie);
                }
                Some(match (facts.current(), facts.workers.len()) {
                    (None, _) => "first release, first start".into(),
                    (Some(current), 0) => format!("{current} is live"),
                    (Some(current), n) => {
                        format!("{current} is live; {} reloaded one by one", crate::text::count(n, "worker"))
                    }
                })
            }),
            _ => Vec::new(),
        };
        for line in lines {
            planned.how.push('\n');
            planned.how.push_str(INDENT);
            planned.how.push_str(&line);
        }
    }
}
