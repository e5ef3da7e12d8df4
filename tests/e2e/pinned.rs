//! An app that somebody started inside a release: PM2 keeps it there for ever. It is told, and a deploy moves it.

use std::time::Duration;

use super::support::asks::Load;
use super::support::process::eventually;
use super::support::{APP, App, Bench, Live, Make};

/// A server that ends as it should: what it has accepted is answered, and nothing more is accepted.
fn server(version: &str) -> App {
    let app = App::server(version);
    let text = String::from_utf8(app.files()[std::path::Path::new("server.js")].clone()).unwrap();
    let end = "process.on('SIGINT', () => { server.close(); setTimeout(() => process.exit(0), 600); });";
    app.file("server.js", format!("{text}{end}\n"))
}

/// A cluster of two that was started by hand in its release's own directory.
fn pinned() -> (Bench, String) {
    let mut bench = Make::pm2(2).bench();
    // Twice as many workers share the port for a while, and each has to be met by chance.
    bench.config.set("health.within", "25s");
    let id = bench.release(&server("v1"));
    let host = bench.host();
    let pm2 = host.pm2.as_ref().unwrap();
    assert!(pm2.run(&["-s", "delete", APP]).status.success());
    let mut start = host.account.command("pm2");
    start.env("PM2_HOME", bench.area.path().join("host-a/pm2")).env("PORT", host.port.to_string());
    start.args(["-s", "start", "server.js", "--name", APP, "-i", "2"]).current_dir(host.site.dir.join("current"));
    assert!(start.status().unwrap().success());
    eventually("it answers", Duration::from_secs(20), || match host.get("/health").0 {
        200 => Ok(()),
        status => Err(format!("status {status}")),
    });
    (bench, id)
}

#[test]
fn an_app_that_is_tied_to_a_release_is_told_and_moved_without_a_lost_request() {
    let (bench, first) = pinned();
    let host = bench.host();
    let tie = format!("{APP} is tied to releases/{first}/server.js and keeps that release");
    bench.run("status", &[]).expect(0).says(&[&tie, "without a gap"]);
    bench.write(&server("v2"));
    bench.run("deploy", &["--dry-run"]).expect(0).says(&[&tie]);

    let load = Load::start(host.port);
    let second = bench.release(&server("v2"));
    let (good, lost) = load.end();
    assert_eq!(lost, Vec::<String>::new(), "of {}", good + lost.len());
    assert!(good > 100, "{good}");
    host.assert_live(&Live::New(second), 2);
    assert!(host.pm2.as_ref().unwrap().workers(&format!("{APP}.moving")).is_empty());
    let said = bench.run("status", &[]).expect(0);
    assert!(!said.stdout.contains("tied"), "{said}");
}

#[test]
fn an_app_that_is_tied_to_a_release_is_back_there_when_the_release_is_bad() {
    let (mut bench, first) = pinned();
    // On a busy machine a worker that ends after 2.5 s is back only after as much again.
    bench.config.set("health.soak", "8s");
    let app = App::bad("v2", super::support::Bad::ExitsLater);
    bench.deploy(&app, &["--no-boot-test"]).expect(4).says(&["tied"]);
    bench.host().assert_live(&Live::Old(first.clone()), 2);
    let moving = bench.host().pm2.as_ref().unwrap().workers(&format!("{APP}.moving"));
    assert!(moving.is_empty(), "{moving:?}");
    bench.run("status", &[]).expect(0).says(&[&format!("tied to releases/{first}")]);
}
