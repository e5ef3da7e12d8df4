//! What only several machines, accounts or a link can show: commits that go out together, answers that are lost, a
//! session that goes before the commit, a host that is silent in a listing, files and notes that can't be read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use super::support::account::Account;
use super::support::process::{Signal, alive, eventually, signal};
use super::support::{App, Bench, Live, Make, STAGE};

/// The process of the session that holds a host's lock.
fn session(bench: &Bench, host: usize) -> u32 {
    let dir = bench.hosts[host].site.dir.join(".shipit");
    let locks = fs::read_dir(&dir).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_lock = path.file_name()?.to_str()?.starts_with("lock.");
        Some(fs::read_link(path).ok()?.to_str()?.to_owned()).filter(|text| is_lock && text != "free")
    });
    let held: Vec<String> = locks.collect();
    assert_eq!(held.len(), 1, "{held:?}");
    held[0].split(':').next().unwrap().parse().unwrap()
}

/// What logind does before it kills: the whole group of a host's session is asked to end.
fn ask_to_end(bench: &Bench, host: usize) {
    let group = format!("-{}", session(bench, host));
    assert!(Command::new("sh").args(["-c", "kill -s TERM -- \"$1\"", "kill", &group]).status().unwrap().success());
}

#[test]
fn commits_go_to_all_hosts_at_once() {
    let mut bench = Make::files().hosts(3).bench();
    bench.config.set("rollout.parallel", 1);
    let output = bench.deploy(&App::site("v1"), &[]).expect(0);
    let of = |step: &str| -> Vec<String> {
        let events = output.events().into_iter().filter(|event| event.text("step") == step);
        events
            .map(|event| event.kind().to_owned())
            .filter(|kind| matches!(&**kind, "step_started" | "step_finished"))
            .collect()
    };
    // One host after the other, as it was asked for; but never between the first commit and the last.
    assert_eq!(of("receive"), ["step_started", "step_finished"].repeat(3));
    assert_eq!(of("commit"), [["step_started"; 3], ["step_finished"; 3]].concat());
}

#[test]
fn a_session_that_goes_before_the_commit_takes_all_hosts_back() {
    let mut bench = Make::files().hosts(2).bench();
    let old = bench.release(&App::site("v1"));
    bench.config.set("rollout.batch", 1).set("rollout.pause", "4s");
    let run = bench.start(&App::site("v2"), &[]);
    run.wait_for("the first batch", |event| event.is("step_finished", "activate"));
    // The first is held, and nobody looks at it before the second is as far.
    ask_to_end(&bench, 0);
    let output = run.finish().expect(4);
    assert!(!output.events().iter().any(|event| event.is("step_started", "commit")), "{output}");
    for host in &bench.hosts {
        host.settles_to(&Live::Old(old.clone()), 0, Duration::from_secs(10));
    }
    let new = bench.release(&App::site("v3"));
    bench.hosts.iter().for_each(|host| host.assert_live(&Live::New(new.clone()), 0));
}

#[test]
fn a_session_that_is_asked_to_end_in_the_soak_blames_no_release() {
    let mut bench = Make::pm2(1).bench();
    // One process that is restarted with a gap: while the host takes it back, nothing answers.
    bench.config.set("service.pm2.mode", "fork");
    let old = bench.release(&App::server("v1"));
    bench.config.set("health.soak", "30s");
    let run = bench.start(&App::server("v2"), &[]);
    run.wait_for("the soak", |event| event.is("step_note", "verify"));
    ask_to_end(&bench, 0);
    let output = run.finish().expect(4).says(&["the connection was lost during verify"]);
    bench.host().settles_to(&Live::Old(old), 1, Duration::from_secs(5));
    assert_eq!(bench.state(&output.release()), "unproven");
}

#[test]
fn a_commit_whose_answer_is_lost_is_a_good_deploy() {
    let bench = Make::files().proxied().bench();
    bench.release(&App::site("v1"));
    let proxy = bench.host().proxy();
    let run = bench.start(&App::site("v2"), &[]);
    run.wait_for("activate", |event| event.is("step_started", "activate"));
    proxy.delay(Duration::from_secs(1));
    let release = run.wait_for("its name", |event| event.kind() == "release").text("release").to_owned();
    let (site, pending) = (bench.site(), bench.site().dir.join(".shipit/pending"));
    eventually("the host has committed", Duration::from_secs(60), || {
        match site.current().as_deref() == Some(&*release) && pending.symlink_metadata().is_err() {
            true => Ok(()),
            false => Err(run.so_far()),
        }
    });
    proxy.cut();
    proxy.delay(Duration::ZERO);
    let output = run.finish();
    assert_eq!(output.code, Some(0), "{output}");
    let output = output.says(&["the connection was lost; asking again"]);
    assert!(!output.events().iter().any(|event| event.is("step_finished", "commit")), "it was lost: {output}");
    bench.site().settles_to(&Live::New(release.clone()), Duration::from_secs(5));
    assert_eq!(bench.state(&release), "good");
}

#[test]
fn a_silent_host_does_not_hide_the_others() {
    let mut bench = Make::files().hosts(2).bench();
    let id = bench.release(&App::site("v1"));
    bench.lose_first_host();
    bench.write_config();
    for verb in ["status", "releases"] {
        let output = bench.run(verb, &["--host", "a,b"]).expect(1);
        assert!(output.stdout.contains(&id) && output.stderr.contains("a: not reachable"), "{output}");
        let output = bench.run(verb, &["--json"]).expect(1);
        let hosts = output.json()["hosts"].clone();
        assert_eq!([&hosts[0]["host"], &hosts[1]["host"], &hosts[1]["current"]], ["a", "b", &id], "{output}");
        assert!(hosts[0]["error"].as_str().unwrap().contains("not reachable"), "{output}");
    }
    bench.run("status", &["--host", "b"]).expect(0);
    bench.run("cleanup", &["--dry-run"]).expect(1).says(&["b: would remove", "a: not reachable"]);
}

#[test]
fn what_can_not_be_read_is_damaged() {
    let bench = Make::files().bench();
    let old = bench.release(&App::site("v1"));
    let new = bench.release(&App::site("v2"));
    let root = bench.site().dir.join("releases").join(&old);
    for (name, mode) in [("index.html", 0o644), ("deep/er", 0o755)] {
        let set = |mode| fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        set(0);
        bench.run("rollback", &[]).expect(1).says(&["is not what was released", name]);
        assert_eq!(bench.site().current().as_deref(), Some(&*new));
        set(mode);
    }
    bench.run("rollback", &[]).expect(0);
    bench.site().assert_invariant(&Live::New(old));
}

#[test]
fn a_leftover_of_another_account_is_left_to_it() {
    let mut bench = Make::files().bench();
    bench.host().site.share_with_group(Account::common_group());
    let old = bench.release(&App::site("v1"));
    let first = bench.shipit.within(&bench.project);
    bench.config.set("rollout.batch", 1);
    // Held for as long as nobody ends it: a health check that only the test's own server would answer.
    bench.config.set("health.url", "http://127.0.0.1:1/").set("health.within", "2m").set("health.from", "here");
    let run = bench.start(&App::site("v2"), &[]);
    run.wait_for("verify", |event| event.is("step_started", "verify"));
    let holder = session(&bench, 0);
    assert!(signal(holder, Signal::Kill));
    run.kill();
    eventually("it is gone", Duration::from_secs(5), || {
        if alive(holder) { Err("alive") } else { Ok(()) }.map_err(str::to_owned)
    });
    let half = bench.site().current().unwrap();
    assert_ne!(half, old);

    // The lock's owner is dead, but what it started can't be looked at by another account.
    let second = bench.area.dir("second");
    for key in ["url", "within", "from"] {
        bench.config.unset(&format!("health.{key}"));
    }
    let mut config = bench.config.clone();
    let mut address = bench.host().address();
    address.insert("address".into(), format!("shipit-b@127.0.0.1:{}", bench.host().ssh_port()).into());
    config.set("stages.production.hosts", vec![address]);
    config.write(&second.join("deploy.toml"));
    App::site("of the second").write(&second.join("dist"));
    let other = bench.shipit.within(&second);
    other.run(&["deploy", STAGE]).expect(3);
    symlink("free", bench.site().dir.join(".shipit/lock.1000")).unwrap();
    let account = Account::b();
    std::os::unix::fs::lchown(bench.site().dir.join(".shipit/lock.1000"), Some(account.uid), Some(account.gid))
        .unwrap();
    for verb in ["recover", "deploy"] {
        other.run(&[verb, STAGE]).expect(5).says(&["another account's", &half]);
        assert_eq!(bench.site().current().as_deref(), Some(&*half), "nothing is guessed");
    }

    bench.write_config();
    first.run(&["recover", STAGE]).expect(0).says(&[&half]);
    bench.site().assert_invariant(&Live::Old(old));
    other.run(&["deploy", STAGE]).expect(0);
}
