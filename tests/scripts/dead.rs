//! One end dies, or both: who is left puts right what the dead one left, in the direction that the journal says.

use std::fs;
use std::time::{Duration, Instant};

use crate::bench::{Bench, quiet};
use crate::support::apps::App;
use crate::support::process::{self, Signal, eventually, signal};
use crate::support::shipit::Output;
use crate::support::site::Live;

super::in_every_shell! {
    the_client_is_killed_while_held
    the_client_is_killed_while_the_first_release_is_held
    what_does_not_heed_the_first_signal_is_ended_by_the_second
    the_session_is_killed_and_the_client_mends_it
    both_are_killed_and_the_next_run_reverts
    both_are_killed_after_the_commit_and_the_next_run_finishes
    the_whole_session_is_asked_to_end
    the_whole_session_is_asked_to_end_in_the_switch
    a_journal_without_notes_is_left_to_a_human
}

/// How long the link may take to go back once the client is gone.
const LINK: Duration = Duration::from_secs(2);

/// How long the rest may take: a job that misses the first signal, because it has only just begun, is ended two seconds
/// later by the second; then the notes and the lock go.
const REST: Duration = Duration::from_secs(6);

#[track_caller]
fn is_back(bench: &Bench, old: Option<&str>, since: Instant) {
    eventually("current is the old one", LINK.saturating_sub(since.elapsed()), || {
        let current = bench.site.current();
        if current.as_deref() == old { Ok(()) } else { Err(format!("{current:?}, not {old:?}")) }
    });
}

#[track_caller]
fn next_deploy_works(bench: &mut Bench) {
    bench.assert_nothing_runs();
    bench.soaks_no_more();
    bench.release(&App::site("next"));
}

fn the_client_is_killed_while_held(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let (run, new) = bench.held(&App::site("v2"));
    let said = run.kill();
    is_back(bench, Some(&old), said.ended);
    bench.site.settles_to(&Live::Old(old), REST);
    assert_eq!(bench.state(&new), "unproven");
    next_deploy_works(bench);
}

fn the_client_is_killed_while_the_first_release_is_held(bench: &mut Bench) {
    let (run, _) = bench.held(&App::site("v1"));
    let said = run.kill();
    is_back(bench, None, said.ended);
    bench.site.settles_to(&Live::Nothing, REST);
    next_deploy_works(bench);
}

fn what_does_not_heed_the_first_signal_is_ended_by_the_second(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    // The soak's watch sleeps for five minutes, deaf. Without `exec` a second process would be there to heed.
    bench.shadow("sleep", "[ \"$1\" != 300 ] || trap '' HUP INT TERM\nexec REAL \"$@\"");
    let (run, _) = bench.held(&App::site("v2"));
    // The tool itself, no longer the script in its place.
    let sleeps = |pid: &u32| {
        let line = process::command_line(*pid);
        line.starts_with("/usr/bin/") && line.ends_with("sleep 300 ") && bench.stands_in(*pid)
    };
    eventually("the watch sleeps", Duration::from_secs(5), || {
        process::all().iter().any(sleeps).then_some(()).ok_or_else(|| "not yet".to_owned())
    });
    // The client lives, so that only the session is there to end it.
    ask_to_end(bench, "TERM");
    let asked = Instant::now();
    is_back(bench, Some(&old), asked);
    run.finish().expect(4);
    bench.site.settles_to(&Live::Old(old), REST.saturating_sub(asked.elapsed()));
    next_deploy_works(bench);
}

fn the_session_is_killed_and_the_client_mends_it(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let (run, new) = bench.held(&App::site("v2"));
    assert!(signal(bench.lock().pid, Signal::Kill));
    run.finish().expect(4);
    bench.site.assert_invariant(&Live::Old(old));
    assert_eq!(bench.state(&new), "unproven");
    next_deploy_works(bench);
}

fn both_are_killed_and_the_next_run_reverts(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let (run, new) = bench.held(&App::site("v2"));
    bench.kill_both(run);
    assert_eq!(bench.site.current().as_deref(), Some(&*new), "nobody is left who could put it back");
    bench.run("status", &[]).says(&[&new, "recover"]);
    bench.run("recover", &[]).expect(0).says(&[&new]);
    bench.site.assert_invariant(&Live::Old(old.clone()));
    assert_eq!(bench.state(&new), "unproven");

    // A deploy does the same in passing, also where the lock was taken away by hand.
    let (run, lost) = bench.held(&App::site("v3"));
    bench.kill_both(run);
    bench.plant("free");
    next_deploy_works(bench);
    let last = bench.site.current().unwrap();
    assert_eq!(bench.site.record(&last)["previous"], *old);
    assert_eq!(bench.state(&lost), "unproven");
}

fn both_are_killed_after_the_commit_and_the_next_run_finishes(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let (run, new) = bench.held(&App::site("v2"));
    bench.kill_both(run);
    // What a session that dies right after the commit's rename leaves, before its record.
    let state = bench.site.dir.join(".shipit");
    fs::rename(state.join("pending"), state.join("committed")).unwrap();
    assert_eq!(bench.state(&new), "unproven");
    bench.run("recover", &[]).expect(0).says(&[&new]);
    bench.site.assert_invariant(&Live::New(new.clone()));
    assert_eq!(bench.state(&new), "good");
    assert_eq!(bench.site.record(&new)["previous"], *old);
    let last = bench.history().pop().unwrap();
    assert_eq!((&last["verb"], &last["release"]), (&"deploy".into(), &(*new).into()));
    next_deploy_works(bench);
    let last = bench.site.current().unwrap();
    assert_eq!(bench.site.record(&last)["previous"], *new);
}

/// Sends a signal to the whole group of the session.
fn ask_to_end(bench: &Bench, name: &str) {
    let group = format!("-{}", bench.lock().pid);
    let sent = quiet("sh").args(["-c", "kill -s \"$1\" -- \"$2\"", "kill", name, &group]).status().unwrap();
    assert!(sent.success(), "{group}");
}

fn the_whole_session_is_asked_to_end_in_the_switch(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    // The switch takes a while, and is in the middle of it when the signal comes.
    let switch = bench.hold_tool("mv", "/next/current");
    bench.write(&App::site("v2"));
    let run = bench.start("deploy", &[]);
    switch.wait(&run);
    ask_to_end(bench, "TERM");
    // The job is in a group of its own: it comes to its end, which the session has to hear of.
    switch.let_go();
    let output = run.finish().expect(4);
    blames_no_release(bench, &output, "activate", &output.release());
    bench.site.settles_to(&Live::Old(old), REST);
    next_deploy_works(bench);
}

/// A session that is ended says nothing about the release: neither its step nor its record may.
#[track_caller]
fn blames_no_release(bench: &Bench, output: &Output, step: &str, id: &str) {
    let failed = output.events().into_iter().find(|event| event.is("step_failed", step));
    let failed = failed.unwrap_or_else(|| panic!("{step} did not fail\n{output}"));
    assert!(failed.text("message").contains("the connection was lost"), "{output}");
    assert_eq!(bench.state(id), "unproven", "{output}");
}

fn the_whole_session_is_asked_to_end(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    // What logind and a container's init do before they kill; the client hears nothing of it but the answer.
    for name in ["TERM", "HUP"] {
        let (run, new) = bench.held(&App::site("v2"));
        ask_to_end(bench, name);
        is_back(bench, Some(&old), Instant::now());
        let output = run.finish();
        assert_eq!(output.code, Some(4), "{name}\n{output}");
        blames_no_release(bench, &output, "verify", &new);
        bench.site.settles_to(&Live::Old(old.clone()), REST);
    }
    next_deploy_works(bench);
}

fn a_journal_without_notes_is_left_to_a_human(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let pending = bench.site.dir.join(".shipit/pending");
    std::os::unix::fs::symlink(format!("0123456789abcdef {old}"), &pending).unwrap();
    let before = bench.site.production();
    bench.deploy(&App::site("v2"), &[]).expect(5).says(&["pending"]);
    assert_eq!(bench.site.production(), before, "nothing is guessed");
    assert_eq!(bench.lock().text, "free");
    fs::remove_file(&pending).unwrap();
    next_deploy_works(bench);
}
