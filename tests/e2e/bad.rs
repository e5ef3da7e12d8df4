//! Releases that must not go live. A boot test finds most of them before anything is touched; what it can't find,
//! and everything when it is switched off, is found after the switch and taken back.

use std::time::Duration;

use super::support::pm2::Worker;
use super::support::process::eventually;
use super::support::{APP, App, Bad, Bench, Live, Make};

/// A cluster of two with a good release live, and that release.
fn live(soak: &str) -> (Bench, String) {
    let mut bench = Make::pm2(2).bench();
    bench.config.set("health.soak", soak);
    let id = bench.release(&App::server("good"));
    bench.host().assert_live(&Live::New(id.clone()), 2);
    // Less than the slowest of what follows takes to listen.
    bench.config.set("health.within", "4s");
    (bench, id)
}

/// Who the workers are: nothing of this may change where nothing may be touched.
fn identities(workers: &[Worker]) -> Vec<(u64, u32, u64)> {
    workers.iter().map(|worker| (worker.id, worker.pid, worker.restarts)).collect()
}

/// A release that was received is marked and says why; one that never left this machine has no record.
#[track_caller]
fn assert_marked_failed(bench: &Bench, live: &str) {
    let newest = bench.site().releases().pop().unwrap();
    if newest != live {
        let record = bench.site().record(&newest);
        assert_eq!(record["state"], "failed", "{record}");
        assert!(record["why"].as_str().is_some_and(|why| !why.is_empty()), "{record}");
    }
}

fn boot_test_finds(bads: &[Bad], soak: &str) {
    let (bench, good) = live(soak);
    let host = bench.host();
    for bad in bads {
        let before = identities(&host.workers());
        let output = bench.deploy(&App::bad("bad", *bad), &[]);
        assert_eq!(output.code, Some(1), "{bad:?}\n{output}");
        host.assert_live(&Live::Old(good.clone()), 2);
        assert_eq!(identities(&host.workers()), before, "{bad:?}: nothing is touched");
        assert_marked_failed(&bench, &good);
    }
}

#[test]
fn a_boot_test_finds_what_ends_at_once() {
    boot_test_finds(&[Bad::ExitsAtOnce, Bad::Throws, Bad::Syntax, Bad::NoServer], "1s");
}

#[test]
fn a_boot_test_finds_what_never_answers_well() {
    let rest = Bad::AT_BOOT.iter().skip(4).copied().collect::<Vec<_>>();
    assert_eq!(rest.len(), 5);
    boot_test_finds(&rest, "1s");
}

#[test]
fn a_boot_test_finds_what_ends_within_the_soak() {
    boot_test_finds(&[Bad::ExitsSoon, Bad::ExitsLater], "4s");
}

fn taken_back(bads: &[Bad], flags: &[&str]) {
    // Longer than the slowest of the crashes.
    let (bench, good) = live("4s");
    taken_back_from(&bench, &good, bads, flags);
}

fn taken_back_from(bench: &Bench, good: &str, bads: &[Bad], flags: &[&str]) {
    let host = bench.host();
    for bad in bads {
        let output = bench.deploy(&App::bad("bad", *bad), flags);
        // A release without its own server never has to leave this machine.
        let early = *bad == Bad::NoServer;
        assert!(output.code == Some(4) || (early && output.code == Some(1)), "{bad:?}\n{output}");
        host.assert_live(&Live::Old(good.to_owned()), 2);
        assert_marked_failed(bench, good);
    }
    // What failed is never a target, by default or by name.
    bench.run("rollback", &[]).expect(1);
    let newest = bench.site().releases().pop().unwrap();
    if newest != good {
        bench.run("rollback", &[&newest]).expect(1).says(&["failed"]);
    }
    host.assert_live(&Live::Old(good.to_owned()), 2);
}

#[test]
fn without_a_boot_test_what_ends_at_once_is_taken_back() {
    taken_back(&[Bad::ExitsAtOnce, Bad::Throws, Bad::Syntax, Bad::NoServer], &["--no-boot-test"]);
}

#[test]
fn without_a_boot_test_what_never_listens_is_taken_back() {
    taken_back(&[Bad::ForeignAddress, Bad::NeverListens], &["--no-boot-test"]);
}

#[test]
fn without_a_boot_test_what_listens_too_late_is_taken_back() {
    let (mut bench, good) = live("1s");
    // Together less than the five seconds that it takes.
    bench.config.set("service.pm2.listen_timeout", "1s").set("health.within", "3s");
    taken_back_from(&bench, &good, &[Bad::ListensLate], &["--no-boot-test"]);
}

#[test]
fn without_a_boot_test_what_never_answers_well_is_taken_back() {
    taken_back(&[Bad::Rejects, Bad::Unhealthy], &["--no-boot-test"]);
}

#[test]
fn what_fails_in_the_cluster_alone_is_taken_back() {
    taken_back(&[Bad::SecondExits], &[]);
}

#[test]
fn without_a_boot_test_crashes_that_hide_behind_good_answers_are_taken_back() {
    taken_back(&[Bad::ExitsSoon, Bad::ExitsLater, Bad::SecondExits], &["--no-boot-test"]);
}

#[test]
fn a_slow_start_is_no_failure_where_it_is_allowed() {
    let (mut bench, _) = live("1s");
    bench.config.set("health.within", "15s").set("service.pm2.listen_timeout", "10s");
    let id = bench.release(&App::bad("slow", Bad::ListensLate));
    bench.host().assert_live(&Live::New(id), 2);
}

#[test]
fn a_bad_first_release_leaves_nothing_running() {
    let bench = Make::pm2(2).bench();
    let host = bench.host();
    bench.deploy(&App::bad("bad", Bad::ExitsAtOnce), &[]).expect(1);
    host.assert_live(&Live::Nothing, 0);
    bench.deploy(&App::bad("bad", Bad::ExitsAtOnce), &["--no-boot-test"]).expect(4);
    host.assert_live(&Live::Nothing, 0);
    bench.deploy(&App::bad("bad", Bad::SecondExits), &[]).expect(4);
    host.assert_live(&Live::Nothing, 0);
    let id = bench.release(&App::server("good"));
    host.assert_live(&Live::New(id), 2);
}

/// A live release that is well until the shared file `mode` says otherwise.
fn driven() -> (Bench, String) {
    let mut bench = Make::pm2(2).bench();
    bench.config.set("shared.files", vec!["mode".to_owned()]);
    bench.share("mode", "good");
    let id = bench.release(&App::driven("good"));
    bench.host().assert_live(&Live::New(id.clone()), 2);
    (bench, id)
}

/// Over a live release that is broken: a bad one restores the state before and says that it was not well; a good
/// one goes live.
fn deploys_over(bench: &Bench, broken: &str, with: impl Fn(App) -> App, still: impl Fn() -> bool) {
    assert!(still(), "it is broken");
    let output = bench.deploy(&with(App::bad("bad", Bad::ExitsAtOnce)), &["--no-boot-test"]).expect(4);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(["not healthy before", "unhealthy before"].iter().any(|words| said.contains(words)), "{output}");
    bench.site().assert_invariant(&Live::Old(broken.to_owned()));
    assert!(still(), "no better and no worse than before");
    let id = bench.release(&with(App::server("mended")));
    bench.host().assert_live(&Live::New(id), 2);
}

#[test]
fn a_fix_goes_live_over_workers_that_gave_up() {
    let mut bench = Make::pm2(2).bench();
    for key in ["script", "instances"] {
        bench.config.unset(&format!("service.pm2.{key}"));
    }
    bench.config.set("service.pm2.ecosystem", "ecosystem.config.cjs").set("shared.files", vec!["mode".to_owned()]);
    // PM2 gives up on what ends within a second, which a busy machine may need for the start alone.
    let ecosystem = r#"module.exports = { apps: [{ name: "tiny", script: "server.js", instances: 2,
        exec_mode: "cluster", min_uptime: 60000, max_restarts: 3 }] };"#;
    let with = |app: App| app.file("ecosystem.config.cjs", ecosystem);
    bench.share("mode", "good");
    let broken = bench.release(&with(App::driven("good")));
    let pm2 = bench.host().pm2.as_ref().unwrap();
    bench.share("mode", "exit");
    pm2.run(&["-s", "restart", APP]);
    eventually("PM2 gives up", Duration::from_secs(60), || {
        let workers = pm2.workers(APP);
        if workers.iter().all(|worker| worker.status == "errored") { Ok(()) } else { Err(format!("{workers:?}")) }
    });
    deploys_over(&bench, &broken, with, || bench.host().get("/health").0 == 0);
}

#[test]
fn a_fix_goes_live_where_the_app_is_gone_from_pm2() {
    let (bench, broken) = driven();
    let pm2 = bench.host().pm2.as_ref().unwrap();
    pm2.run(&["-s", "delete", APP]);
    deploys_over(&bench, &broken, |app| app, || pm2.workers(APP).is_empty());
}

#[test]
fn a_fix_goes_live_over_an_app_that_answers_500() {
    let (bench, broken) = driven();
    bench.share("mode", "sick");
    let well = |worker: &Worker| worker.status == "online" && worker.release.as_deref() == Some(&*broken);
    deploys_over(
        &bench,
        &broken,
        |app| app,
        || bench.host().get("/health").0 == 500 && bench.host().workers().iter().filter(|w| well(w)).count() == 2,
    );
}
