//! In which order a run's names and its waits for the disk reach the kernel, as strace tells: nothing gets a name before
//! its content is on the disk, and nothing that follows a name is done before that is there.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::bench::Bench;
use crate::support::apps::App;

super::in_every_shell! {
    names_wait_for_their_content_and_for_each_other
}

/// What the kernel was asked: a name (rename, link, removal) when it began, a wait for the disk when it was over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    call: String,
    /// Below the home; of a rename, from and to with `>` between.
    what: String,
}

const CALLS: &str = "trace=fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,symlink,symlinkat,unlink,unlinkat";

/// Runs a verb below strace and reads what it was seen to ask, with the session's token as `TOKEN`.
fn traced(bench: &Bench, verb: &str, code: i32) -> Vec<Asked> {
    let trace = bench.area.path().join("trace");
    let by = [
        "/usr/bin/strace",
        "-f",
        "-qq",
        "-y",
        "-s",
        "4096",
        "-e",
        CALLS,
        "-e",
        "signal=none",
        "-o",
        trace.to_str().unwrap(),
    ];
    let output = bench.run_by(&by, verb, &["--json"]).expect(code);
    let id = output.release();
    let text = fs::read_to_string(&trace).unwrap();
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut asked = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, start.to_owned());
            if !is_wait(start) {
                asked.extend(parse(&bench.site.dir, start));
            }
        } else if rest.starts_with("<... ") {
            let start = begun.remove(pid).unwrap_or_default();
            if is_wait(&start) && rest.ends_with("= 0") {
                asked.extend(parse(&bench.site.dir, &start));
            }
        } else if rest.ends_with("= 0") {
            asked.extend(parse(&bench.site.dir, rest));
        }
    }
    let token = asked.iter().find_map(|one| one.what.split("t.").nth(1)?.get(..16).map(str::to_owned)).unwrap();
    for one in &mut asked {
        one.what = one.what.replace(&token, "TOKEN").replace(&id, "NEW");
        if let Some(at) = one.what.find("TOKEN/record.") {
            let number = one.what[at + 13..].chars().take_while(char::is_ascii_digit).count();
            one.what.replace_range(at + 13..at + 13 + number, "N");
        }
    }
    asked
}

fn is_wait(call: &str) -> bool {
    ["fsync", "fdatasync", "sync"].iter().any(|name| call.starts_with(name))
}

/// A call and what of it lies in the home.
fn parse(home: &Path, text: &str) -> Option<Asked> {
    let (call, arguments) = text.split_once('(')?;
    let own = |path: &str| -> String {
        let path = path.strip_prefix(home.to_str().unwrap()).unwrap_or(path);
        path.trim_start_matches('/').trim_start_matches("./").to_owned()
    };
    let what = if is_wait(call) {
        // A descriptor, and in angle brackets what it is of.
        own(arguments.split_once('<')?.1.split_once('>')?.0)
    } else {
        let words: Vec<String> = arguments.split('"').skip(1).step_by(2).map(own).collect();
        words.join(">")
    };
    Some(Asked { call: call.to_owned(), what })
}

/// Where the first of these is at or after `from`; panics where there is none.
fn at(asked: &[Asked], from: usize, call: &str, what: &str) -> usize {
    let fits = |one: &Asked| {
        one.call.starts_with(call)
            && (one.what == what || what.strip_prefix('*').is_some_and(|end| one.what.ends_with(end)))
    };
    let found = asked[from..].iter().position(fits);
    let told: Vec<String> = asked.iter().enumerate().map(|(n, one)| format!("{n} {} {}", one.call, one.what)).collect();
    from + found.unwrap_or_else(|| panic!("no {call} {what} behind {from}:\n{}", told.join("\n")))
}

/// All of these, in this order.
fn in_order(asked: &[Asked], steps: &[(&str, &str)]) {
    let mut from = 0;
    for (call, what) in steps {
        from = at(asked, from, call, what) + 1;
    }
}

/// No state of a release is written over before the new one is on the disk.
fn records_are_waited_for(asked: &[Asked]) {
    let mut changes = 0;
    for (n, one) in asked.iter().enumerate().filter(|(_, one)| one.call.starts_with("rename")) {
        if let Some((from, _)) =
            one.what.split_once('>').filter(|(from, to)| to.contains("records/") && from.contains("record.N"))
        {
            let waited = asked[..n].iter().rposition(|one| one.call == "fsync" && one.what == from);
            assert!(waited.is_some(), "{one:?}\n{asked:?}");
            changes += 1;
        }
    }
    assert!(changes > 0, "{asked:?}");
}

fn names_wait_for_their_content_and_for_each_other(bench: &mut Bench) {
    let note = |word: &str| format!("echo {word} >>../../shared/noted");
    bench.config.set("service.command.start", note("start")).set("service.command.revert", note("revert"));
    bench.config.set("health.soak", "0s").set("release.keep", 1);
    bench.release(&App::site("v0"));
    bench.release(&App::site("v1"));
    bench.write(&App::site("v2"));
    let stage = [
        ("syncfs", ".shipit/t.TOKEN/stage"),
        ("rename", ".shipit/t.TOKEN/stage/manifest>.shipit/manifests/NEW"),
        ("rename", ".shipit/t.TOKEN/stage/tree>releases/NEW"),
    ];
    let switch = [
        ("syncfs", ".shipit/t.TOKEN"),
        ("symlink", "TOKEN NEW>.shipit/pending"),
        ("fsync", ".shipit"),
        ("rename", ".shipit/t.TOKEN/next/current>current"),
        ("fsync", ""),
    ];
    let commit = [
        ("rename", ".shipit/pending>.shipit/committed"),
        ("fsync", ".shipit"),
        ("rename", ".shipit/t.TOKEN/record.N>.shipit/records/NEW.json"),
        ("fsync", ".shipit/history.jsonl"),
        ("unlink", "*.shipit/committed"),
    ];
    let deployed = traced(bench, "deploy", 0);
    in_order(&deployed, &[&stage[..], &switch, &commit].concat());
    records_are_waited_for(&deployed);
    let rolled = traced(bench, "rollback", 0);
    in_order(&rolled, &[&switch[..], &commit].concat());
    records_are_waited_for(&rolled);
    bench.config.set("service.command.start", "false");
    bench.write(&App::site("v3"));
    let back = [
        ("rename", ".shipit/t.TOKEN/back/current>current"),
        ("fsync", ""),
        ("unlink", "*.shipit/pending"),
        ("fsync", ".shipit"),
    ];
    let taken_back = traced(bench, "deploy", 4);
    in_order(&taken_back, &[&stage[..], &switch[..4], &back].concat());
    records_are_waited_for(&taken_back);
}
