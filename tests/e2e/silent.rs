//! The link goes dead without a word, the client stops, or it is asked to stop: the host takes itself back after
//! `rollout.silence`, and the exit code says what is known.

use std::time::{Duration, Instant};

use super::support::process::{Signal, eventually};
use super::support::{App, Bench, Live, Make};

/// `rollout.silence` of the bench's config, and what may come on top.
const SILENCE: Duration = Duration::from_secs(6 + 2);
/// The service's bound, as in `killed.rs`.
const SERVICE: Duration = Duration::from_secs(3 * (2 + 4 + 4) + 30);

fn live() -> (Bench, String) {
    let bench = Make::pm2(2).proxied().bench();
    let id = bench.release(&App::server("v0"));
    (bench, id)
}

fn link_goes_back(bench: &Bench, old: &str) {
    eventually("current is the old one", SILENCE, || match bench.site().current() {
        Some(id) if id == old => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn the_link_dies_in(step: &str, code: i32) {
    let (bench, old) = live();
    let proxy = bench.host().proxy();
    let run = bench.start(&App::server("v1"), &[]);
    run.wait_for(step, |event| event.is("step_started", step));
    proxy.freeze();
    // Before the switch there is nothing to put back; the lock tells when the host has given up.
    link_goes_back(&bench, &old);
    bench.host().settles_to(&Live::Old(old), 2, SILENCE + SERVICE);
    let output = run.finish();
    assert_eq!(output.code, Some(code), "frozen in {step}\n{output}");
    if code == 5 {
        let newest = bench.site().releases().pop().unwrap();
        assert_eq!(bench.state(&newest), "unproven", "a link that dies says nothing of the release");
    }
    proxy.cut();
    proxy.thaw();
    let new = bench.release(&App::server("v2"));
    bench.host().assert_live(&Live::New(new), 2);
}

#[test]
fn a_link_that_dies_for_good_before_the_switch() {
    the_link_dies_in("boot_test", 1);
}

#[test]
fn a_link_that_dies_for_good_in_the_switch() {
    the_link_dies_in("activate", 5);
}

#[test]
fn a_link_that_dies_for_good_after_the_switch() {
    the_link_dies_in("verify", 5);
}

#[test]
fn a_link_that_comes_back() {
    let (bench, old) = live();
    let proxy = bench.host().proxy();
    let run = bench.start(&App::server("v1"), &[]);
    run.wait_for("verify", |event| event.is("step_started", "verify"));
    proxy.freeze();
    link_goes_back(&bench, &old);
    proxy.thaw();
    let output = run.finish();
    assert_eq!(output.code, Some(4), "the host has told what it did\n{output}");
    bench.host().settles_to(&Live::Old(old), 2, SERVICE);
}

#[test]
fn a_link_that_is_cut() {
    let (bench, old) = live();
    for (step, code) in [("boot_test", 1), ("activate", 4), ("verify", 4)] {
        let run = bench.start(&App::server("v1"), &[]);
        run.wait_for(step, |event| event.is("step_started", step));
        bench.host().proxy().cut();
        let output = run.finish();
        assert_eq!(output.code, Some(code), "cut in {step}: asked again over a new connection\n{output}");
        bench.host().settles_to(&Live::Old(old.clone()), 2, SERVICE);
    }
}

#[test]
fn a_short_pause_of_the_link_is_no_failure() {
    let (bench, _) = live();
    let run = bench.start(&App::server("v1"), &[]);
    run.wait_for("verify", |event| event.is("step_started", "verify"));
    bench.host().proxy().freeze();
    std::thread::sleep(Duration::from_secs(2));
    bench.host().proxy().thaw();
    let id = run.finish().expect(0).release();
    bench.host().assert_live(&Live::New(id), 2);
}

/// A ping waits behind what was sent before it, and buffers on the way take megabytes at once.
#[test]
fn an_upload_over_a_slow_link_is_no_silence() {
    let mut bench = Make::files().proxied().bench();
    bench.config.set("rollout.silence", "4s");
    bench.release(&App::site("v1"));
    bench.host().proxy().limit(250_000);
    let began = Instant::now();
    let id = bench.release(&App::site("v2").ballast(2_000_000));
    assert!(began.elapsed() > Duration::from_secs(7), "the link was slow");
    bench.site().assert_invariant(&Live::New(id));
}

#[test]
fn a_client_that_stops_and_wakes_up() {
    let (bench, old) = live();
    let run = bench.start(&App::server("v1"), &[]);
    run.wait_for("verify", |event| event.is("step_started", "verify"));
    run.signal(Signal::Stop);
    link_goes_back(&bench, &old);
    bench.host().settles_to(&Live::Old(old), 2, SERVICE);
    run.signal(Signal::Cont);
    run.finish().expect(4);
}

#[test]
fn a_cancelled_run_answers_when_the_old_release_is_back() {
    let (bench, old) = live();
    let moments = [
        ("build", Signal::Int),
        ("receive", Signal::Term),
        ("boot_test", Signal::Hup),
        ("activate", Signal::Int),
        ("verify", Signal::Term),
    ];
    for (step, signal) in moments {
        let run = bench.start(&App::server("v1"), &[]);
        run.wait_for(step, |event| event.is("step_started", step) || event.is("step_finished", step));
        run.signal(signal);
        let output = run.finish();
        assert_eq!(output.code, Some(130), "{signal:?} in {step}\n{output}");
        bench.host().assert_live(&Live::Old(old.clone()), 2);
    }
}

#[test]
fn a_second_cancel_stops_listening() {
    let (bench, old) = live();
    let run = bench.start(&App::server("v1"), &[]);
    run.wait_for("verify", |event| event.is("step_started", "verify"));
    run.signal(Signal::Int);
    // Taking two workers back takes longer than this; both signals must not melt into one.
    std::thread::sleep(Duration::from_millis(100));
    run.signal(Signal::Int);
    let asked = Instant::now();
    run.finish().expect(5);
    assert!(asked.elapsed() < Duration::from_secs(2), "it stops at once");
    bench.host().settles_to(&Live::Old(old), 2, SERVICE);
}
