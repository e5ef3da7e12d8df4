//! The way of a release when all goes well: the embedded default, files over ssh, servers under PM2, and back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::support::area::Area;
use super::support::process::{Signal, alive, eventually};
use super::support::shipit::Shipit;
use super::support::site::Site;
use super::support::{App, Live, Make, STAGE};

#[test]
fn the_hello_example_goes_live_in_a_directory_of_this_machine() {
    let area = Area::new();
    let (project, home) = (area.dir("project"), area.dir("home"));
    let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello");
    let copy = project.join("examples/hello");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("cp").arg("-r").args([&hello, &copy]).status().unwrap().success());
    let shipit = Shipit::new(&project, &home);
    let site = Site::new(&project.join(".shipit-local/hello"), &project.join(".shipit-local/hello"));
    let args = ["deploy", "local", "-c", "examples/hello/deploy.toml"];

    shipit.run(&args).expect(0).says(&[".shipit-local/hello"]);
    let first = site.current().unwrap();
    site.assert_invariant(&Live::New(first.clone()));
    assert_eq!(site.read("index.html"), fs::read_to_string(hello.join("site/index.html")).unwrap());

    shipit.run(&args).expect(0);
    let second = site.current().unwrap();
    assert_ne!(first, second);
    assert_eq!(site.releases(), [first, second.clone()]);
    site.assert_invariant(&Live::New(second));
}

#[test]
fn files_go_live_over_ssh_and_back() {
    let bench = Make::files().bench();
    let site = bench.site();
    let app = App::site("v1").program("bin/tool", "#!/bin/sh\n").link("latest.html", "index.html");
    let first = bench.release(&app);
    site.assert_invariant(&Live::New(first.clone()));
    assert_eq!(site.read("latest.html"), site.read("index.html"));
    let mode = |path: &str| fs::metadata(site.dir.join("current").join(path)).unwrap().permissions().mode() & 0o777;
    // Files for a web server of another user, since no service runs them.
    assert_eq!((mode("index.html"), mode("deep"), mode("bin/tool")), (0o644, 0o755, 0o755));

    let second = bench.release(&App::site("v2"));
    site.assert_invariant(&Live::New(second.clone()));
    assert!(site.read("index.html").contains("v2"));
    assert!(!site.dir.join("current/bin").exists(), "what the new release lacks is gone");
    assert_eq!(site.record(&second)["previous"], *first);

    let listed = bench.run("releases", &[]).expect(0);
    listed.says(&[&first, &second, "good"]);
    bench.run("status", &[]).expect(0).says(&[&second]);
    for verb in ["releases", "status"] {
        let said = bench.run(verb, &["--json"]).expect(0);
        assert!(said.json().to_string().contains(&second), "{said}");
    }

    bench.run("rollback", &[]).expect(0);
    site.assert_invariant(&Live::New(first.clone()));
    assert!(site.read("index.html").contains("v1"));
    assert_eq!(bench.state(&second), "withdrawn", "what was rolled back from is never chosen again by itself");
    bench.run("rollback", &[]).expect(1).says(&["no earlier good release", "shipit releases"]);
    site.assert_invariant(&Live::Old(first));
    bench.run("rollback", &[&second]).expect(0);
    site.assert_invariant(&Live::New(second));
}

#[test]
fn cleanup_keeps_what_is_live_and_says_first_what_would_go() {
    let mut bench = Make::files().bench();
    let ids: Vec<String> = (1..=4).map(|n| bench.release(&App::site(&format!("v{n}")))).collect();
    let site = bench.site();
    bench.run("rollback", &[&ids[1]]).expect(0);

    let before = site.listing();
    bench.run("cleanup", &["--keep", "1", "--dry-run"]).expect(0).says(&[&ids[0]]);
    assert_eq!(site.listing(), before, "a dry run writes nothing");
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    assert_eq!(site.current().as_deref(), Some(&*ids[1]));
    assert!(!site.releases().contains(&ids[0]), "{:?}", site.releases());
    assert_eq!(bench.state(&ids[0]), "removed");
    site.assert_invariant(&Live::Old(ids[1].clone()));

    // A deploy keeps `release.keep` good ones, the new one included.
    bench.config.set("release.keep", 2);
    bench.release(&App::site("v5"));
    let last = bench.release(&App::site("v6"));
    let site = bench.site();
    assert!(!site.releases().contains(&ids[1]), "{:?}", site.releases());
    site.assert_invariant(&Live::New(last));
}

#[test]
fn a_cluster_goes_live_worker_by_worker_and_back() {
    let bench = Make::pm2(2).bench();
    let host = bench.host();
    let first = bench.release(&App::server("v1"));
    host.assert_live(&Live::New(first.clone()), 2);
    let base = host.workers();

    let second = bench.release(&App::server("v2"));
    host.assert_live(&Live::New(second.clone()), 2);
    let now = host.workers();
    for (before, after) in base.iter().zip(&now) {
        assert_eq!(after.id, before.id, "the same workers, reloaded");
        assert_eq!(after.restarts, before.restarts + 1, "each exactly once");
        assert_ne!(after.pid, before.pid);
    }
    assert!(host.get("/").1.contains("v2"));
    let mode = fs::metadata(host.site.dir.join("current/server.js")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o640, "a service's files are nobody else's business");
    bench.run("status", &[]).expect(0).says(&[&second, "proved"]);

    bench.run("rollback", &[]).expect(0);
    host.assert_live(&Live::New(first), 2);
    assert!(host.get("/").1.contains("v1"));
}

#[test]
fn a_single_process_in_fork_mode_goes_live_and_back() {
    let mut bench = Make::pm2(1).bench();
    bench.config.set("service.pm2.mode", "fork");
    let first = bench.release(&App::server("v1"));
    bench.host().assert_live(&Live::New(first.clone()), 1);
    let second = bench.release(&App::server("v2"));
    bench.host().assert_live(&Live::New(second), 1);
    bench.run("rollback", &[]).expect(0);
    bench.host().assert_live(&Live::New(first), 1);
}

#[test]
fn a_projects_own_ecosystem_file_is_made_safe() {
    let mut bench = Make::pm2(2).bench();
    for key in ["script", "instances"] {
        bench.config.unset(&format!("service.pm2.{key}"));
    }
    bench.config.set("service.pm2.ecosystem", "ecosystem.config.cjs").set("service.pm2.ecosystem_env", "production");
    bench.config.set("service.pm2.only", vec!["tiny".to_owned()]);
    // A directory that is physical once it is read: the classic way to stay on the first release for ever.
    let ecosystem = r#"module.exports = { apps: [
        { name: "tiny", script: "server.js", cwd: __dirname, instances: 2, exec_mode: "cluster",
          env: { WORD: "plain" }, env_production: { WORD: "chosen" } },
        { name: "other", script: "other.js" }] };"#;
    let app = |version| App::server(version).file("ecosystem.config.cjs", ecosystem);
    let first = bench.release(&app("v1"));
    bench.host().assert_live(&Live::New(first), 2);
    let second = bench.release(&app("v2"));
    bench.host().assert_live(&Live::New(second), 2);
    let pm2 = bench.host().pm2.as_ref().unwrap();
    assert!(pm2.workers("other").is_empty(), "only what was asked for is started");
    let listed = String::from_utf8(pm2.run(&["-s", "jlist"]).stdout).unwrap();
    assert!(listed.contains(r#""WORD":"chosen""#), "{listed}");
}

fn goes_live(make: Make) {
    let bench = make.bench();
    let id = bench.release(&App::server("v1"));
    bench.host().assert_live(&Live::New(id), 1);
}

#[test]
fn a_host_without_zstd_is_good_enough() {
    goes_live(Make::pm2(1).without("zstd"));
}

#[test]
fn a_connection_of_one_channel_is_good_enough() {
    goes_live(Make::pm2(1).sshd("MaxSessions 1"));
}

#[test]
fn a_connection_without_forwarding_is_good_enough() {
    goes_live(Make::pm2(1).sshd("AllowTcpForwarding no"));
}

#[test]
fn a_banner_is_no_answer() {
    goes_live(Make::pm2(1).sshd("Banner /etc/passwd"));
}

#[test]
fn build_shows_what_would_ship_and_sends_nothing() {
    let mut bench = Make::files().bench();
    bench.config.set("build.command", "mkdir -p dist && printf made > dist/made.txt");
    bench.write(&App::site("v1"));
    bench.run("build", &[]).expect(0).says(&["made.txt"]);
    assert!(bench.site().listing().len() == 1, "the host has heard nothing");
    bench.shipit.run(&["deploy", STAGE]).expect(0);
    assert_eq!(bench.site().read("made.txt"), "made");

    bench.config.set("build.command", "exit 7");
    bench.write_config();
    let live = bench.site().current().unwrap();
    bench.run("deploy", &[]).expect(1).says(&["exit 7"]);
    bench.site().assert_invariant(&Live::Old(live));
}

#[test]
fn a_build_that_is_cancelled_ends_its_command() {
    let mut bench = Make::files().bench();
    bench.config.set("build.command", "echo $$ > pid.new && mv pid.new pid && exec sleep 300");
    bench.write(&App::site("v1"));
    let run = bench.shipit.spawn(&["build", STAGE]);
    let mut pid = String::new();
    eventually("the command runs", Duration::from_secs(20), || {
        pid = fs::read_to_string(bench.project.join("pid")).map_err(|error| error.to_string())?.trim().to_owned();
        Ok(())
    });
    run.signal(Signal::Int);
    run.finish().expect(130);
    let pid = pid.parse().unwrap();
    eventually("the command is gone", Duration::from_secs(5), || match alive(pid) {
        true => Err(format!("{pid} runs")),
        false => Ok(()),
    });
}

#[test]
fn what_a_build_leaves_running_does_not_hold_it_up() {
    let mut bench = Make::files().bench();
    bench.config.set("build.command", "sleep 60 & echo made");
    bench.write(&App::site("v1"));
    let began = Instant::now();
    bench.run("build", &[]).expect(0);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
