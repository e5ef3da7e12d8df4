//! `shipit diff`: what a deploy would bring to each host: commits since the live release, files to send and to remove.
//! Takes no lock and writes nothing, neither there nor here; builds only where asked to.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{load, look, mask, print, print_json, reporter, unheard};
use crate::artifact::{Artifact, Difference, EntryKind, Source, Why, differ};
use crate::cli::{DiffArgs, Global};
use crate::config::{Config, Reuse};
use crate::engine::{self, Cancel, Commits, Origin, Reading};
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
    /// Whether the host says what of its live release is as it was released.
    vouched: bool,
}

pub(super) async fn run(global: &Global, args: DiffArgs) -> Result<u8> {
    let config = load(global, args.place.stage.as_deref(), &args.place.hosts)?;
    let artifact = artifact(global, &config, args.build).await?;
    let assets = artifact.assets(&config.assets);
    let origin = Origin::find(&config.build.root).await;
    let (mut groups, mut silent, mut code) = (Vec::<Group>::new(), Vec::new(), 0);
    for seen in look::reading(&config, Reading::Held).await {
        let name = seen.host.name;
        let facts = match seen.facts {
            Ok(facts) => facts,
            Err(error) => {
                silent.push(unheard(&name, &error, &mut code));
                continue;
            }
        };
        let live = facts.current().map(str::to_owned);
        let held = seen.held.unwrap_or_default();
        let vouched = live.is_none() || held.has_release();
        let reuse = config.release.reuse != Reuse::Off;
        let difference = differ(&artifact, config.release.access.modes(), &held, reuse, &assets);
        let same = |group: &&mut Group| group.live == live && group.difference == difference;
        if let Some(group) = groups.iter_mut().find(same) {
            group.hosts.push(name);
            continue;
        }
        let record = live.as_ref().and_then(|id| facts.records.get(&id.parse().ok()?));
        let commits = Commits::since(&config.build.root, record.and_then(|record| record.commit.as_deref())).await;
        groups.push(Group { hosts: vec![name], live, commits, difference, vouched });
    }
    let built = if args.build { None } else { newest(&artifact) };
    match global.json {
        true => print_json(&all_json(&config, &artifact, &origin, &groups, silent)),
        false => print(&all(&config, &artifact, &origin, built, &groups)),
    }
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
        text.push_str(&one(group, artifact, config));
    }
    text
}

fn one(group: &Group, artifact: &Artifact, config: &Config) -> String {
    let Group { hosts, live, commits, difference, vouched } = group;
    let live = live.as_ref().map_or("nothing is live".to_owned(), |id| format!("{} is live", clean(id, 80)));
    let mut text = format!("{}: {live}\n", list(hosts));
    text.push_str(&indented(&commits_of(commits)));
    if !vouched {
        text.push_str("  the host can't tell what of the live release is as it was released: all would be sent\n");
    }
    let files = count(artifact.files(), "file");
    match (difference.is_none(), difference.sent.len()) {
        (true, 0) => text.push_str(&format!("  files: none differs of {files}\n")),
        (true, sent) => text.push_str(&format!(
            "  files: none differs of {files}; {sent} to send all the same, {}: the host's own can't be reused\n",
            bytes(difference.bytes())
        )),
        (false, sent) => {
            let ((kept, kept_bytes), (copied, copied_bytes)) = (difference.kept, difference.copied);
            text.push_str(&format!(
                "  files: {sent} to send, {}; {kept} stay, {}; {copied} copied on the host, {}; {} to remove\n",
                bytes(difference.bytes()),
                bytes(kept_bytes),
                bytes(copied_bytes),
                difference.removed.len()
            ));
        }
    }
    if difference.assets.0 > 0 {
        let ((assets, size), keep) = (difference.assets, count(config.assets.keep, "release"));
        let (assets, size) = (count(assets, "file"), bytes(size));
        text.push_str(&format!("  assets: {assets} of earlier releases, {size}; each stays for {keep}\n"));
    }
    if difference.modes > 0 {
        text.push_str(&format!("  modes: {} with another one\n", count(difference.modes, "file")));
    }
    let mut sent: Vec<_> = difference.sent.iter().collect();
    // The largest first: they are what the way costs.
    sent.sort_by_key(|sent| std::cmp::Reverse(sent.bytes));
    let sent = sent.into_iter().map(|sent| {
        let mark = match sent.why {
            Why::New => '+',
            Why::Changed => '~',
            Why::Same => '=',
        };
        format!("{mark} {:>8}  {}", bytes(sent.bytes), sent.path)
    });
    let links = difference.links.iter().map(|path| format!("~ {:>8}  {path}", "link"));
    let removed = difference.removed.iter().map(|(path, size)| format!("- {:>8}  {path}", bytes(*size)));
    text.push_str(&indented(&first(sent)));
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
        let sent = difference.sent.iter();
        let sent: Vec<_> =
            sent.map(|sent| json!({"path": sent.path, "bytes": sent.bytes, "why": sent.why.word()})).collect();
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
            "vouched": group.vouched,
            "commits": commits,
            "undone": undone,
            "send": sent,
            "send_bytes": difference.bytes(),
            "links": difference.links,
            "copy": difference.copied.0,
            "copy_bytes": difference.copied.1,
            "keep": difference.kept.0,
            "keep_bytes": difference.kept.1,
            "assets": difference.assets.0,
            "assets_bytes": difference.assets.1,
            "modes": difference.modes,
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
