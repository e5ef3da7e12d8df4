//! `shipit status`: what is live on each host, which processes run it and how that is proved, what an interrupted run
//! left, and who holds the lock.

use std::time::Duration;

use serde_json::json;

use super::releases::columns;
use super::{drift, load, look, print, print_json, unheard};
use crate::cli::{Global, Place};
use crate::config::Config;
use crate::engine::Reading;
use crate::error::Result;
use crate::remote::facts::Worker;
use crate::remote::{Facts, reply};
use crate::text::duration;

pub(super) async fn run(global: &Global, place: Place) -> Result<u8> {
    let config = load(global, place.stage.as_deref(), &place.hosts)?;
    let mut hosts = Vec::new();
    let mut code = 0;
    for seen in look::reading(&config, Reading::Drift).await {
        match seen.facts {
            Ok(facts) if global.json => hosts.push(one_json(&seen.host.name, &facts, &config)),
            Ok(facts) => print(&one(&seen.host.name, &facts, &config)),
            Err(error) => hosts.push(unheard(&seen.host.name, &error, &mut code)),
        }
    }
    if global.json {
        print_json(&json!({"app": config.app, "stage": config.stage, "hosts": hosts}));
    }
    Ok(code)
}

fn one_json(host: &str, facts: &Facts, config: &Config) -> serde_json::Value {
    let tool = |name: &str| {
        facts.tool(name).map(|(file, version)| (name.to_owned(), json!({"file": file, "version": version})))
    };
    let tools: serde_json::Map<_, _> = ["node", "pm2"].into_iter().filter_map(tool).collect();
    let record = facts.current().and_then(|id| facts.records.get(&id.parse().ok()?));
    json!({
        "host": host,
        "current": facts.current(),
        "state": record.map(|record| record.state),
        "commit": record.and_then(|record| record.commit.as_ref()),
        "drift": drift::to_json(drift::of(facts, config).as_deref()),
        "workers": facts.workers,
        "tools": tools,
        "warnings": facts.warnings,
        "leftover": facts.leftover.as_ref().map(|(journal, release)| json!({"journal": journal, "release": release})),
        "not_undone": facts
            .not_undone()
            .iter()
            .map(|(release, left)| json!({"release": release, "undo": left}))
            .collect::<Vec<_>>(),
        "lock": facts.lock.as_ref().map(|(who, since, alive)| json!({"who": who, "since": since, "alive": alive})),
        "hold": facts.hold,
        "findings": facts.refusals.iter().map(|found| json!({"what": found.what, "cure": found.cure})).collect::<Vec<_>>(),
    })
}

fn one(host: &str, facts: &Facts, config: &Config) -> String {
    let stage = &config.stage;
    let mut text = format!("{host}\n");
    let mut line = |line: String| text.push_str(&format!("  {line}\n"));
    // What a person must know before they believe the rest.
    if let Some((journal, release)) = &facts.leftover {
        let way = if journal == "pending" { "takes it back" } else { "finishes it" };
        line(format!("an unfinished switch to {release}; shipit recover {stage} {way}"));
    }
    for (release, left) in facts.not_undone() {
        line(format!("{release} did not go live, and what its hooks did was not undone: {left}"));
    }
    match &facts.lock {
        Some((who, since, true)) => line(format!("locked by {who} since {}", reply::since(since))),
        Some((who, since, false)) => {
            line(format!("a dead lock of {who} since {}; the next run takes it over", reply::since(since)));
        }
        None => {}
    }
    if let Some(hold) = &facts.hold {
        line(format!(
            "deploys are held by {} since {}: {}; shipit hold {stage} --lift allows them again",
            hold.who, hold.since, hold.why
        ));
    }
    match facts.current() {
        None => line("nothing is live".into()),
        Some(current) => {
            let record = current.parse().ok().and_then(|id| facts.records.get(&id));
            let about = record.map_or(String::new(), |record| {
                format!(", {}, commit {} by {}", record.state.word(), record.short_commit(), record.who)
            });
            line(format!("live: {current}{about}"));
            match drift::of(facts, config) {
                Some(drift) => drift::line(&drift).into_iter().for_each(&mut line),
                None if facts.value("dangling").is_some() => {}
                None => line("whether its files are as released can't be told".into()),
            }
        }
    }
    let tool = |name| facts.tool(name).map(|(file, version)| format!("{name} {version} ({file})"));
    let tools: Vec<String> = ["node", "pm2"].into_iter().filter_map(tool).collect();
    if !tools.is_empty() {
        line(tools.join(", "));
    }
    let mut said: Vec<String> = facts.warnings.clone();
    said.extend(facts.workers.iter().filter_map(Worker::tie));
    said.dedup();
    for warning in said {
        line(warning);
    }
    for found in &facts.refusals {
        line(format!("{}; cure: {}", found.what, found.cure));
    }
    if !facts.workers.is_empty() {
        let mut rows = vec![["WORKER", "PID", "STATUS", "RELEASE", "RESTARTS", "UP", "PROOF"].map(str::to_owned)];
        let number = |value: Option<i64>| value.map_or("-".into(), |value| value.to_string());
        for worker in &facts.workers {
            rows.push([
                format!("{} {}", worker.name, number(worker.pm_id)),
                number(worker.pid),
                worker.status.clone(),
                worker.release.clone().unwrap_or_else(|| "-".into()),
                number(worker.restarts),
                worker.uptime_ms.map_or("-".into(), |ms| duration(Duration::from_millis(ms.max(0).unsigned_abs()))),
                worker.proof.clone(),
            ]);
        }
        text.push_str(&columns(&rows));
    }
    text
}
