//! The user's own lines around the switch: where, in which order and with what they run; what a failure, a cancel and a
//! kill leave, and what is undone.

use std::time::Duration;

use super::support::process::{Signal, alive, eventually};
use super::support::{App, Bench, Live, Make};

/// One hook of the config.
fn hook(pairs: &[(&str, &str)]) -> toml::Value {
    let mut table = toml::Table::new();
    for (key, value) in pairs {
        let value = match *value {
            "true" => toml::Value::Boolean(true),
            text => text.into(),
        };
        table.insert((*key).to_owned(), value);
    }
    table.into()
}

fn before(bench: &mut Bench, hooks: &[&[(&str, &str)]]) {
    bench.config.set("hooks.before_switch", hooks.iter().map(|pairs| hook(pairs)).collect::<Vec<_>>());
}

/// What hooks wrote into `shared/log` on a host.
fn log(bench: &Bench, host: usize) -> String {
    std::fs::read_to_string(bench.hosts[host].site.dir.join("shared/log")).unwrap_or_default()
}

/// A line that adds to `shared/log`, from a release's directory.
fn says(text: &str) -> String {
    format!("echo \"{text}\" >>../../shared/log")
}

#[test]
fn hooks_run_in_order_with_their_environment() {
    let mut bench = Make::files().bench();
    let first = bench.release(&App::site("v1"));
    let here = bench.area.path().join("here.log");
    let tell =
        says("before $SHIPIT_APP $SHIPIT_STAGE $SHIPIT_HOST $SHIPIT_RELEASE $SHIPIT_PREVIOUS $(basename \"$PWD\")");
    let at_home = format!("echo \"here $SHIPIT_PREVIOUS $PWD\" >'{}'", here.display());
    before(&mut bench, &[&[("run", &tell)], &[("run", &at_home), ("on", "here")]]);
    bench.config.set("hooks.after_switch", vec![says("after $(readlink ../../current)")]);
    let second = bench.release(&App::site("v2"));
    let wanted = format!("before tiny production a {second} {first} {second}\nafter releases/{second}\n");
    assert_eq!(log(&bench, 0), wanted);
    let at = std::fs::read_to_string(&here).unwrap();
    assert_eq!(at, format!("here {first} {}\n", bench.project.display()));
    // A rollback has nothing to prepare, and something to follow it.
    bench.run("rollback", &[]).expect(0);
    assert_eq!(log(&bench, 0), format!("{wanted}after releases/{first}\n"));
    bench.site().assert_invariant(&Live::New(first));
}

#[test]
fn a_failure_before_the_switch_touches_nothing_and_is_undone_backwards() {
    let mut bench = Make::files().bench();
    let old = bench.release(&App::site("v1"));
    let (one, two) = (says("one"), says("two"));
    let (undo_one, undo_two) = (says("undo one"), says("undo two"));
    before(
        &mut bench,
        &[
            &[("run", &one), ("undo", &undo_one)],
            &[("run", &format!("{two}; echo it broke; exit 7")), ("undo", &undo_two)],
        ],
    );
    let output = bench.deploy(&App::site("v2"), &[]).expect(1).says(&["ended with 7", "it broke", "undone"]);
    assert_eq!(log(&bench, 0), "one\ntwo\nundo two\nundo one\n");
    assert_eq!(bench.state(&output.release()), "failed");
    bench.site().assert_invariant(&Live::Old(old.clone()));
    bench.run("status", &[]).expect(0);

    before(&mut bench, &[&[("run", "exit 7"), ("optional", "true")]]);
    let output = bench.deploy(&App::site("v3"), &[]).expect(0).says(&["it is optional"]);
    bench.site().assert_invariant(&Live::New(output.release()));
}

#[test]
fn a_failure_after_the_switch_leaves_the_release_live() {
    let mut bench = Make::files().bench();
    bench.config.set("hooks.after_switch", vec!["exit 9".to_owned()]);
    let output = bench.deploy(&App::site("v1"), &[]).expect(6).says(&["ended with 9", "is live on"]);
    assert_eq!(bench.state(&output.release()), "good");
    bench.site().assert_invariant(&Live::New(output.release()));
    bench.config.set("hooks.after_switch", vec![hook(&[("run", "exit 9"), ("optional", "true")])]);
    bench.deploy(&App::site("v2"), &[]).expect(0);
}

#[test]
fn what_the_verification_takes_back_is_undone_on_the_first_host_alone() {
    let mut bench = Make::files().hosts(3).bench();
    let old = bench.release(&App::site("v1"));
    let (run, undo) = (says("up"), says("down"));
    before(&mut bench, &[&[("run", &run), ("undo", &undo), ("on", "first")]]);
    bench
        .config
        .set("health.url", "http://127.0.0.1:1/")
        .set("health.from", "here")
        .set("health.within", "1s")
        .set("health.soak", "0s");
    bench.deploy(&App::site("v2"), &[]).expect(4).says(&["undone"]);
    assert_eq!([log(&bench, 0), log(&bench, 1), log(&bench, 2)], ["up\ndown\n", "", ""]);
    for host in &bench.hosts {
        host.site.assert_invariant(&Live::Old(old.clone()));
    }
}

/// A hook that tells its own and a grandchild's process, then stays.
fn stays() -> String {
    "sleep 300 & echo $! >../../shared/child.part; mv ../../shared/child.part ../../shared/child; wait".to_owned()
}

fn child(bench: &Bench) -> u32 {
    let file = bench.site().dir.join("shared/child");
    let mut pid = 0;
    eventually("the hook runs", Duration::from_secs(30), || {
        pid =
            std::fs::read_to_string(&file).map_err(|e| e.to_string())?.trim().parse().map_err(|_| "half".to_owned())?;
        Ok(())
    });
    pid
}

fn ends(pid: u32, within: Duration) {
    eventually("the hook's child is gone", within, || if alive(pid) { Err(pid.to_string()) } else { Ok(()) });
}

#[test]
fn a_hook_that_takes_too_long_is_ended_with_its_children() {
    let mut bench = Make::files().bench();
    before(&mut bench, &[&[("run", &stays()), ("timeout", "2s")]]);
    bench.deploy(&App::site("v1"), &[]).expect(1).says(&["no end within 2 s"]);
    ends(child(&bench), Duration::ZERO);
    bench.site().assert_invariant(&Live::Nothing);
}

#[test]
fn a_kill_during_a_hook_ends_it_and_is_written_down() {
    let mut bench = Make::files().bench();
    let old = bench.release(&App::site("v1"));
    before(&mut bench, &[&[("run", &stays()), ("undo", "./down.sh")]]);
    let run = bench.start(&App::site("v2"), &[]);
    let pid = child(&bench);
    let release = run.kill().release();
    ends(pid, Duration::from_secs(15));
    bench.site().settles_to(&Live::Old(old), Duration::from_secs(15));
    let why = bench.site().record(&release)["why"].to_string();
    assert!(why.contains("not undone: `./down.sh`"), "{why}");
    bench.run("status", &[]).expect(0).says(&[&release, "not undone: `./down.sh`"]);
    bench.config.unset("hooks.before_switch");
    bench.deploy(&App::site("v3"), &[]).expect(0).says(&["was not undone: `./down.sh`"]);
    let output = bench.run("status", &[]).expect(0);
    assert!(!output.stdout.contains("not undone"), "a later release is live\n{output}");
}

#[test]
fn a_cancel_during_a_hook_undoes_what_it_began() {
    let mut bench = Make::files().bench();
    let old = bench.release(&App::site("v1"));
    let undo = says("undone");
    before(&mut bench, &[&[("run", &stays()), ("undo", &undo)]]);
    let run = bench.start(&App::site("v2"), &[]);
    let pid = child(&bench);
    run.signal(Signal::Int);
    run.finish().expect(130);
    ends(pid, Duration::ZERO);
    assert_eq!(log(&bench, 0), "undone\n");
    bench.site().assert_invariant(&Live::Old(old));
}

#[test]
fn the_values_of_the_env_file_reach_the_hook_and_nobody_else() {
    let mut bench = Make::files().bench();
    bench.share(".env", "TOKEN=\"s3cret from the host\"\nWHO=file\n");
    bench
        .config
        .set("secrets", vec!["MINE".to_owned()])
        .set("shared.files", vec![".env".to_owned()])
        .set("service.command.start", "true")
        .set("service.command.revert", "true")
        .set("service.command.env_file", ".env")
        .set("service.command.env.WHO", "config");
    let run = format!("{}; echo \"leaks $TOKEN and MINE-of-the-client\"; exit 3", says("$WHO $TOKEN"));
    before(&mut bench, &[&[("run", &run)]]);
    bench.shipit = bench.shipit.env("MINE", "MINE-of-the-client");
    bench.write(&App::site("v1"));
    let output = bench.run("deploy", &["-v"]).expect(1).says(&["leaks *** and ***"]);
    assert_eq!(log(&bench, 0), "config s3cret from the host\n");
    assert!(!format!("{output}").contains("s3cret"), "{output}");
}
