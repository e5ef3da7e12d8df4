//! A service of the user's own lines: a real small server that they start, stop and look at.

use std::path::PathBuf;
use std::time::Duration;

use super::support::process::{Signal, alive, eventually, signal};
use super::support::{App, Bench, Live, Make};

/// A server and the line that runs it: ends the one before by its pid file, starts this one and lets it go.
fn app(version: &str) -> App {
    let run = "[ ! -f ../../shared/pid ] || kill $(cat ../../shared/pid) 2>/dev/null || :\n\
        setsid node server.js >/dev/null 2>&1 </dev/null &\necho $! >../../shared/pid\n";
    App::server(version).file("run.sh", run)
}

/// A bench whose app is run by lines; `stop` where asked for.
fn bench(stop: bool) -> Bench {
    let mut bench = Make::files().bench();
    let port = bench.host().port;
    bench
        .config
        .set("service.command.start", "sh run.sh")
        .set("service.command.revert", "sh run.sh")
        .set("service.command.status", "kill -0 $(cat ../../shared/pid)")
        .set("service.command.port", i64::from(port))
        .set("health.path", "/health")
        .set("health.within", "5s")
        .set("health.soak", "1s")
        .set("rollout.silence", "6s");
    if stop {
        bench.config.set("service.command.stop", "kill $(cat ../../shared/pid); rm ../../shared/pid");
    }
    bench
}

/// Ends the server with the test.
struct Server(PathBuf);

impl Drop for Server {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| alive(*pid)) {
            signal(pid, Signal::Kill);
        }
    }
}

#[track_caller]
fn answers(bench: &Bench, version: &str) {
    let (status, body) = bench.host().get("/health");
    assert!(status == 200 && body.contains(&format!("\"{version}\"")), "{status} {body}");
}

#[test]
fn releases_follow_each_other_and_a_bad_one_is_taken_back() {
    let bench = bench(true);
    let _server = Server(bench.site().dir.join("shared/pid"));
    bench.release(&app("v1"));
    answers(&bench, "v1");
    let second = bench.release(&app("v2"));
    answers(&bench, "v2");
    bench.run("status", &[]).expect(0).says(&[&second, "proved"]);
    let bad = app("").file("server.js", "process.exit(1)");
    bench.deploy(&bad, &[]).expect(4);
    answers(&bench, "v2");
    bench.site().assert_invariant(&Live::Old(second));
    bench.run("rollback", &[]).expect(0);
    answers(&bench, "v1");
}

#[test]
fn a_start_line_that_leaves_the_old_one_running_is_found_out() {
    let mut bench = bench(true);
    let _server = Server(bench.site().dir.join("shared/pid"));
    let first = bench.release(&app("v1"));
    bench.config.set("service.command.start", "true").set("service.command.revert", "true");
    bench.deploy(&app("v2"), &[]).expect(4).says(&["still listens", &first]);
    answers(&bench, "v1");
    bench.site().assert_invariant(&Live::Old(first));
}

#[test]
fn a_bad_first_release_is_stopped() {
    let mut bench = bench(true);
    let _server = Server(bench.site().dir.join("shared/pid"));
    bench.config.set("health.path", "/none");
    bench.deploy(&app("v1"), &[]).expect(4);
    bench.site().assert_invariant(&Live::Nothing);
    eventually("the server is gone", Duration::from_secs(5), || match bench.host().get("/health") {
        (0, _) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_kill_while_it_is_switched_brings_the_old_one_back() {
    let bench = bench(true);
    let _server = Server(bench.site().dir.join("shared/pid"));
    let old = bench.release(&app("v1"));
    for step in ["activate", "verify"] {
        let run = bench.start(&app("v2"), &[]);
        run.wait_for(step, |event| event.is("step_started", step));
        run.kill();
        bench.site().settles_to(&Live::Old(old.clone()), Duration::from_secs(40));
        answers(&bench, "v1");
    }
}

#[test]
fn without_a_port_nothing_is_proved_and_that_is_said() {
    let mut bench = bench(false);
    let _server = Server(bench.site().dir.join("shared/pid"));
    bench.config.unset("service.command.port").unset("health.path").set("service.command.start", "true");
    bench.config.set("service.command.status", "true");
    let why = "not provable here: without service.command.port nobody can tell which release runs";
    bench.deploy(&app("v1"), &[]).expect(0).says(&[&format!("/current; {why}")]);
}
