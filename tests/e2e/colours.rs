//! Blue-green behind the user's own nginx or Caddy: a release comes beside the live one, the requests are led over, and
//! nobody is lost on the way, back neither.

use super::support::asks::{self, Load};
use super::support::front::{Front, Kind};
use super::support::{APP, App, Bad, Bench, Live, Make};

/// A bench whose second release is live behind a proxy, in the colour green.
fn led(kind: Kind) -> (Bench, Front, String, String) {
    let mut bench = Make::pm2(2).bench();
    let front = Front::start(kind, &bench.area.path().join("front"), &bench.host().account);
    front.table(&mut bench.config);
    bench.write_config();
    bench.run("check", &[]).expect(0).says(&["upstream."]);
    bench.deploy(&App::server("v1"), &[]).expect(0).says(&["upstream."]);
    let first = bench.site().current().unwrap();
    front.lead(&bench.site().path);
    let second = bench.release(&App::server("v2"));
    assert_colour(&bench, &front, "green", &second);
    (bench, front, first, second)
}

/// Only this colour is there, with this release in all of its workers, and the front leads to it.
#[track_caller]
fn assert_colour(bench: &Bench, front: &Front, colour: &str, release: &str) {
    let host = bench.host();
    host.site.assert_invariant(&Live::New(release.to_owned()));
    let other = if colour == "blue" { "green" } else { "blue" };
    let pm2 = host.pm2.as_ref().unwrap();
    let workers = pm2.workers(&format!("{APP}-{colour}"));
    assert_eq!(workers.len(), 2, "{workers:?}");
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

fn no_request_is_lost(kind: Kind) {
    let (bench, front, first, second) = led(kind);
    let load = Load::start(front.port);
    let third = bench.release(&App::server("v3"));
    assert_colour(&bench, &front, "blue", &third);
    for bad in [Bad::ExitsLater, Bad::Unhealthy] {
        bench.deploy(&App::bad("v4", bad), &[]).expect(4);
        assert_colour(&bench, &front, "blue", &third);
    }
    bench.run("rollback", &[]).expect(0);
    assert_colour(&bench, &front, "green", &second);
    let (good, lost) = load.end();
    assert_eq!(lost, Vec::<String>::new(), "of {}", good + lost.len());
    assert!(good > 200, "{good}");
    let said = bench.run("status", &[]).expect(0);
    assert!(said.stdout.contains(&format!("{APP}-green")) && said.stdout.contains("proved"), "{said}");
    assert!(!said.stdout.contains("contradicted"), "{said}");

    // After a reboot the live colour is all that PM2 brings back.
    let pm2 = bench.host().pm2.as_ref().unwrap();
    assert!(pm2.run(&["-s", "kill"]).status.success());
    assert!(pm2.run(&["-s", "resurrect"]).status.success());
    assert_colour(&bench, &front, "green", &second);
    assert_ne!(first, second);
}

#[test]
fn behind_nginx_no_request_is_lost() {
    no_request_is_lost(Kind::Nginx);
}

#[test]
fn behind_caddy_no_request_is_lost() {
    no_request_is_lost(Kind::Caddy);
}
