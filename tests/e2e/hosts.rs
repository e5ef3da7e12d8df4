//! Three machines: all go live, or none does. What can't be decided is said, with the commands that mend it.

use std::time::Duration;

use super::support::process::eventually;
use super::support::{App, Bench, Live, Make, STAGE};

/// Three machines with a cluster each, a release live on all; each can be made bad by its own `mode`.
fn three() -> (Bench, String) {
    let mut bench = Make::pm2(2).hosts(3).proxied().bench();
    bench.config.set("shared.files", vec!["mode".to_owned()]);
    bench.share("mode", "good");
    let id = bench.release(&App::server("v1"));
    for host in &bench.hosts {
        host.assert_live(&Live::New(id.clone()), 2);
    }
    (bench, id)
}

#[track_caller]
fn all_on(bench: &Bench, live: &Live) {
    for host in &bench.hosts {
        host.assert_live(live, 2);
    }
}

#[test]
fn all_go_live_together_and_in_batches() {
    let (mut bench, first) = three();
    bench.config.set("rollout.batch", 1);
    let second = bench.release(&App::driven("v2"));
    all_on(&bench, &Live::New(second.clone()));
    bench.run("status", &[]).expect(0).says(&["a", "b", "c", &second]);
    bench.run("rollback", &[]).expect(0);
    all_on(&bench, &Live::New(first));
}

#[test]
fn one_that_fails_takes_all_back() {
    let (mut bench, old) = three();
    bench.config.set("health.soak", "4s");
    // `exit` shows while the workers are exchanged, `later` only in the soak.
    for (mode, host) in [("exit", 1), ("later", 2), ("sick", 0)] {
        bench.hosts[host].share("mode", mode);
        let name = bench.hosts[host].name.clone();
        let output = bench.deploy(&App::driven("v2"), &["--no-boot-test"]);
        assert_eq!(output.code, Some(4), "{mode} on {name}\n{output}");
        let failed = output.events().into_iter().find(|event| event.kind() == "step_failed");
        assert_eq!(failed.as_ref().map(|event| event.text("host")), Some(&*name), "{output}");
        all_on(&bench, &Live::Old(old.clone()));
        bench.share("mode", "good");
    }
    let new = bench.release(&App::driven("v3"));
    all_on(&bench, &Live::New(new));
}

#[test]
fn one_that_is_unreachable_or_locked_stops_all() {
    let (bench, old) = three();
    let before: Vec<_> = bench.hosts.iter().map(|host| host.site.production()).collect();
    bench.hosts[1].proxy().freeze();
    bench.deploy(&App::server("v2"), &[]).expect(1).says(&["b"]);
    bench.hosts[1].proxy().cut();
    bench.hosts[1].proxy().thaw();

    // A deploy to the third alone holds its lock, and with it everybody else's.
    let holder = bench.shipit.within(&bench.area.dir("holder"));
    let go = bench.area.path().join("go");
    let mut config = bench.config.clone();
    config.set("build.command", format!("while [ ! -e '{}' ]; do sleep 0.1; done", go.display()));
    config.write(&bench.area.path().join("holder/deploy.toml"));
    App::server("v3").write(&bench.area.path().join("holder/dist"));
    let held = holder.spawn_json(&["deploy", STAGE, "--host", "c"]);
    held.wait_for("the lock", |event| event.is("step_finished", "connect"));
    bench.run("deploy", &[]).expect(3).says(&["c", "locked"]);
    let now: Vec<_> = bench.hosts.iter().map(|host| host.site.production()).collect();
    assert_eq!(now, before, "nothing was touched anywhere");

    std::fs::write(&go, "").unwrap();
    let only_c = held.finish().expect(0).release();
    bench.hosts[0].assert_live(&Live::Old(old.clone()), 2);
    bench.hosts[2].assert_live(&Live::New(only_c.clone()), 2);
    // Which one is meant can't be guessed where they differ.
    bench.run("rollback", &[]).expect(1).says(&[&old, &only_c]);
    let new = bench.release(&App::server("v4"));
    all_on(&bench, &Live::New(new));
}

#[test]
fn a_commit_that_one_host_never_hears_is_mixed_and_said() {
    let (mut bench, old) = three();
    bench.config.set("health.timeout", "15s").set("health.within", "30s");
    // On b every byte needs this long, so that the commit is on its way there when the others have it.
    let run = bench.start(&App::server("v2"), &[]);
    let b = &bench.hosts[1];
    run.wait_for("verify", |event| event.is("step_started", "verify"));
    b.proxy().delay(Duration::from_secs(1));
    let release = run.wait_for("its name", |event| event.kind() == "release").text("release").to_owned();
    let pending = bench.hosts[0].site.dir.join(".shipit/pending");
    eventually("a has committed", Duration::from_secs(60), || match pending.symlink_metadata() {
        Ok(_) => Err(run.so_far()),
        Err(_) => Ok(()),
    });
    b.proxy().cut();
    b.proxy().delay(Duration::ZERO);
    let output = run.finish();
    assert_eq!(output.code, Some(5), "{output}");
    bench.hosts[0].settles_to(&Live::New(release.clone()), 2, Duration::from_secs(20));
    bench.hosts[2].settles_to(&Live::New(release.clone()), 2, Duration::from_secs(20));
    b.settles_to(&Live::Old(old.clone()), 2, Duration::from_secs(60));
    let output = output.says(&[&format!("shipit rollback {STAGE} {release} --host b")]);
    output.says(&[&format!("rollback {STAGE} {old} --host a")]);

    // And the first of the two does mend it.
    bench.run("rollback", &[&release, "--host", "b"]).expect(0);
    all_on(&bench, &Live::New(release));
}
