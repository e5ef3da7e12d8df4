//! A laptop that is shut in the middle of a run and opened again while the next one works: what it had begun is over by then,
//! and it goes on with nothing.

use std::fs;
use std::time::Duration;

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::process::{Signal, alive, descendants, eventually, signal};
use crate::support::shipit::Running;
use crate::support::site::Live;

super::in_every_shell! {
    in_a_hook_on_the_host
    in_a_hook_here
    in_an_upload
    after_the_switch
}

/// Longer than `rollout.silence` below, and than a session takes to end what works in its name.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// A release that is live, and a config that gives a silent client up soon.
fn live(bench: &mut Bench) -> String {
    bench.config.set("rollout.silence", "2s");
    bench.release(&App::site("v0"))
}

/// Shuts the lid: shipit and all that it has started here stand still. Those that do.
fn shut(bench: &Bench, run: &Running) -> Vec<u32> {
    let host = bench.lock().pid;
    let on_host = |pid: u32| pid == host || !in_project(bench, pid);
    // shipit first: from then on it starts nothing. What it had started may end by itself at any time.
    assert!(signal(run.pid(), Signal::Stop), "it was over before the lid was shut\n{}", run.so_far());
    let mut all = descendants(run.pid());
    all.retain(|pid| !on_host(*pid) && signal(*pid, Signal::Stop));
    all.push(run.pid());
    // One that was on its way to the host got there in between.
    let mine = |pid: &u32| !bench.stands_in(*pid) || !signal(*pid, Signal::Cont);
    all.retain(mine);
    all
}

/// Whether a process is one of the laptop's: they stand in the project, those of the host in the home or nowhere near.
fn in_project(bench: &Bench, pid: u32) -> bool {
    crate::support::process::cwd(pid).is_some_and(|cwd| cwd.starts_with(&bench.project)) && !bench.stands_in(pid)
}

/// Shuts the lid until the host has given the run up; runs another deploy up to its soak, opens the lid, and sees both
/// come to their ends. `code`: the first one's; `given_up`: what is done
/// before the other one.
fn another_in_between(bench: &mut Bench, first: Running, code: i32, given_up: impl FnOnce()) {
    let stopped = shut(bench, &first);
    let took = eventually("the host gives it up", GIVEN_UP, || match bench.lock() {
        lock if lock.text == "free" => Ok(()),
        lock => Err(lock.text),
    });
    assert!(took > Duration::from_millis(900), "not at once: {took:?}");
    eventually("nothing of it works on the host", GIVEN_UP, || {
        let left: Vec<u32> =
            crate::support::process::all().into_iter().filter(|pid| bench.stands_in(*pid) && alive(*pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    given_up();
    bench.config.unset("hooks");
    let (second, new) = bench.held(&App::site("of the second"));
    let begun = (bench.lock().text, bench.site.production());
    stopped.iter().for_each(|pid| assert!(signal(*pid, Signal::Cont)));
    let output = first.finish();
    assert_eq!(output.code, Some(code), "{output}");
    let now = (bench.lock().text, bench.site.production());
    assert_eq!(now, begun, "it went on beside the next one\n{output}");
    second.signal(Signal::Int);
    second.finish().expect(130);
    bench.soaks_no_more();
    assert_ne!(bench.site.current(), Some(new));
    let last = bench.release(&App::site("last"));
    bench.site.assert_invariant(&Live::New(last));
    bench.assert_nothing_runs();
}

/// A hook that waits to be let go on, and notes that it did.
fn hook(bench: &mut Bench, place: &str) -> std::path::PathBuf {
    let dir = bench.area.dir("noted");
    let line = format!("cd '{}' && : >begun && sleep 600; echo it went on >>more", dir.display());
    let undo = format!("echo undone >>'{}/more'", dir.display());
    let mut table = toml::Table::new();
    for (key, value) in [("run", &*line), ("on", place), ("undo", &undo)] {
        table.insert(key.into(), value.into());
    }
    if place == "here" {
        table.remove("undo");
    }
    bench.config.set("hooks.before_switch", vec![toml::Value::Table(table)]);
    dir
}

fn in_a_hook(bench: &mut Bench, place: &str) {
    live(bench);
    let noted = hook(bench, place);
    bench.write(&App::site("of the first"));
    let run = bench.start("deploy", &[]);
    crate::bench::appears(&noted.join("begun"), "the hook begins", Duration::from_secs(60), &run);
    another_in_between(bench, run, 1, || ());
    assert_eq!(fs::read_to_string(noted.join("more")).unwrap_or_default(), "", "{place}");
}

fn in_a_hook_on_the_host(bench: &mut Bench) {
    in_a_hook(bench, "all");
}

fn in_a_hook_here(bench: &mut Bench) {
    in_a_hook(bench, "here");
}

fn in_an_upload(bench: &mut Bench) {
    live(bench);
    let unpack = bench.hold_tool("tar", "-xof");
    // More than all buffers on the way.
    bench.write(&App::site("of the first").ballast(4_000_000));
    let run = bench.start("deploy", &[]);
    unpack.wait(&run);
    another_in_between(bench, run, 1, || unpack.let_go());
}

fn after_the_switch(bench: &mut Bench) {
    live(bench);
    let (run, _) = bench.held(&App::site("of the first"));
    another_in_between(bench, run, 4, || ());
}
