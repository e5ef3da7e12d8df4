//! `shipit check`: looks at the config and at each host as a deploy would, and says what stands in its way. Takes no
//! lock and writes nothing. What is said is engine/survey's business; here it is gathered and printed.

use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use serde_json::json;

use super::{load, look, print, print_json, terminal};
use crate::cli::{Global, Place};
use crate::config::{Address, Config, From, Host};
use crate::engine::{self, HostRun, Origin, Row, Seen, Status};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::plan::{Flags, Plan, Verb};
use crate::remote::{Facts, Reply};
use crate::text::count;

/// How long a host may take to tell about itself: PM2 has 20 s for each answer.
const LIMIT: Duration = Duration::from_secs(90);
/// Asked for a forward where the service has no port of its own; nothing has to listen there.
const DISCARD: u16 = 9;

pub(super) async fn run(global: &Global, place: Place) -> Result<u8> {
    let config = load(global, place.stage.as_deref(), &place.hosts)?;
    let plan = Plan::make(Verb::Deploy, &config, &Flags::default());
    let branch = Origin::find(&config.build.root).await.branch;
    // Nobody listens: what keeps a build from being shipped is a deploy's business.
    let asks = engine::asks(&config, &Events::channel().0).await.unwrap_or_default();
    let mut groups = vec![("here".to_owned(), engine::here(&config, branch.as_deref()))];
    groups.extend(
        join_all(config.hosts.iter().map(async |host| {
            let rows = match see(&config, host).await {
                Ok(seen) => {
                    let mut rows = engine::survey(host, &config, &plan, &seen);
                    rows.extend(engine::misfits(&config, &asks, &seen.facts));
                    rows
                }
                Err(error) => engine::unheard(host, &error),
            };
            (host.name.clone(), rows)
        }))
        .await,
    );
    let number = |status| groups.iter().flat_map(|(_, rows)| rows).filter(|row| row.status == status).count();
    let (refusals, warnings) = (number(Status::Refuses), number(Status::Warning));
    if global.json {
        let hosts: Vec<_> = groups[1..].iter().map(|(host, rows)| json!({"host": host, "rows": rows})).collect();
        let all = json!({"app": config.app, "stage": config.stage, "refused": refusals > 0, "here": groups[0].1, "hosts": hosts});
        print_json(&all);
    } else {
        let verdict = match refusals {
            0 => "nothing that was seen would refuse a deploy".to_owned(),
            n => format!("a deploy would be refused: {}", count(n, "reason")),
        };
        let warned = if warnings > 0 { format!("; {}", count(warnings, "warning")) } else { String::new() };
        print(&format!("check {} ({})\n{}{verdict}{warned}\n", config.app, config.stage, table(&groups)));
    }
    Ok(u8::from(refusals > 0))
}

async fn see(config: &Config, host: &Host) -> Result<Seen> {
    let (events, _) = Events::channel();
    let mut run = HostRun::new(host.clone(), look::home(config, String::new()), &events);
    let seen = async {
        run.connect(config, terminal()).await?;
        // The host tells its time first of all; PM2 may take seconds.
        let at = Utc::now().timestamp();
        let said = run.side(&run.home.survey(config), "connect", LIMIT, None).await?;
        if said.code != Some(0) {
            return Err(Error::Step { host: host.name.clone(), step: "connect", why: said.why });
        }
        let mut facts = Facts::default();
        let mut removable = 0;
        for reply in said.replies {
            match reply {
                Reply::Removed(_) => removable += 1,
                reply => {
                    facts.take(reply);
                }
            }
        }
        let forwards = match forwarded(config, host) {
            Some(port) => engine::forwards(&run, port).await,
            None => None,
        };
        Ok(Seen { facts, removable, forwards, at })
    }
    .await;
    run.end().await;
    seen
}

/// The port to ask a forward for, where verifying a deploy needs one.
fn forwarded(config: &Config, host: &Host) -> Option<u16> {
    let health = &config.health;
    let needed = health.path.is_some() || (health.url.is_some() && health.from == From::Host);
    (needed && host.address != Address::Local).then(|| config.service.port().unwrap_or(DISCARD))
}

/// Each group's rows below its name, columns alike in all of them; a cure stands below what it is for.
fn table(groups: &[(String, Vec<Row>)]) -> String {
    let all = || groups.iter().flat_map(|(_, rows)| rows);
    let status = all().map(|row| row.status.word().len()).max().unwrap_or(0);
    let about = all().map(|row| row.about.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, rows) in groups {
        text.push_str(&format!("{name}\n"));
        for row in rows {
            text.push_str(&format!("  {:<status$}  {:<about$}  {}\n", row.status.word(), row.about, row.what));
            if !row.cure.is_empty() {
                text.push_str(&format!("  {:<status$}  {:<about$}  cure: {}\n", "", "", row.cure));
            }
        }
    }
    text
}
