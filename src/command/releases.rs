//! `shipit releases`: what lies on each host, newest first, and what became of it.

use chrono::Utc;
use serde_json::json;

use super::{load, look, print, print_json, unheard};
use crate::cli::{Global, Place};
use crate::error::Result;
use crate::release::ReleaseId;
use crate::remote::Facts;
use crate::text::{age, bytes, clean};

pub(super) async fn run(global: &Global, place: Place) -> Result<u8> {
    let config = load(global, place.stage.as_deref(), &place.hosts)?;
    let mut listed = Vec::new();
    let mut code = 0;
    for seen in look::all(&config, None).await {
        let name = &seen.host.name;
        match seen.facts {
            Ok(facts) if global.json => {
                listed.push(json!({"host": name, "current": facts.current(), "releases": rows_json(&facts)}));
            }
            Ok(facts) => print(&table(name, &facts)),
            Err(error) => listed.push(unheard(name, &error, &mut code)),
        }
    }
    if global.json {
        print_json(&json!({"app": config.app, "stage": config.stage, "hosts": listed}));
    }
    Ok(code)
}

/// Newest first; those whose files are gone are not listed.
fn present(facts: &Facts) -> Vec<&ReleaseId> {
    let mut ids: Vec<&ReleaseId> = facts.dirs.iter().collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids
}

fn rows_json(facts: &Facts) -> Vec<serde_json::Value> {
    present(facts)
        .into_iter()
        .map(|id| {
            let record = facts.records.get(id);
            json!({
                "id": id,
                "live": facts.current() == Some(id.as_str()),
                "state": facts.state(id),
                "why": record.map(|record| &record.why),
                "at": id.time(),
                "commit": record.and_then(|record| record.commit.as_ref()),
                "branch": record.and_then(|record| record.branch.as_ref()),
                "who": record.map(|record| &record.who),
                "files": record.map(|record| record.files),
                "bytes": record.map(|record| record.bytes),
                "transfer": record.and_then(|record| record.transfer),
                "deployment": record.and_then(|record| record.deployment.as_ref()),
                "previous": record.map(|record| &record.previous),
            })
        })
        .collect()
}

fn table(host: &str, facts: &Facts) -> String {
    let mut rows =
        vec![["", "RELEASE", "STATE", "AGE", "COMMIT", "WHO", "SIZE", "SENT", "REUSED", "WHY"].map(str::to_owned)];
    for id in present(facts) {
        let record = facts.records.get(id);
        let live = if facts.current() == Some(id.as_str()) { "*" } else { "" };
        let transfer = record.and_then(|record| record.transfer);
        rows.push([
            live.into(),
            id.to_string(),
            facts.state(id).word().into(),
            age((Utc::now() - id.time()).num_seconds()),
            record.map_or("-".into(), |record| record.short_commit()),
            record.map_or("-".into(), |record| clean(&record.who, 40)),
            record.map_or("-".into(), |record| bytes(record.bytes)),
            transfer.and_then(|transfer| transfer.wire).map_or("-".into(), bytes),
            transfer.and_then(|transfer| transfer.reuse()).map_or("-".into(), |reuse| reuse.replace(" reused", "")),
            record.map_or(String::new(), |record| clean(&record.why, 120)),
        ]);
    }
    let mut text = format!("{host}\n");
    if rows.len() == 1 {
        text.push_str("  no releases\n");
        return text;
    }
    text.push_str(&columns(&rows));
    for name in &facts.strangers {
        text.push_str(&format!("  {name} is not shipit's and is left alone\n"));
    }
    text
}

/// Rows with every column as wide as its widest cell.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("  {}\n", cells.join("  ").trim_end())
        })
        .collect()
}
