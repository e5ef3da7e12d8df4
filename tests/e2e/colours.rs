//! Blue-green behind the user's own nginx or Caddy: a release comes beside the live one, the requests are led over, and
//! nobody is lost on the way, back neither.

use std::process::Command;
use std::time::Duration;

use super::killed::session;
use super::support::asks::{self, Load};
use super::support::bench::Host;
use super::support::front::{Front, Kind};
use super::support::pm2::Pm2;
use super::support::ports;
use super::support::process::{Signal, eventually, signal};
use super::support::shipit::Event;
use super::support::{APP, App, Bad, Bench, Live, Make};

/// A bench whose first release is live behind a proxy, in the colour blue. What the config says besides is `more`.
fn led(kind: Kind, more: &[(&str, &str)]) -> (Bench, Front, String) {
    let mut bench = Make::pm2(1).bench();
    let front = Front::start(kind, &bench.area.path().join("front"), &bench.host().account);
    front.table(&mut bench.config);
    for (key, value) in more {
        bench.config.set(&format!("proxy.{}.{key}", front.name()), *value);
    }
    let first = bench.deploy(&App::server("v1"), &[]).expect(0).says(&["upstream."]).release();
    front.lead(&bench.site().path);
    assert_eq!(answers(front.port), first);
    (bench, front, first)
}

fn pm2(host: &Host) -> &Pm2 {
    host.pm2.as_ref().unwrap()
}

/// As after a reboot, until somebody answers: PM2 starts what it brings back and does not wait until it listens.
fn reboot(pm2: &Pm2, front: &Front) {
    assert!(pm2.run(&["-s", "kill"]).status.success());
    assert!(pm2.run(&["-s", "resurrect"]).status.success());
    eventually("the app answers after the reboot", Duration::from_secs(20), || asks::ask(front.port).map(drop));
}

/// Only this colour is there, with this release in all of its workers, and the front leads to it.
#[track_caller]
fn assert_colour(bench: &Bench, front: &Front, colour: &str, release: &str) {
    let host = bench.host();
    host.site.assert_invariant(&Live::New(release.to_owned()));
    let other = if colour == "blue" { "green" } else { "blue" };
    let pm2 = pm2(host);
    let workers = pm2.workers(&format!("{APP}-{colour}"));
    assert_eq!(workers.len(), 1, "{workers:?}");
    assert!(workers.iter().all(|worker| worker.release.as_deref() == Some(release)), "{workers:?}");
    let others = pm2.workers(&format!("{APP}-{other}"));
    assert!(others.is_empty(), "{others:?}");
    let link = std::fs::read_link(host.site.dir.join("colours").join(colour)).unwrap();
    assert_eq!(link, std::path::Path::new("../releases").join(release));
    assert!(std::fs::symlink_metadata(host.site.dir.join("colours").join(other)).is_err());
    assert_eq!(answers(front.port), release);
}

/// The release that answers on this port.
fn answers(port: u16) -> String {
    let text = asks::ask(port).unwrap();
    let body = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{text:?}"));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["cwd"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// A good release, a bad one and the way back, with requests all the while; in the end `v1` is live again.
/// The requests are led over in these shares.
fn no_request_is_lost(kind: Kind, shift: &[i64], how: Bad) -> (Bench, Front) {
    let (mut bench, front, first) = led(kind, &[]);
    if shift.len() > 1 {
        let table = format!("proxy.{}", front.name());
        bench.config.set(&format!("{table}.shift"), shift.to_vec()).set(&format!("{table}.pause"), "1s");
    }
    let load = Load::with_pauses(front.port, Duration::from_millis(5));
    let second = bench.release(&App::server("v2"));
    assert_colour(&bench, &front, "green", &second);
    bench.deploy(&App::bad("v3", how), &[]).expect(4);
    assert_colour(&bench, &front, "green", &second);
    bench.run("rollback", &[]).expect(0);
    assert_colour(&bench, &front, "blue", &first);
    let (good, lost) = load.end();
    assert_eq!(lost, Vec::<String>::new(), "of {}", good + lost.len());
    assert!(good > 100, "{good}");
    (bench, front)
}

#[test]
fn behind_nginx_no_request_is_lost() {
    let (mut bench, front) = no_request_is_lost(Kind::Nginx, &[20, 60, 100], Bad::ExitsSoon);
    let said = bench.run("status", &[]).expect(0).says(&[&format!("{APP}-blue"), "proved"]);
    assert!(!said.stdout.contains("contradicted"), "{said}");
    let live = bench.site().current().unwrap();
    // What can't be, is refused while all is as it was.
    bench.config.set("proxy.nginx.test", "/bin/false -T");
    bench.deploy(&App::server("v4"), &[]).expect(1).says(&["NOPASSWD: /bin/false -T"]);
    bench.config.unset("proxy.nginx").unset("proxy").set("service.pm2.port", i64::from(front.colours[0]));
    bench.deploy(&App::server("v4"), &[]).expect(1).says(&["colours/"]);
    assert_colour(&bench, &front, "blue", &live);
}

#[test]
fn behind_caddy_no_request_is_lost() {
    let (mut bench, front) = no_request_is_lost(Kind::Caddy, &[100], Bad::Unhealthy);
    let live = bench.site().current().unwrap();
    bench.config.set("proxy.caddy.shift", vec![20, 100]);
    // Weights came with 2.7; whichever is installed, it is said or it works.
    let output = bench.deploy(&App::server("v4"), &[]);
    let old = String::from_utf8(Command::new("caddy").arg("version").output().unwrap().stdout).unwrap();
    if old.trim_start_matches('v').starts_with("2.6") {
        output.expect(1).says(&["Caddy has since 2.7"]);
        assert_colour(&bench, &front, "blue", &live);
    } else {
        output.expect(0);
    }
}

#[test]
fn a_colour_that_is_kept_is_gone_back_to_as_it_runs_and_not_kept_over_a_reboot() {
    let (bench, front, first) = led(Kind::Nginx, &[("drain", "1s"), ("retire", "next")]);
    let name = |colour: &str| format!("{APP}-{colour}");
    let blue = pm2(bench.host()).workers(&name("blue"));
    let second = bench.release(&App::server("v2"));
    assert_eq!(pm2(bench.host()).workers(&name("blue")), blue);
    assert_eq!(answers(front.port), second);
    bench.run("rollback", &[]).expect(0);
    assert_eq!(pm2(bench.host()).workers(&name("blue")), blue);
    assert_eq!(answers(front.port), first);
    reboot(pm2(bench.host()), &front);
    assert!(pm2(bench.host()).workers(&name("green")).is_empty());
    assert_eq!(answers(front.port), first);

    // Whose requests go elsewhere is told so, and nothing that is live is touched.
    front.leave();
    bench.deploy(&App::server("v3"), &[]).expect(4).says(&["does not include"]);
    assert_eq!(bench.site().current(), Some(first.clone()));
    front.lead(&bench.site().path);
    assert_eq!(answers(front.port), first);
}

#[test]
fn a_power_cut_before_the_commit_leaves_somebody_who_answers() {
    let (mut bench, front, first) = led(Kind::Nginx, &[("drain", "1s")]);
    bench.config.set("health.soak", "5s");
    let run = bench.start(&App::server("v2"), &[]);
    run.wait_for("all requests are led to it", |event| {
        event.is("step_note", "verify") && event.text("text").contains("soaking")
    });
    let second = run.wait_for("its name", |event| event.kind() == "release").text("release").to_owned();
    signal(session(&bench), Signal::Kill);
    run.kill();
    assert_eq!(answers(front.port), second);
    reboot(pm2(bench.host()), &front);
    assert_eq!(answers(front.port), second);
    bench.run("recover", &[]).expect(0);
    assert_colour(&bench, &front, "blue", &first);
    // What was taken back does not come back by itself.
    reboot(pm2(bench.host()), &front);
    assert_colour(&bench, &front, "blue", &first);
}

#[test]
fn a_share_that_is_not_well_on_one_host_is_put_back_on_all() {
    let mut bench = Make::pm2(1).hosts(2).bench();
    let ports = [ports::free(), ports::free()];
    // The hosts have no proxy of their own: what it would read is all that is looked at.
    bench.config.unset("service.pm2.port").set("proxy.nginx.ports", ports.map(i64::from).to_vec());
    for (key, value) in [("test", "true"), ("reload", "true"), ("drain", "1s"), ("pause", "30s")] {
        bench.config.set(&format!("proxy.nginx.{key}"), value);
    }
    bench.config.set("proxy.nginx.shift", vec![20, 100]).set("shared.files", vec!["mode"]);
    bench.share("mode", "good");
    let weights = |host: &Host| std::fs::read_to_string(host.site.dir.join(".shipit/proxy/upstream.conf")).unwrap();
    bench.config.set("proxy.nginx.pause", "0s");
    let first = bench.release(&App::server("v1"));
    bench.config.set("proxy.nginx.pause", "1m");
    let run = bench.start(&App::driven("v2"), &[]);
    // All hosts are at 20 percent before one of them gets sick: at their second soak, for the first is nobody's.
    let soaks = |event: &Event| event.is("step_note", "shift") && event.text("text").contains("soaking");
    assert!(run.wait_for_nth(2 * bench.hosts.len(), soaks).is_some(), "{}", run.so_far());
    for host in &bench.hosts {
        assert!(weights(host).contains("weight=20;") && weights(host).contains("weight=80;"), "{}", weights(host));
    }
    bench.hosts[1].share("mode", "sick");
    let output = run.finish().expect(4);
    let failed = output.events().into_iter().find(|event| event.kind() == "step_failed").unwrap();
    assert_eq!((failed.text("step"), failed.text("host")), ("shift", "b"), "{output}");
    for host in &bench.hosts {
        host.site.assert_invariant(&Live::Old(first.clone()));
        assert!(weights(host).contains("weight=100;") && weights(host).contains(" down;"), "{}", weights(host));
        assert_eq!(pm2(host).workers(&format!("{APP}-blue")).len(), 1);
        assert!(pm2(host).workers(&format!("{APP}-green")).is_empty());
    }
}
