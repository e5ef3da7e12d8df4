//! Late or twice: a commit after the way back has begun, a session whose lock is somebody else's by now, a hand that
//! changed `current` meanwhile, a cancel when all is done, a build that nobody waits for any more.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::process::{self, Signal, alive, eventually};
use crate::support::site::Live;

super::in_every_shell! {
    no_commit_goes_to_a_session_that_takes_back
    who_lost_the_lock_leaves_current_alone
    a_switch_that_is_no_longer_its_own_is_left_alone
    a_current_that_was_changed_by_hand_is_left_to_a_human
    a_cancel_while_old_releases_go_leaves_a_good_one
    a_build_ends_with_shipit
}

fn no_commit_goes_to_a_session_that_takes_back(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    // Putting back takes as long as this one is held: the record's change is its last part but one.
    let record = bench.hold_tool("sed", "state");
    record.let_go();
    bench.soaks().set("health.soak", "5s");
    bench.write(&App::site("v2"));
    let run = bench.start("deploy", &[]);
    bench.soaks_in(&run);
    let watches = |pid: u32| bench.stands_in(pid) && process::command_line(pid).ends_with("sleep 5 ");
    eventually("the watch sleeps", Duration::from_secs(5), || {
        process::all().into_iter().any(watches).then_some(()).ok_or_else(|| run.so_far())
    });
    record.again();
    // Its lock is taken away by hand; it answers on, but what it says is another word.
    bench.plant("free");
    record.wait_within(Duration::from_secs(4), &run);
    // What the soak saw was well; only the answer just before the commit can tell.
    run.wait_for("the commit's failure", |event| event.is("step_failed", "commit"));
    record.let_go();
    let output = run.finish().expect(4);
    assert!(!output.events().iter().any(|event| event.is("step_started", "commit")), "{output}");
    bench.site.assert_invariant(&Live::Old(old));
    bench.soaks_no_more();
    bench.release(&App::site("v3"));
}

fn who_lost_the_lock_leaves_current_alone(bench: &mut Bench) {
    bench.release(&App::site("v1"));
    let (run, lost) = bench.held(&App::site("v2"));
    // As `unlock` does where an owner can't be judged: then the next run takes back what it finds, and goes on.
    bench.plant("free");
    bench.soaks_no_more();
    let new = bench.deploy(&App::site("v3"), &[]).expect(0).release();
    let output = run.finish();
    assert_ne!(output.code, Some(0), "{output}");
    assert_eq!(bench.site.current(), Some(new.clone()), "it is not that run's to put back\n{output}");
    bench.site.assert_invariant(&Live::New(new));
    assert_eq!(bench.state(&lost), "unproven");
}

fn a_switch_that_is_no_longer_its_own_is_left_alone(bench: &mut Bench) {
    let first = bench.release(&App::site("v1"));
    bench.release(&App::site("v2"));
    let (run, _) = bench.held(&App::site("v3"));
    // Somebody mends by hand what is not yet broken: the journal goes, and another release is live.
    let current = bench.site.dir.join("current");
    fs::remove_file(bench.site.dir.join(".shipit/pending")).unwrap();
    fs::remove_file(&current).unwrap();
    symlink(format!("releases/{first}"), &current).unwrap();
    run.kill();
    bench.site.settles_to(&Live::Old(first), Duration::from_secs(8));
    bench.soaks_no_more();
    bench.release(&App::site("v4"));
}

fn a_current_that_was_changed_by_hand_is_left_to_a_human(bench: &mut Bench) {
    let first = bench.release(&App::site("v1"));
    bench.release(&App::site("v2"));
    let (run, _) = bench.held(&App::site("v3"));
    bench.kill_both(run);
    let current = bench.site.dir.join("current");
    fs::remove_file(&current).unwrap();
    symlink(format!("releases/{first}"), &current).unwrap();
    for verb in ["recover", "deploy"] {
        bench.run(verb, &[]).expect(5).says(&["by hand", ".shipit/pending"]);
        assert_eq!(bench.site.current().as_deref(), Some(&*first));
        assert_eq!(bench.lock().text, "free");
    }
    fs::remove_file(bench.site.dir.join(".shipit/pending")).unwrap();
    bench.run("recover", &[]).expect(0);
    bench.site.assert_invariant(&Live::Old(first));
}

fn a_cancel_while_old_releases_go_leaves_a_good_one(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    bench.config.set("release.keep", 1);
    let removal = bench.hold_tool("mv", "/trash/2");
    // The release that was live before this run is its way back, so it goes with the next one only.
    let second = bench.release(&App::site("v2"));
    bench.write(&App::site("v3"));
    let run = bench.start("deploy", &[]);
    removal.wait(&run);
    run.signal(Signal::Int);
    run.wait_for("the cancel is heard", |event| event.text("text").contains("cancelled while"));
    removal.let_go();
    let output = run.finish().expect(0);
    let new = output.release();
    bench.site.assert_invariant(&Live::New(new.clone()));
    assert_eq!([bench.state(&new), bench.state(&old)], ["good", "removed"]);
    assert_eq!(bench.site.releases(), [second, new]);
    bench.assert_nothing_runs();
}

fn a_build_ends_with_shipit(bench: &mut Bench) {
    let note = bench.area.path().join("pids");
    // One that heeds the first signal, and one that does not.
    let build = format!(
        "sleep 1000 & (trap '' TERM; sleep 1001; sleep 1002) & echo $$ $! >'{0}.part'; mv '{0}.part' '{0}'; wait",
        note.display()
    );
    bench.config.set("build.command", build);
    bench.write(&App::site("v1"));
    for signal in [Signal::Kill, Signal::Int] {
        let run = bench.start("deploy", &[]);
        // The shell of the command, what it sleeps in, the subshell and what that one sleeps in.
        let mut all = BTreeSet::new();
        eventually("the build runs", Duration::from_secs(30), || {
            let text = fs::read_to_string(&note).unwrap_or_default();
            for pid in text.split_whitespace().map(|pid| pid.parse().unwrap()) {
                all.insert(pid);
                all.extend(process::descendants(pid));
            }
            if all.len() >= 4 { Ok(()) } else { Err(run.so_far()) }
        });
        run.signal(signal);
        run.finish();
        eventually("nothing of the build is left", Duration::from_secs(6), || {
            let left: Vec<u32> = all.iter().copied().filter(|pid| alive(*pid)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?} of {all:?}")) }
        });
        fs::remove_file(&note).unwrap();
    }
    // A build that ends is what it was: its own exit code is told.
    bench.config.set("build.command", "exit 7");
    bench.deploy(&App::site("v1"), &[]).expect(1).says(&["ended with exit code 7"]);
}
