//! `shipit diff`: what a deploy would bring to each host: commits since the live release, files to send and to remove.
//! Takes no lock and writes nothing, neither there nor here; builds only where asked to.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{load, look, mask, print, reporter, unheard};
use crate::artifact::{Artifact, Difference, EntryKind, Source, differ};
use crate::cli::{DiffArgs, Global};
use crate::config::Config;
use crate::engine::{self, Cancel, Commits, Origin};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::report;
use crate::text::{age, bytes, clean, count, list};

/// How many files, links and commits of a kind are named.
const NAMED: usize = 20;

/// What one or several hosts would get.
struct Group {
    hosts: Vec<String>,
    live: Option<String>,
    commits: Commits,
    difference: Difference,
}

pub(super) async fn run(global: &Global, args: DiffArgs) -> Result<u8> {
    let config = load(global, args.place.stage.as_deref(), &args.place.hosts)?;
    let artifact = artifact(global, &config, args.build).await?;
    let origin = Origin::find(&config.build.root).await;
    let (mut groups, mut silent, mut code) = (Vec::<Group>::new(), Vec::new(), 0);
    for seen in look::with_files(&config).await {
        let name = seen.host.name;
        let facts = match seen.facts {
            Ok(facts) => facts,
            Err(error) => {
                silent.push(unheard(&name, &error, &mut code));
                continue;
            }
        };
        let live = facts.current().map(str::to_owned);
        let difference = differ(&seen.base, &artifact);
        if let Some(group) = groups.iter_mut().find(|group| group.live == live && group.difference == difference) {
            group.hosts.push(name);
            continue;
        }
        let record = live.as_ref().and_then(|id| facts.records.get(&id.parse().ok()?));
        let commits = Commits::since(&config.build.root, record.and_then(|record| record.commit.as_deref())).await;
        groups.push(Group { hosts: vec![name], live, commits, difference });
    }
    let built = if args.build { None } else { newest(&artifact) };
    let text = match global.json {
        true => format!("{}\n", all_json(&config, &artifact, &origin, &groups, silent)),
        false => all(&config, &artifact, &origin, built, &groups),
    };
    print(&mask(&config).apply(&text));
    Ok(code)
}

/// What would be deployed: of a new build, or of the one that is there.
async fn artifact(global: &Global, config: &Config, build: bool) -> Result<std::sync::Arc<Artifact>> {
    let (events, from) = Events::channel();
    let kind = match reporter(global) {
        kind if build && !global.json => kind,
        // stdout is for the comparison alone.
        _ => report::Kind::Plain(report::Look { verbose: false, quiet: true, color: false }),
    };
    let reporting = report::spawn(kind, mask(config), from);
    let cancel =
        Cancel::listen().map_err(|source| Error::File { path: "signals".into(), doing: "listen to", source })?;
    let making = async {
        match build {
            true => engine::build_and_package(config, &events).await,
            false => engine::package(config, &events).await,
        }
    };
    let made = tokio::select! {
        biased;
        () = cancel.first() => Err(Error::Cancelled),
        made = making => made,
    };
    drop(events);
    let _ = reporting.await;
    made
}

/// When the newest of the artifact's files was written.
fn newest(artifact: &Artifact) -> Option<SystemTime> {
    let written = |path: &Path| path.metadata().ok()?.modified().ok();
    let sources = artifact.entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::File { source: Source::Path(path), .. } => written(path),
        _ => None,
    });
    sources.max()
}

fn all(config: &Config, artifact: &Artifact, origin: &Origin, built: Option<SystemTime>, groups: &[Group]) -> String {
    let mut text = format!("diff {} ({})\n", config.app, config.stage);
    if let Some(seconds) = built.and_then(|at| at.elapsed().ok()).and_then(|ago| i64::try_from(ago.as_secs()).ok()) {
        let newest = age(seconds);
        text.push_str(&format!("what an earlier build left, its newest file written {newest}; --build builds first\n"));
    }
    if origin.commit.as_ref().is_some_and(|commit| commit.ends_with('+')) {
        text.push_str("there are uncommitted changes\n");
    }
    for group in groups {
        text.push_str(&one(group, artifact));
    }
    text
}

fn one(group: &Group, artifact: &Artifact) -> String {
    let Group { hosts, live, commits, difference } = group;
    let live = live.as_ref().map_or("nothing is live".to_owned(), |id| format!("{} is live", clean(id, 80)));
    let mut text = format!("{}: {live}\n", list(hosts));
    text.push_str(&indented(&commits_of(commits)));
    if difference.is_none() {
        text.push_str(&format!("  files: none differs of {}\n", artifact.files()));
        return text;
    }
    let (kept, kept_bytes) = difference.kept;
    text.push_str(&format!(
        "  files: {} to send, {}; {} stay, {}; {} copied on the host; {} to remove\n",
        difference.sent.len(),
        bytes(difference.bytes()),
        kept,
        bytes(kept_bytes),
        difference.copied,
        difference.removed.len()
    ));
    let mut lines: Vec<(u64, String)> = Vec::new();
    for (path, size, new) in &difference.sent {
        lines.push((*size, format!("{} {:>8}  {path}", if *new { '+' } else { '~' }, bytes(*size))));
    }
    // The largest first: they are what the way costs.
    lines.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let links = difference.links.iter().map(|path| format!("~ {:>8}  {path}", "link"));
    let removed = difference.removed.iter().map(|(path, size)| format!("- {:>8}  {path}", bytes(*size)));
    text.push_str(&indented(&first(lines.into_iter().map(|(_, line)| line))));
    text.push_str(&indented(&first(links)));
    text.push_str(&indented(&first(removed)));
    text
}

fn commits_of(commits: &Commits) -> Vec<String> {
    match commits {
        Commits::Unknown(why) => vec![format!("commits: not known: {why}")],
        Commits::Known { new, undone } => {
            let mut lines = vec![format!("commits: {} since", new.len())];
            lines.extend(
                first(new.iter().map(|(id, subject)| format!("{id} {subject}"))).into_iter().map(|l| format!("  {l}")),
            );
            if *undone > 0 {
                lines.push(format!(
                    "and {} of the live release is not in HEAD: a deploy takes it away",
                    count(*undone, "commit")
                ));
            }
            lines
        }
    }
}

/// The first lines, and how many more there are.
fn first(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    let more = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    if more > 0 {
        lines.push(format!("and {} more", more));
    }
    lines
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

fn all_json(config: &Config, artifact: &Artifact, origin: &Origin, groups: &[Group], mut silent: Vec<Value>) -> Value {
    let host = |name: &str, group: &Group| {
        let difference = &group.difference;
        let sent: Vec<_> =
            difference.sent.iter().map(|(path, size, new)| json!({"path": path, "bytes": size, "new": new})).collect();
        let removed: Vec<_> =
            difference.removed.iter().map(|(path, size)| json!({"path": path, "bytes": size})).collect();
        let (commits, undone) = match &group.commits {
            Commits::Known { new, undone } => {
                let new: Vec<_> = new.iter().map(|(id, subject)| json!({"commit": id, "subject": subject})).collect();
                (json!(new), json!(undone))
            }
            Commits::Unknown(_) => (Value::Null, Value::Null),
        };
        json!({
            "host": name,
            "current": group.live,
            "equal": difference.is_none(),
            "commits": commits,
            "undone": undone,
            "send": sent,
            "send_bytes": difference.bytes(),
            "links": difference.links,
            "copy": difference.copied,
            "keep": difference.kept.0,
            "keep_bytes": difference.kept.1,
            "remove": removed,
        })
    };
    let mut hosts: Vec<Value> =
        groups.iter().flat_map(|group| group.hosts.iter().map(move |name| host(name, group))).collect();
    hosts.append(&mut silent);
    json!({
        "app": config.app,
        "stage": config.stage,
        "artifact": artifact.hash,
        "commit": origin.commit,
        "hosts": hosts,
    })
}
