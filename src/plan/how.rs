//! Fills in how a step will work, from the facts of hosts. Chooses nothing: the steps stay the plan's.

use super::show::INDENT;
use super::{Plan, Step};
use crate::remote::Facts;
use crate::remote::facts::Worker;

/// How `step` would work on a host, where its facts decide that.
pub fn how(step: Step, facts: &Facts) -> Option<String> {
    match step {
        Step::Connect => {
            let mut parts = Vec::new();
            if let Some((who, since, alive)) = &facts.lock {
                let dead = if *alive { "" } else { " (dead)" };
                parts.push(format!("locked by {who} since {}{dead}", crate::remote::reply::since(since)));
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
        }
        Step::Receive => Some(if facts.has("zstd") { "zstd".into() } else { "gzip".into() }),
        Step::Activate if let Some(colour) = facts.value("colour") => Some(match facts.current() {
            None => format!("first release, comes as {colour}"),
            Some(current) => format!("{current} is live; the release comes as {colour}"),
        }),
        Step::Activate => Some(facts.workers.iter().find_map(Worker::tie).unwrap_or_else(|| {
            match (facts.current(), facts.workers.len()) {
                (None, _) => "first release, first start".into(),
                (Some(current), _) if facts.value("service") == Some("absent") => {
                    format!("{current} is live, but not running; first start")
                }
                (Some(current), 0) => format!("{current} is live"),
                (Some(current), n) => {
                    format!("{current} is live; {} reloaded one by one", crate::text::count(n, "worker"))
                }
            }
        })),
        _ => None,
    }
}

/// Adds to each step what the facts of `hosts` (name and facts) decide, and `target`: the release a rollback makes live.
pub fn fill(plan: &mut Plan, hosts: &[(String, Facts)], target: Option<&str>) {
    for planned in &mut plan.steps {
        let lines: Vec<String> = match planned.step {
            Step::Preflight => target.map(str::to_owned).into_iter().collect(),
            step => hosts.iter().filter_map(|(name, facts)| Some(format!("{name}: {}", how(step, facts)?))).collect(),
        };
        for line in lines {
            planned.how.push('\n');
            planned.how.push_str(INDENT);
            planned.how.push_str(&line);
        }
    }
}
