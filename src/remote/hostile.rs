//! A host that says anything at all: no line makes the client panic, and nothing of what it says reaches people with a
//! control character in it. Generated; a failure prints its smallest case.

#![cfg(test)]

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{Facts, Record, Reply};
use crate::release::ReleaseId;

/// Pieces that mean something to a terminal, a shell, a path, JSON or the protocol.
const PIECES: [&str; 30] = [
    "\u{1b}[2J",
    "\u{1b}]0;t\u{7}",
    "\r",
    "\u{7}",
    "\u{9b}31m",
    "\u{202e}",
    "\u{2028}",
    "\t",
    "\0",
    "..",
    "/",
    "../..",
    "-rf",
    " ",
    "\"",
    "\\",
    "\u{2026}",
    "ü",
    "🚀",
    "{",
    "}",
    "[",
    "alive",
    "changed",
    "20260321-140000-k3f9",
    "-1",
    "1e999",
    "18446744073709551616",
    "@ready",
    "x",
];

fn text() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![4 => select(&PIECES[..]).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// Every word of the protocol, and one that is none.
const WORDS: [&str; 34] = [
    "fact",
    "record",
    "dir",
    "missing",
    "leftover",
    "lock",
    "hold",
    "locked",
    "refuse",
    "recovered",
    "facts",
    "pong",
    "ready",
    "reverted",
    "stuck",
    "held",
    "told",
    "committed",
    "recorded",
    "removed",
    "pruned",
    "bye",
    "done",
    "why",
    "note",
    "log",
    "out",
    "warn",
    "bad",
    "drift",
    "dangling",
    "worker",
    "",
    "unheard",
];

/// A value where a record or a worker has one.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!({ "secs": u64::MAX, "nanos": 999_999_999 })),
        Just(json!({ "secs": u64::MAX, "nanos": u32::MAX })),
        vec(text(), 0..3).prop_map(Value::from),
        Just(json!({ "kind": "command" })),
    ]
}

fn record() -> Value {
    let time = json!({ "secs": 5, "nanos": 0 });
    json!({
        "id": "20260321-140000-k3f9", "at": "2026-03-21T14:00:00Z", "who": "me@here", "commit": "abc", "branch": "main",
        "artifact": "00", "files": 1, "bytes": 1, "app_dir": "apps/web", "mutable": ["a/*"], "node": "v20.0.0", "bound": "a.node",
        "shared": { "dirs": ["up"], "files": [".env"] }, "service": { "kind": "none" },
        "health": {
            "path": null, "url": null, "from": "host", "headers": {}, "expect": { "status": 200, "body": null, "json": {} },
            "timeout": time, "interval": time, "within": time, "successes": 1, "soak": time, "assets": true,
        },
        "previous": "", "state": "good", "why": "",
    })
}

/// A record in which one to three fields, anywhere, hold something else.
fn spoilt() -> impl Strategy<Value = String> {
    let fields = [
        "/id",
        "/at",
        "/who",
        "/commit",
        "/branch",
        "/artifact",
        "/files",
        "/app_dir",
        "/mutable",
        "/node",
        "/bound",
        "/shared/dirs",
        "/shared/files",
        "/service",
        "/health/within",
        "/health/interval",
        "/health/soak",
        "/health/headers",
        "/health/path",
        "/health/expect/json",
        "/previous",
        "/state",
        "/why",
    ];
    vec((select(fields.to_vec()), value()), 1..4).prop_map(|changes| {
        let mut record = record();
        for (at, value) in changes {
            if let Some(field) = record.pointer_mut(at) {
                *field = value;
            }
        }
        record.to_string()
    })
}

fn worker() -> impl Strategy<Value = String> {
    (text(), text(), text(), value(), value()).prop_map(|(name, status, proof, release, restarts)| {
        json!({ "name": name, "status": status, "proof": proof, "release": release, "restarts": restarts, "pm_id": 0,
            "pid": 1, "uptime_ms": i64::MIN, "pinned": name, "mode": status })
        .to_string()
    })
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (select(&WORDS[..]), text()).prop_map(|(word, text)| format!("@{word} {text}")),
        2 => spoilt().prop_map(|text| format!("@record {text}")),
        1 => worker().prop_map(|text| format!("@worker {text}")),
        1 => vec(any::<u8>(), 0..60).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

/// What of the facts people and programs are shown.
fn shown(facts: &Facts) -> Vec<&str> {
    let mut all: Vec<&str> = facts.values.iter().flat_map(|(key, value)| [&**key, &**value]).collect();
    for record in facts.records.values() {
        all.extend([&record.who, &record.previous, &record.why, &record.artifact, &record.app_dir].map(String::as_str));
        all.extend(
            [&record.commit, &record.branch, &record.node, &record.bound].into_iter().flatten().map(String::as_str),
        );
        all.extend(record.shared.dirs.iter().chain(&record.shared.files).map(String::as_str));
    }
    for worker in &facts.workers {
        all.extend([&worker.name, &worker.status, &worker.proof, &worker.mode].map(String::as_str));
        all.extend([&worker.release, &worker.pinned].into_iter().flatten().map(String::as_str));
    }
    for found in &facts.refusals {
        all.extend([&*found.what, &*found.cure]);
    }
    all.extend(facts.strangers.iter().chain(&facts.missing).chain(&facts.warnings).map(String::as_str));
    all.extend(facts.dirs.iter().chain(facts.records.keys()).map(ReleaseId::as_str));
    all.extend(facts.drift.iter().map(|drift| &*drift.path));
    all.extend(facts.leftover.iter().flat_map(|(journal, release)| [&**journal, &**release]));
    all.extend(facts.lock.iter().flat_map(|(who, since, _)| [&**who, &**since]));
    all.extend(facts.hold.iter().flat_map(|hold| [&*hold.who, &*hold.since, &*hold.why]));
    all.extend(facts.recovered.iter().map(|(_, release)| &**release));
    all
}

fn commands(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || crate::text::turns(c) || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// What a reply that is no fact says to people.
fn said(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Pong(text)
        | Reply::Reverted(text)
        | Reply::Stuck(text)
        | Reply::Removed(text)
        | Reply::Bye(text)
        | Reply::Why(text)
        | Reply::Note(text)
        | Reply::Log(text)
        | Reply::Out(text)
        | Reply::Bad(text)
        | Reply::Dangling(text) => Some(text),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_of_a_host_drives_the_terminal(lines in vec(line(), 1..8)) {
        let mut facts = Facts::default();
        for line in &lines {
            let Some(reply) = Reply::parse(line) else { continue };
            if let Reply::Locked { who, since } = &reply {
                prop_assert!(!commands(who) && !commands(since));
            }
            if let Some(reply) = facts.take(reply) {
                prop_assert!(!said(&reply).is_some_and(commands), "{reply:?}");
            }
        }
        for text in shown(&facts) {
            prop_assert!(!commands(text), "{text:?}");
        }
        // What is reckoned with them has an answer.
        let newest = facts.newest().cloned();
        let next = ReleaseId::new("", chrono::Utc::now(), newest.as_ref(), 7);
        prop_assert!(newest.is_none_or(|newest| next > newest));
        let _ = (next.time(), facts.not_undone().len(), facts.number("cores"), facts.workers.iter().filter_map(|w| w.tie()).count());
    }

    #[test]
    fn a_record_says_nothing_that_a_config_could_not(text in spoilt()) {
        if let Some(record) = Record::parse(&text) {
            let day = std::time::Duration::from_secs(24 * 60 * 60);
            prop_assert!(record.health.longest() <= day);
            let _ = tokio::time::Instant::now() + record.health.within + record.health.soak;
            let mut paths = record.shared.dirs.iter().chain(&record.shared.files).chain([&record.app_dir]);
            prop_assert!(!paths.any(|path| path.split('/').any(|part| part == "..")));
            let _ = (record.short_commit(), record.not_undone());
            prop_assert_eq!(Record::parse(&record.render().replace('\n', "")).map(|again| again.id), Some(record.id));
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => select(vec!["20260321-140000-k3f9", "99981231-235959-zzzz", "99999999-999999-aaaa", "20260321", "-140000", "-k3f9"]),
        2 => select(vec!["..", "/", "-", "_", ".", " ", "\n", "*", "$(x)", "a", "Z", "9", "\u{1b}", "ü", "blog-"]),
    ];
    vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    // Each case is a shell; its names are many.
    #![proptest_config(ProptestConfig { cases: 3, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// What is given to `rm -rf` on a host is a name by which nothing else than a release can be meant.
    #[test]
    fn a_name_that_parses_is_one_word_below_its_directory(names in vec(name(), 1000)) {
        let names: Vec<&String> = names.iter().filter(|name| !name.contains('\n')).collect();
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            let script = concat!(include_str!("lib.sh"), "while IFS= read -r name; do\n",
                "if is_release \"$name\"; then echo yes; else echo no; fi\ndone\n");
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("tests/run installs the shells");
            let mut stdin = child.stdin.take().expect("piped");
            let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
            let writing = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
            let answers = child.wait_with_output().expect("it ends").stdout;
            writing.join().expect("it does not panic").expect("all is read");
            let answers: Vec<bool> = String::from_utf8_lossy(&answers).lines().map(|line| line == "yes").collect();
            prop_assert_eq!(answers.len(), names.len());
            for (name, host) in names.iter().zip(answers) {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                if host {
                    prop_assert!(name.len() >= 20 && name.bytes().all(plain) && !name.starts_with('-'), "{:?}", name);
                }
                if name.parse::<ReleaseId>().is_ok() {
                    prop_assert!(host, "{:?} is a release here and none there", name);
                }
            }
        }
    }
}
