//! What is kept of releases that are gone, and of runs: bounded, and never lost to a full disk.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::bench::{Bench, Disk};
use crate::support::apps::App;
use crate::support::process::{Signal, eventually};
use crate::support::site::Live;

super::in_every_shell! {
    evidence_of_removed_releases_is_bounded
    every_run_that_had_a_release_leaves_a_line
    the_history_is_bounded_and_survives_a_full_disk
}

fn names(dir: PathBuf) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn evidence_of_removed_releases_is_bounded(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let state = bench.site.dir.join(".shipit");
    let (records, manifests) = (state.join("records"), state.join("manifests"));
    // A release of long ago that is still there, and many that are not.
    let ancient = "20010101-000000-aaaa";
    let text = fs::read_to_string(records.join(format!("{old}.json"))).unwrap();
    let plant = |id: &str| {
        fs::write(records.join(format!("{id}.json")), text.replace(&old, id)).unwrap();
        fs::copy(manifests.join(&old), manifests.join(id)).unwrap();
    };
    plant(ancient);
    fs::create_dir(bench.site.dir.join("releases").join(ancient)).unwrap();
    fs::remove_file(manifests.join(ancient)).unwrap();
    fs::copy(manifests.join(&old), manifests.join(ancient)).unwrap();
    for day in 1..=28 {
        for hour in 0..4 {
            plant(&format!("202401{day:02}-{hour:02}0000-bbbb"));
        }
    }
    fs::write(records.join("notes.json"), "not ours").unwrap();
    // One that is not sent is not read: only the newest of those whose files are gone are.
    for damaged in ["20240128-010000-bbbb", "20240114-010000-bbbb"] {
        fs::write(records.join(format!("{damaged}.json")), "{").unwrap();
    }
    let output = bench.deploy(&App::site("v2"), &[]).expect(0);
    assert_eq!(output.stdout.matches("can't be read").count(), 1, "{output}");
    let new = output.release();
    let kept = names(records);
    // The newest fifty, the one that has a directory, and what isn't ours.
    assert_eq!(kept.len(), 50 + 2, "{kept:?}");
    for id in [&*new, &*old, "20240128-030000-bbbb", ancient] {
        assert!(kept.contains(&format!("{id}.json")), "{id} of {kept:?}");
    }
    assert!(!kept.contains(&"20240101-000000-bbbb.json".to_owned()));
    assert_eq!(names(manifests), [ancient, &*old, &*new]);
    // An id is never below one that was used, also when its files are gone.
    fs::write(state.join("records/20990101-000000-zzzz.json"), text.replace(&old, "20990101-000000-zzzz")).unwrap();
    fs::remove_dir_all(bench.site.dir.join("releases").join(ancient)).unwrap();
    let last = bench.release(&App::site("v3"));
    assert!(*last > *"20990101-000000-zzzz", "{last}");
}

/// The last line of the history: verb, release, previous, state, why.
fn last(bench: &Bench) -> [String; 5] {
    let line = bench.history().pop().unwrap();
    ["verb", "release", "previous", "state", "why"].map(|field| line[field].as_str().unwrap_or("").to_owned())
}

fn every_run_that_had_a_release_leaves_a_line(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    assert_eq!(last(bench), ["deploy", &*old, "", "good", ""]);

    bench.config.set("health.url", "http://127.0.0.1:1/").set("health.within", "1s").set("health.assets", false);
    let failed = bench.deploy(&App::site("v2"), &[]).expect(4).release();
    let [verb, release, previous, state, why] = last(bench);
    assert_eq!([verb, release, previous, state], ["deploy", &*failed, &*old, "failed"]);
    assert!(why.starts_with("verify: "), "{why}");
    bench.soaks_no_more();
    bench.config.unset("health.within");

    let (run, cancelled) = bench.held(&App::site("v3"));
    run.signal(Signal::Int);
    run.finish().expect(130);
    assert_eq!(last(bench)[..4], ["deploy", &*cancelled, &*old, "unproven"]);
    assert!(last(bench)[4].contains("not committed: end of input"));

    // Nobody is left to write: the next one who comes does.
    let (run, dead) = bench.held(&App::site("v4"));
    bench.kill_both(run);
    assert_eq!(last(bench)[1], cancelled);
    bench.run("recover", &[]).expect(0);
    assert_eq!(last(bench)[..4], ["deploy", &*dead, &*old, "unproven"]);

    // A rollback that is given up: its target stays good.
    bench.soaks_no_more();
    let new = bench.release(&App::site("v5"));
    bench.soaks();
    bench.write(&App::site("v5"));
    let run = bench.start("rollback", &[]);
    bench.soaks_in(&run);
    run.signal(Signal::Int);
    run.finish().expect(130);
    assert_eq!(last(bench)[..4], ["rollback", &*old, &*new, "unproven"]);
    assert_eq!(bench.state(&old), "good");
    let lines = bench.history().len();
    bench.soaks_no_more();
    bench.write(&App::site("v6"));
    bench.run("recover", &[]).expect(0);
    bench.run("rollback", &[]).expect(0);
    assert_eq!(last(bench)[..4], ["rollback", &*old, &*new, "good"]);
    assert_eq!(bench.history().len(), lines + 1, "one line a run");
}

fn the_history_is_bounded_and_survives_a_full_disk(bench: &mut Bench) {
    bench.place("on a disk of its own");
    let disk = Disk::mount(&bench.site.dir, "size=16m");
    let old = bench.release(&App::site("v1"));
    let file = bench.site.dir.join(".shipit/history.jsonl");
    let line = fs::read_to_string(&file).unwrap();
    fs::write(&file, line.repeat(1500)).unwrap();
    let second = bench.release(&App::site("v2"));
    let lines = bench.history();
    assert_eq!(lines.len(), 1000);
    assert_eq!((&lines[0]["release"], &lines[999]["release"]), (&Value::from(&*old), &Value::from(&*second)));

    fs::write(&file, line.repeat(1500)).unwrap();
    let (run, _) = bench.held(&App::site("v3"));
    disk.fill();
    run.signal(Signal::Int);
    run.finish().expect(130);
    bench.site.assert_invariant(&Live::Old(second));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&line.repeat(1500)), "nothing is lost: {} lines", text.lines().count());
    disk.empty();
    // A line that was cut short stands alone.
    fs::write(&file, format!("{}{}", line.repeat(3), &line[..20])).unwrap();
    bench.soaks_no_more();
    let third = bench.release(&App::site("v4"));
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(serde_json::from_str::<Value>(lines[4]).unwrap()["release"], *third);
    eventually("the lock is free", Duration::from_secs(2), || match bench.lock().text {
        text if text == "free" => Ok(()),
        text => Err(text),
    });
}
