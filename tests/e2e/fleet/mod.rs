//! Five machines: a step fails on one of them, the link to one dies at the commit, one is new among them, they go in
//! batches and two at a time. After each, every host is looked at, and what was said is held against what is so.

mod five;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::time::Instant;

use five::{Fleet, Lives, with_pm2};

use super::support::process::eventually;
use super::support::shipit::{Output, Running};
use super::support::{STAGE, ports};

/// What is wrong on one host.
enum How {
    /// This word in its shared file: its server, its start line and the hooks read it.
    Word,
    /// Nobody listens at its address.
    Nobody,
    /// A shared file that the release links is gone.
    NoFile,
    /// This tool of its fails where its words match the pattern.
    Tool(&'static str, &'static str),
    /// The connection is cut when `mv` is about to do this (before), or has done it (after); then `mv` goes on.
    Cut(&'static str, When),
    /// Its session is killed when `mv` is about to do this.
    Killed(&'static str),
}

#[derive(Clone, Copy, PartialEq)]
enum When {
    Before,
    After,
}

/// Who has the new release in the end.
#[derive(Clone, Copy, PartialEq)]
enum New {
    Nobody,
    Others,
    All,
}

/// A step, where it fails and how, the exit code, who has the new release, and a few words that must be said.
type Row = (&'static str, usize, How, i32, New, &'static str);

const COMMIT: &str = "*.shipit/committed";
const TRASH: &str = "*.shipit/trash/*";

fn rows() -> Vec<Row> {
    vec![
        ("connect", 2, How::Nobody, 1, New::Nobody, "Connection refused"),
        ("connect", 4, How::Tool("mkfifo", "*"), 1, New::Nobody, "the session's notes can't be written"),
        ("preflight", 3, How::NoFile, 1, New::Nobody, "broken"),
        ("receive", 1, How::Tool("tar", "*"), 1, New::Nobody, "the upload was cut: tar is broken"),
        ("before_switch", 3, How::Word, 1, New::Nobody, "it ended with 7"),
        ("boot_test", 0, How::Word, 1, New::Nobody, "it ended with exit code 1"),
        ("activate", 4, How::Word, 4, New::Nobody, "the start line ended with 9"),
        ("verify", 1, How::Word, 4, New::Nobody, "answers 500"),
        ("commit", 2, How::Tool("mv", COMMIT), 5, New::Others, "the commit could not be written"),
        ("commit", 3, How::Cut(COMMIT, When::After), 0, New::All, "asking again over a new one"),
        ("commit", 0, How::Cut(COMMIT, When::Before), 0, New::All, "asking again over a new one"),
        ("commit", 1, How::Killed(COMMIT), 5, New::Others, "asking again over a new one"),
        ("after_switch", 0, How::Word, 6, New::All, "it ended with 7"),
        ("prune", 2, How::Tool("mv", TRASH), 0, New::All, "cleanup stopped half-way"),
        ("prune", 4, How::Cut(TRASH, When::Before), 0, New::All, "shipit cleanup does it alone"),
    ]
}

#[test]
fn whatever_fails_on_one_of_five_every_host_is_where_it_was_said_to_be() {
    let mut fleet = Fleet::new();
    let began = Instant::now();
    let mut times = String::new();
    let mut timed = |what: &str, since: Instant| times += &format!("{:6.1} s  {what}\n", since.elapsed().as_secs_f64());
    fleet.release();
    hooks(&mut fleet, true);
    fleet.release();
    for (number, row) in rows().iter().enumerate() {
        let since = Instant::now();
        // Hooks with something to undo keep the sessions open behind the way back; those without do not.
        hooks(&mut fleet, number % 2 == 0);
        play(&mut fleet, row);
        timed(&format!("{} on {}", row.0, fleet.name(row.1)), since);
    }
    for (what, part) in [
        ("rollback", rollback as fn(&mut Fleet)),
        ("one new to the fleet", newcomer),
        ("batches", batches),
        ("two at a time", two_at_a_time),
    ] {
        let since = Instant::now();
        hooks(&mut fleet, true);
        part(&mut fleet);
        timed(what, since);
    }
    println!("{times}{:6.1} s in all", began.elapsed().as_secs_f64());
}

/// Hooks that fail on a host whose word says so. Those with something to undo keep in `shared/schema` which release it
/// is for.
fn hooks(fleet: &mut Fleet, undo: bool) {
    fleet.undoes = undo;
    let common = fleet.common.display();
    let broken = |step: &str| format!("sh {common}/meter {step}; [ \"$(cat broken)\" != {step} ] || exit 7");
    let before = format!("echo \"$SHIPIT_RELEASE\" >../../shared/schema; {}", broken("before_switch"));
    let mut hook = toml::Table::new();
    hook.insert("run".into(), before.into());
    if undo {
        hook.insert("undo".into(), "echo \"$SHIPIT_PREVIOUS\" >../../shared/schema".into());
    }
    let after = broken("after_switch");
    fleet.bench.config.set("hooks.before_switch", vec![hook]).set("hooks.after_switch", vec![after]);
}

fn play(fleet: &mut Fleet, row: &Row) {
    let (step, at, how, code, new, words) = row;
    let what = format!("{step} on {}", fleet.name(*at));
    println!("-- {what}");
    let config = fleet.bench.config.clone();
    let old = fleet.lives();
    spoil(fleet, step, *at, how);
    let run = fleet.start();
    if let How::Cut(..) = how {
        cut(fleet, *at, &run);
    }
    let output = run.finish().expect(*code).says(&[words]);
    let release = output.events().pop().unwrap().text("release").to_owned();
    fleet.bench.config = config;
    fleet.mend();
    let now: Lives = (0..5)
        .map(|n| match new {
            New::Nobody => old[n].clone(),
            New::Others if n == *at => old[n].clone(),
            _ => Some(release.clone()),
        })
        .collect();
    fleet.has(&now);
    fleet.said(&output, &old, &now);
    blames(fleet, &output, step, *at, *code);
    // What the hooks did is undone where nobody has the new release, and kept where anybody has.
    if fleet.undoes {
        for (host, live) in fleet.bench.hosts.iter().zip(&now) {
            let schema = fs::read_to_string(host.site.dir.join("shared/schema")).unwrap();
            let wanted = if *new == New::Others { Some(&release) } else { live.as_ref() };
            assert_eq!(schema.trim(), wanted.map_or("", String::as_str), "{what}: schema on {}", host.name);
        }
    }
    match how {
        How::Killed(_) => bring_together(fleet, &output, "or back: ", &old),
        _ if *new == New::Others => bring_together(fleet, &output, "forward: ", &vec![Some(release); 5]),
        _ => {}
    }
}

/// Makes one host fail at a step.
fn spoil(fleet: &mut Fleet, step: &str, at: usize, how: &How) {
    let host = &fleet.bench.hosts[at];
    match how {
        How::Word => {
            host.share("broken", step);
            if step == "boot_test" {
                with_pm2(fleet);
            } else if step == "verify" {
                fleet.bench.config.set("health.within", "3s");
            }
        }
        How::Nobody => {
            let mut addresses: Vec<toml::Table> = fleet.bench.hosts.iter().map(|host| host.address()).collect();
            let nobody = format!("{}@127.0.0.1:{}", host.account.name, ports::free());
            addresses[at].insert("address".into(), nobody.into());
            fleet.bench.config.set(&format!("stages.{STAGE}.hosts"), addresses);
        }
        How::NoFile => fs::remove_file(host.site.dir.join("shared/broken")).unwrap(),
        How::Tool(tool, pattern) => {
            let fails = format!("echo '{tool} is broken' >&2; exit 2");
            fleet.tool(at, tool, &matching(tool, pattern, &fails));
        }
        How::Killed(pattern) => fleet.tool(at, "mv", &matching("mv", pattern, "kill -KILL $PPID; exit 2")),
        How::Cut(pattern, when) => {
            let fifo = host.site.dir.join("shared/go");
            if !fifo.exists() {
                let made = std::process::Command::new("mkfifo").args(["-m", "666"]).arg(&fifo).status().unwrap();
                assert!(made.success());
            }
            let (wait, mv) = ("echo >shared/reached; read -r go <shared/go", "/bin/mv \"$@\" || exit");
            let then = match when {
                When::Before => format!("{wait}; {mv}; exit"),
                When::After => format!("{mv}; {wait}; exit"),
            };
            fleet.tool(at, "mv", &matching("mv", pattern, &then));
        }
    }
}

/// A tool that does `then` where its words match.
fn matching(tool: &str, pattern: &str, then: &str) -> String {
    format!("case \"$*\" in\n{pattern}) {then} ;;\nesac\nexec /bin/{tool} \"$@\"\n")
}

/// Cuts the link to a host where its `mv` waits, and lets it go on: before its work once the client asks again, so that
/// the first answer it gets is that the old session is still there.
fn cut(fleet: &Fleet, at: usize, run: &Running) {
    let host = &fleet.bench.hosts[at];
    let shared = host.site.dir.join("shared");
    eventually("mv is reached", std::time::Duration::from_secs(60), || match shared.join("reached").exists() {
        true => Ok(()),
        false => Err(run.so_far()),
    });
    fs::remove_file(shared.join("reached")).unwrap();
    host.proxy().cut();
    run.wait_for("the lost link", |event| event.kind() == "warning" && event.text("host") == host.name);
    fs::File::options().read(true).write(true).open(shared.join("go")).unwrap().write_all(b"go\n").unwrap();
}

/// What failed is told of the host and the step where it did.
#[track_caller]
fn blames(fleet: &Fleet, output: &Output, step: &str, at: usize, code: i32) {
    let name = fleet.name(at);
    let events = output.events();
    if code == 0 {
        let warned = events.iter().any(|event| event.kind() == "warning" && event.text("host") == name);
        return assert!(warned, "no warning of {name}\n{output}");
    }
    let failed: Vec<_> = events.iter().filter(|event| event.kind() == "step_failed").collect();
    assert!(failed.iter().all(|event| event.text("step") == step), "{output}");
    assert!(failed.iter().all(|event| ["", name].contains(&event.text("host"))), "{output}");
    let error = events.last().unwrap().text("error").to_owned();
    assert!(!failed.is_empty() && error.contains(&format!("{name}: ")), "{name} is not named: {error}\n{output}");
}

/// Does what is said to bring the hosts together again.
fn bring_together(fleet: &mut Fleet, output: &Output, way: &str, lives: &Lives) {
    let events = output.events();
    let hint = events.last().unwrap().text("hint").to_owned();
    let line = hint.lines().find_map(|line| line.strip_prefix(way)).unwrap_or_else(|| panic!("no {way}\n{output}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], "shipit", "{hint}");
    fleet.bench.write_config();
    fleet.bench.shipit.run(&words[1..]).expect(0);
    fleet.has(lives);
}

/// An earlier release is damaged on one host; then it does not start on one.
fn rollback(fleet: &mut Fleet) {
    fleet.bench.config.set("release.keep", 2);
    let (first, second) = (fleet.release(), fleet.release());
    let (old, back) = (vec![Some(second); 5], vec![Some(first.clone()); 5]);
    let file = fleet.bench.hosts[3].site.dir.join("releases").join(&first).join("version");
    let content = fs::read(&file).unwrap();
    fs::write(&file, "damaged").unwrap();
    let output = fleet.run(&["rollback", STAGE, "--json"]).expect(1).says(&["is not what was released: version"]);
    fs::write(&file, content).unwrap();
    fleet.has(&old);
    fleet.said(&output, &old, &old);
    blames(fleet, &output, "check", 3, 1);

    fleet.bench.hosts[2].share("broken", "activate");
    let output = fleet.run(&["rollback", STAGE, "--json"]).expect(4).says(&["the start line ended with 9"]);
    fleet.mend();
    fleet.has(&old);
    fleet.said(&output, &old, &old);
    blames(fleet, &output, "activate", 2, 4);

    let output = fleet.run(&["rollback", STAGE, "--json"]).expect(0);
    fleet.has(&back);
    fleet.said(&output, &old, &back);
    fleet.bench.config.set("release.keep", 1);
}

/// One machine has nothing yet: what fails on it, or on another, leaves nothing there.
fn newcomer(fleet: &mut Fleet) {
    for row in [
        ("activate", 4, How::Word, 4, New::Nobody, "the start line ended with 9"),
        ("verify", 1, How::Word, 4, New::Nobody, "answers 500"),
        ("commit", 4, How::Tool("mv", COMMIT), 5, New::Others, "the commit could not be written"),
        ("commit", 2, How::Tool("mv", COMMIT), 5, New::Others, "e had nothing before"),
    ] {
        fleet.empty(4);
        play(fleet, &row);
    }
}

/// A failure in the second of three batches takes back the first; the third was never begun.
fn batches(fleet: &mut Fleet) {
    let old = fleet.lives();
    fleet.bench.config.set("rollout.batch", 2).set("rollout.pause", "2s").set("health.within", "3s");
    fleet.bench.hosts[3].share("broken", "verify");
    let output = fleet.start().finish().expect(4).says(&["answers 500"]);
    fleet.mend();
    fleet.has(&old);
    fleet.said(&output, &old, &old);
    blames(fleet, &output, "verify", 3, 4);
    let release = output.release();
    let mut began = fleet.started(&release);
    assert_eq!(began.len(), 4, "{began:?}");
    began[..2].sort();
    began[2..].sort();
    assert_eq!(began, ["a", "b", "c", "d"], "e was never begun");
    let at =
        |n: usize| -> u64 { fleet.log().iter().filter(|line| line[0] == "start").nth(n).unwrap()[3].parse().unwrap() };
    assert!(at(2) - at(1) >= 2000, "{} ms between the batches", at(2) - at(1));
    fleet.bench.config.unset("rollout.batch").unset("rollout.pause").set("health.within", "30s");
}

/// Never more hosts at work than `parallel` says, at any step, as the hosts count them themselves.
fn two_at_a_time(fleet: &mut Fleet) {
    fs::write(fleet.common.join("metering"), "").unwrap();
    let counts = |fleet: &mut Fleet, parallel: i64| {
        let _ = fs::remove_file(fleet.common.join("counts"));
        for host in 0..5 {
            let meter = |step: &str| format!("sh {}/meter {step}; ", fleet.common.display());
            fleet.tool(host, "tar", &matching("tar", "*", &(meter("receive") + "exec /bin/tar \"$@\"")));
            fleet.tool(host, "mv", &matching("mv", TRASH, &(meter("prune") + "exec /bin/mv \"$@\"")));
        }
        fleet.bench.config.set("rollout.parallel", parallel);
        fleet.release();
        let mut most = BTreeMap::new();
        for line in fs::read_to_string(fleet.common.join("counts")).unwrap().lines() {
            let (step, count) = line.split_once(' ').unwrap();
            let (times, most): &mut (usize, usize) = most.entry(step.to_owned()).or_default();
            *times += 1;
            *most = count.parse::<usize>().unwrap().max(*most);
        }
        most
    };
    let two = counts(fleet, 2);
    let steps = ["activate", "after_switch", "before_switch", "prune", "receive"];
    assert!(two.keys().eq(steps) && two.values().all(|(times, _)| *times >= 5), "{two:?}");
    assert!(two.values().all(|(_, most)| *most <= 2), "{two:?}");
    // Who counts like this sees more where there may be more.
    let five = counts(fleet, 5);
    assert!(five.values().any(|(_, most)| *most > 2), "{five:?}");
    fleet.mend();
}
