//! A canned run of three hosts, as each reporter tells it, held against files in `tests/golden`.
//! `UPDATE_GOLDEN=1` rewrites them.

#![cfg(test)]

use std::io::{self, Write};
use std::path::Path;

use super::*;
use crate::event::{Amount, EventKind, HostState, StepOutcome, Transfer};

fn transfer(sent: usize, reused: usize) -> EventKind {
    let amount = |files: usize| Amount { files, bytes: files as u64 * 1_000_000 };
    EventKind::Transfer {
        step: "receive",
        transfer: Transfer { sent: amount(sent), reused: amount(reused), ..Transfer::default() },
    }
}

fn run() -> Vec<Event> {
    let at = "2026-03-21T14:00:00Z".parse().unwrap();
    let on = |host: Option<&str>, kind| Event { at, host: host.map(str::to_owned), kind };
    let ok = |step, detail: &str, seconds| EventKind::StepFinished {
        step,
        outcome: StepOutcome::Ok,
        detail: detail.into(),
        seconds,
    };
    let lines = |host, step, n: usize| (1..=n).map(move |i| on(host, output(step, &format!("line {i}"))));
    let (web1, web2) = (Some("web1"), Some("db-and-web2"));
    let mut events = vec![
        on(
            None,
            EventKind::Started {
                verb: "deploy",
                app: "blog".into(),
                stage: "production".into(),
                hosts: vec!["web1".into(), "db-and-web2".into(), "web3".into()],
            },
        ),
        on(None, EventKind::StepStarted { step: "build" }),
    ];
    events.extend(lines(None, "build", 3));
    events.extend([
        on(None, ok("build", "npm run build", 61.4)),
        on(
            None,
            EventKind::Release { release: "20260321-140000-k3f8".into(), commit: Some("0123456789abcdef".into()) },
        ),
        on(web1, EventKind::StepStarted { step: "receive" }),
        on(web1, transfer(3, 42)),
        on(web2, transfer(45, 0)),
        on(web1, EventKind::Progress { step: "receive", done: 5, total: 10 }),
        on(web1, ok("receive", "12 MB", 2.1)),
        on(web2, ok("receive", "12 MB", 0.001)),
        on(
            web1,
            EventKind::StepFinished {
                step: "boot test",
                outcome: StepOutcome::Skipped,
                detail: "--no-boot-test".into(),
                seconds: 0.0,
            },
        ),
        on(web2, EventKind::Warning { text: "its clock is 70s behind".into() }),
        on(web1, EventKind::StepNote { step: "activate", text: "worker 1 of 2: runs the new release".into() }),
        on(web1, ok("activate", "", 3.0)),
    ]);
    events.extend(lines(web2, "activate", 42));
    events.extend([
        on(web2, output("activate", "token=correct-\u{1b}horse \u{1b}[2Jx\r")),
        on(
            web2,
            EventKind::StepFailed {
                step: "activate",
                message: "worker 2 did not come up\nit ended with correct-horse".into(),
                seconds: 8.2,
            },
        ),
        on(
            web2,
            EventKind::Log {
                title: "the app's own log".into(),
                lines: vec![
                    "Error: listen EADDRINUSE".into(),
                    "    at correct-horse".into(),
                    "again".into(),
                    "again".into(),
                ],
            },
        ),
        on(web1, EventKind::HostEnded { state: HostState::Reverted, detail: "runs 20260320-090000-aaaa".into() }),
        on(web2, EventKind::HostEnded { state: HostState::Unknown, detail: "no answer since activate".into() }),
        on(Some("web3"), EventKind::HostEnded { state: HostState::Released, detail: String::new() }),
        on(
            None,
            EventKind::Ended {
                code: 5,
                state: "web1 runs what it ran before; db-and-web2 is not known".into(),
                release: Some("20260321-140000-k3f8".into()),
                previous: None,
                error: Some("db-and-web2: activate failed: worker 2 did not come up\nsecond line".into()),
                hint: Some("shipit status production".into()),
                seconds: 75.0,
            },
        ),
    ]);
    events
}

fn output(step: &'static str, line: &str) -> EventKind {
    EventKind::Output { step, line: line.into() }
}

fn good_run() -> Vec<Event> {
    let at = "2026-03-21T14:00:00Z".parse().unwrap();
    let on = |host: Option<&str>, kind| Event { at, host: host.map(str::to_owned), kind };
    vec![
        on(
            None,
            EventKind::Started {
                verb: "rollback",
                app: "blog".into(),
                stage: "local".into(),
                hosts: vec!["local".into()],
            },
        ),
        on(
            Some("local"),
            EventKind::StepFinished {
                step: "verify",
                outcome: StepOutcome::Ok,
                detail: "2 workers proved".into(),
                seconds: 6.0,
            },
        ),
        on(Some("local"), EventKind::HostEnded { state: HostState::Released, detail: "x".into() }),
        on(
            None,
            EventKind::Ended {
                code: 0,
                state: "20260320-090000-aaaa is live".into(),
                release: None,
                previous: None,
                error: None,
                hint: None,
                seconds: 7.1,
            },
        ),
    ]
}

fn mask() -> Mask {
    Mask::new(["correct-horse".into()])
}

fn plain(events: &[Event], look: Look) -> String {
    let mut out = Vec::new();
    let mut plain = Plain::new(&mut out, look, mask());
    for event in events {
        plain.event(event).unwrap();
    }
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == expected, "{} differs; UPDATE_GOLDEN=1 rewrites it. Now:\n{text}", file.display());
}

#[test]
fn plain_tells_a_failed_run_of_three_hosts() {
    golden("plain.txt", &plain(&run(), Look::default()));
}

#[test]
fn verbose_also_shows_what_commands_print() {
    golden("plain-verbose.txt", &plain(&run(), Look { verbose: true, ..Look::default() }));
}

#[test]
fn quiet_shows_warnings_failures_and_the_end() {
    golden("plain-quiet.txt", &plain(&run(), Look { quiet: true, ..Look::default() }));
    assert_eq!(
        plain(&good_run(), Look { quiet: true, ..Look::default() }),
        "done: 20260320-090000-aaaa is live (7.1s)\n"
    );
}

#[test]
fn one_host_has_no_column() {
    golden("plain-one-host.txt", &plain(&good_run(), Look::default()));
}

#[test]
fn json_is_one_event_a_line() {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out, mask());
    for event in run() {
        json.event(&event).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].is_string()));
    golden("events.jsonl", &text);
}

#[test]
fn no_reporter_leaks_a_secret_or_a_control_character() {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out, mask());
    run().iter().for_each(|event| json.event(event).unwrap());
    let all = plain(&run(), Look { verbose: true, ..Look::default() }) + &String::from_utf8(out).unwrap();
    assert!(!all.contains("correct-horse") && all.contains("***"));
    assert!(all.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!all.contains("\\u001b"));
}

#[test]
fn colours_only_repeat_what_words_say() {
    let colored = plain(&run(), Look { color: true, ..Look::default() });
    let mut bare = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        bare += before;
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(bare + rest, plain(&run(), Look::default()));
    assert!(colored.contains('\u{1b}'));
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let env = |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
    assert!(colored(None, true, &env("TERM", "xterm")));
    assert!(!colored(None, false, &env("TERM", "xterm")));
    assert!(!colored(None, true, &env("TERM", "dumb")));
    assert!(!colored(None, true, &env("NO_COLOR", "1")));
    assert!(colored(None, true, &env("NO_COLOR", "")));
    assert!(colored(Some(true), false, &env("NO_COLOR", "1")));
    assert!(!colored(Some(false), true, &env("TERM", "xterm")));
}

/// Takes one line, then is closed.
struct Closing(usize);

impl Write for Closing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        if self.0 > 1 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(buf.len()) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_output_is_an_error_value_not_a_panic() {
    let mut json = Json::new(Closing(0), mask());
    let results: Vec<bool> = run().iter().map(|event| json.event(event).is_ok()).collect();
    assert!(results[0] && results[1..].iter().all(|ok| !ok));
}

#[tokio::test]
async fn the_task_ends_when_all_senders_are_gone() {
    let (events, from) = crate::event::Events::channel();
    let handle = spawn(Kind::Plain(Look { quiet: true, ..Look::default() }), mask(), from);
    events.of("web1").send(EventKind::StepStarted { step: "build" });
    drop(events);
    handle.await.unwrap();
}
