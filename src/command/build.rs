//! `shipit build`: build and package only, and show what would ship, or write it into a file. No host is asked anything.

use std::path::Path;

use serde_json::{Value, json};

use super::{load, mask, print, print_json, reporter};
use crate::artifact::{self, Artifact, EntryKind, Head};
use crate::cli::{BuildArgs, Global, Hosts};
use crate::engine::{self, Cancel, Origin};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::report;
use crate::text::{bytes, count};

/// How many of the largest files are shown.
const LARGEST: usize = 5;

pub(super) async fn run(global: &Global, args: BuildArgs) -> Result<u8> {
    let config = load(global, args.stage.as_deref(), &Hosts::default())?;
    let (events, from) = Events::channel();
    let mut kind = reporter(global);
    if let report::Kind::Json = kind {
        // stdout is for the summary alone.
        kind = report::Kind::Plain(report::Look { verbose: false, quiet: true, color: false });
    }
    let reporting = report::spawn(kind, mask(&config), from);
    let cancel =
        Cancel::listen().map_err(|source| Error::File { path: "signals".into(), doing: "listen to", source })?;
    // The build has a process group of its own: a Ctrl-C doesn't reach it, giving it up ends it.
    let made = tokio::select! {
        biased;
        () = cancel.first() => Err(Error::Cancelled),
        made = engine::build_and_package(&config, &events) => made,
    };
    drop(events);
    let _ = reporting.await;
    let artifact = made?;
    if let Some(file) = &args.output {
        let origin = Origin::find(&config.build.root).await;
        let head = Head::of(&artifact, &config, origin.commit, origin.branch);
        artifact::keep(&artifact, &head, file)?;
    }
    let file = args.output.as_deref();
    match global.json {
        true => print_json(&summary_json(&artifact, file)),
        false => print(&summary(&artifact, file)),
    }
    Ok(0)
}

fn largest(artifact: &Artifact) -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = artifact
        .entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::File { size, .. } => Some((entry.dest.display().to_string(), *size)),
            EntryKind::Dir | EntryKind::Link { .. } => None,
        })
        .collect();
    files.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    files.truncate(LARGEST);
    files
}

fn links(artifact: &Artifact) -> usize {
    artifact.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::Link { .. })).count()
}

fn summary_json(artifact: &Artifact, file: Option<&Path>) -> Value {
    let largest: Vec<_> =
        largest(artifact).into_iter().map(|(path, size)| json!({"path": path, "bytes": size})).collect();
    json!({
        "artifact": artifact.hash,
        "file": file.map(|file| file.to_string_lossy()),
        "app_dir": artifact.app_dir,
        "files": artifact.files(),
        "links": links(artifact),
        "bytes": artifact.bytes(),
        "largest": largest,
        "warnings": artifact.warnings,
    })
}

fn summary(artifact: &Artifact, file: Option<&Path>) -> String {
    let app = if artifact.app_dir.is_empty() { String::new() } else { format!(", app in {}", artifact.app_dir) };
    let mut text = format!(
        "would ship {}, {}, {}{app}\nartifact {}\n",
        count(artifact.files(), "file"),
        count(links(artifact), "link"),
        bytes(artifact.bytes()),
        artifact.hash
    );
    if let Some(file) = file {
        let size = std::fs::metadata(file).map_or(0, |meta| meta.len());
        let file = crate::text::clean(&file.to_string_lossy(), 200);
        text.push_str(&format!("written to {file}, {}\n", bytes(size)));
    }
    for (path, size) in largest(artifact) {
        text.push_str(&format!("  {:>8}  {}\n", bytes(size), crate::text::clean(&path, 200)));
    }
    text
}
