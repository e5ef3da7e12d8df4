//! A dry run tells the truth and does nothing: its steps are those of the run, skipped ones included, and not a
//! byte on the host is another one afterwards.

use std::collections::BTreeMap;

use super::support::shipit::{Event, Output};
use super::support::{App, Bench, Live, Make};

/// The step words of a printed plan, each with whether it is skipped: lines that begin with a number.
fn planned(output: &Output) -> Vec<(String, bool)> {
    let numbered = |line: &str| {
        let mut words = line.split_whitespace();
        words.next()?.parse::<u32>().ok()?;
        Some((words.next()?.to_owned(), words.next() == Some("skipped:")))
    };
    let steps: Vec<_> = output.stdout.lines().filter_map(numbered).collect();
    assert!(steps.len() > 4, "no plan is printed\n{output}");
    steps
}

/// The steps that a run reported the end of, each with whether it was skipped.
fn reported(events: &[Event]) -> BTreeMap<String, bool> {
    let mut steps = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind() == "step_finished") {
        let skipped = event.text("outcome") == "skipped";
        let seen = steps.insert(event.text("step").to_owned(), skipped);
        assert!(seen.is_none_or(|seen| seen == skipped), "{event:?}");
    }
    steps
}

fn plan_and_run_agree(bench: &Bench, app: &App, verb: &str, flags: &[&str]) {
    bench.write(app);
    let dry = [flags, &["--dry-run"]].concat();
    let plan = planned(&bench.run(verb, &dry).expect(0));
    let run = bench.run(verb, &[flags, &["--json"]].concat()).expect(0);
    let events = run.events();
    assert_eq!(plan.iter().cloned().collect::<BTreeMap<_, _>>(), reported(&events), "{run}");

    // In the same order, too: what happens on the host follows the plan line by line. Only building here may
    // begin while the hosts are asked for their facts.
    let here = ["build", "package"];
    let order = |steps: Vec<&str>| steps.into_iter().filter(|step| !here.contains(step)).map(str::to_owned).collect();
    let begun = events.iter().filter(|event| event.kind() == "step_finished").map(|event| event.text("step"));
    let begun: Vec<String> = order(begun.collect());
    let listed: Vec<String> = order(plan.iter().map(|(step, _)| step.as_str()).collect());
    assert_eq!(begun, listed, "{run}");
}

#[test]
fn the_plan_of_files_is_what_happens() {
    let mut bench = Make::files().bench();
    plan_and_run_agree(&bench, &App::site("v1"), "deploy", &[]);
    bench.config.set("build.command", ":");
    plan_and_run_agree(&bench, &App::site("v2"), "deploy", &[]);
    plan_and_run_agree(&bench, &App::site("v3"), "deploy", &["--skip-build"]);
    plan_and_run_agree(&bench, &App::site("v3"), "rollback", &[]);
}

#[test]
fn the_plan_of_a_server_is_what_happens() {
    let bench = Make::pm2(1).bench();
    plan_and_run_agree(&bench, &App::server("v1"), "deploy", &[]);
    plan_and_run_agree(&bench, &App::server("v2"), "deploy", &["--no-boot-test"]);
    plan_and_run_agree(&bench, &App::server("v2"), "rollback", &[]);
}

#[test]
fn a_dry_run_writes_nothing_on_the_host() {
    let bench = Make::pm2(1).bench();
    let (host, site) = (bench.host(), bench.site());
    bench.write(&App::server("v1"));
    let before = site.listing();
    bench.run("deploy", &["-n"]).expect(0);
    assert_eq!(site.listing(), before, "before the first release");
    assert_eq!(host.pm2.as_ref().unwrap().daemon(), None, "and no daemon is started");

    let live = bench.release(&App::server("v1"));
    let workers = host.workers();
    let before = site.listing();
    for (verb, flags) in [
        ("deploy", vec!["-n"]),
        ("deploy", vec!["-n", "--no-boot-test"]),
        ("cleanup", vec!["--dry-run", "--keep", "1"]),
    ] {
        bench.run(verb, &flags).expect(0);
        assert_eq!(site.listing(), before, "{verb} {flags:?}");
    }
    for verb in ["status", "releases"] {
        bench.run(verb, &[]).expect(0);
        assert_eq!(site.listing(), before, "{verb}");
    }
    assert_eq!(host.workers(), workers, "nor is a process touched");
    host.assert_live(&Live::Old(live), 1);
}

#[test]
fn a_dry_rollback_names_the_release() {
    let bench = Make::files().bench();
    let first = bench.release(&App::site("v1"));
    bench.run("rollback", &["-n"]).expect(1).says(&["no earlier good release", "shipit releases"]);
    let second = bench.release(&App::site("v2"));
    bench.run("rollback", &["-n"]).expect(0).says(&[&format!("release {first}, made just now")]);
    bench.run("rollback", &[&second, "-n"]).expect(1).says(&["live already"]);
}

#[test]
fn an_offline_dry_run_connects_to_nobody() {
    let bench = Make::files().bench();
    bench.write(&App::site("v1"));
    let connections = || bench.host().sshd.log().matches("Connection from").count();
    let before = connections();
    planned(&bench.run("deploy", &["-n", "--offline"]).expect(0));
    assert_eq!(connections(), before);
    planned(&bench.run("deploy", &["-n"]).expect(0));
    assert!(connections() > before, "the log does tell");
}
