//! Whether a release can run on the machine and the node of a host. Pure: from what was read of the artifact, or stands
//! in a record, and the host's facts.

use std::sync::Arc;

use crate::artifact::{Artifact, Engine, Machine, Natives, engines, major, satisfies, sharp};
use crate::error::{Finding, Result};
use crate::remote::{Facts, Record};

/// What an artifact asks of a machine.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// Its compiled files.
    pub(super) natives: Natives,
    /// What of it needs sharp, where that is not there in a form that a host could run.
    pub(super) sharp: Option<String>,
    /// The versions of node that it asks for.
    pub(super) engines: Vec<Engine>,
    /// The major version that the project pins, and in which file.
    pub(super) pinned: Option<(&'static str, u32)>,
}

impl Asks {
    /// Reads it from the artifact's files; `pinned` is the version that the project names.
    pub(super) async fn of(artifact: Arc<Artifact>, pinned: Option<(&'static str, u32)>) -> Result<Asks> {
        let read = move || {
            let (natives, sharp) = (Natives::find(&artifact)?, sharp(&artifact));
            Ok(Asks { natives, sharp, engines: engines(&artifact), pinned })
        };
        tokio::task::spawn_blocking(read).await.expect("reading headers does not panic and is never aborted")
    }
}

/// What the host can't run.
pub(super) fn findings(asks: &Asks, facts: &Facts) -> Vec<Finding> {
    let told = |key: &str| facts.value(key).map(str::to_owned);
    let node = facts.value("node").unwrap_or_default();
    let machine = Machine { arch: told("arch"), libc: told("libc"), node: major(node) };
    let mut found = asks.natives.findings(&machine);
    found.extend(asks.sharp.as_ref().map(|user| Finding {
        what: format!("{user}, and the release holds no build of sharp for Linux: images would be sent as they are, or fail"),
        cure: format!(
            "let npm install optional packages, and build on a machine like the host{}; --allow mismatch ships it without",
            machine.install("sharp")
        ),
    }));
    found.extend(asks.engines.iter().filter(|engine| !satisfies(node, &engine.range)).map(|engine| Finding {
        what: format!("`{}` asks for node {}, the host has {node}", engine.file, crate::text::clean(&engine.range, 80)),
        cure: "install such a node on the host, or deploy with --allow mismatch".into(),
    }));
    found
}

/// A project that was built with another major version of node than the host has: worth a word.
pub(super) fn warning(asks: &Asks, facts: &Facts) -> Option<String> {
    let (file, wanted) = asks.pinned?;
    let node = facts.value("node")?;
    let bound =
        asks.natives.bound().map_or(String::new(), |file| format!("; {file} runs on the one it was built with"));
    (major(node)? != wanted).then(|| format!("{file} says node {wanted}, the host has {node}{bound}"))
}

/// What has changed on a host since a release ran there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// It may matter.
    Warn(String),
    /// It can't run.
    Refuse(Finding),
}

/// An earlier release against the node that the host has now.
pub(super) fn again(record: &Record, facts: &Facts) -> Option<Changed> {
    let (then, now) = (record.node.as_deref()?, facts.value("node")?);
    if major(then)? == major(now)? {
        return None;
    }
    let what = format!("{} ran on node {then}, the host has {now} now", record.id);
    Some(match &record.bound {
        None => Changed::Warn(what),
        Some(file) => Changed::Refuse(Finding {
            what: format!("{what}, and `{file}` runs only on the major version it was built with"),
            cure: format!(
                "bring node {then} back on the host, or deploy {} again; --allow mismatch tries it all the same",
                record.commit.as_ref().map_or("it".to_owned(), |_| format!("commit {}", record.short_commit()))
            ),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Reply;

    fn facts(node: &str) -> Facts {
        let mut facts = Facts::default();
        facts.take(Reply::Fact("node".into(), node.into()));
        facts
    }

    fn record(more: &str) -> Record {
        let text = format!(
            r#"{{"id":"20260321-140000-k3f9","at":"2026-03-21T14:00:00Z","who":"me@here","artifact":"00","files":1,"bytes":1,
            "app_dir":"","shared":{{"dirs":[],"files":[]}},"service":{{"kind":"none"}},"health":{{"path":null,"url":null,
            "from":"host","headers":{{}},"expect":{{"status":200,"body":null,"json":{{}}}},"timeout":{{"secs":5,"nanos":0}},
            "interval":{{"secs":1,"nanos":0}},"within":{{"secs":30,"nanos":0}},"successes":1,"soak":{{"secs":6,"nanos":0}},
            "assets":true}}{more}}}"#
        );
        Record::parse(&text).expect("as a host keeps it")
    }

    #[test]
    fn another_node_is_a_warning_and_with_a_bound_file_a_refusal() {
        let plain = record(r#","node":"v20.20.2""#);
        assert_eq!(again(&plain, &facts("v20.1.0")), None);
        assert!(matches!(again(&plain, &facts("v22.1.0")), Some(Changed::Warn(text)) if text.contains("v22.1.0")));
        let bound = record(r#","node":"v20.20.2","bound":"a/b.node""#);
        assert_eq!(again(&bound, &facts("v20.1.0")), None);
        match again(&bound, &facts("v22.1.0")) {
            Some(Changed::Refuse(found)) => assert!(found.what.contains("a/b.node") && found.cure.contains("--allow")),
            other => panic!("{other:?}"),
        }
        assert_eq!(again(&record(""), &facts("v22.1.0")), None, "what an older shipit wrote tells no node");
    }

    #[test]
    fn an_engine_is_held_against_the_hosts_node() {
        let engine = Engine { file: "package.json".into(), range: ">=22".into() };
        let asks = Asks { engines: vec![engine], pinned: Some((".nvmrc", 22)), ..Asks::default() };
        assert_eq!(findings(&asks, &facts("v22.1.0")), []);
        assert_eq!(warning(&asks, &facts("v22.1.0")), None);
        assert_eq!(
            findings(&asks, &facts("v20.1.0"))[0].what,
            "`package.json` asks for node >=22, the host has v20.1.0"
        );
        assert_eq!(warning(&asks, &facts("v20.1.0")), Some(".nvmrc says node 22, the host has v20.1.0".into()));
        assert_eq!(findings(&asks, &Facts::default()), [], "a host without a service tells no node");
    }
}
