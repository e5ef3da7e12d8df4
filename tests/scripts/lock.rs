//! One run at a time, however many ask at once; a dead owner's lock is taken over, one that can't be judged is not.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bench::{Bench, Lock, quiet, started};
use crate::support::apps::App;
use crate::support::process::{Signal, alive, eventually, signal};
use crate::support::shipit::Running;
use crate::support::site::Live;

super::in_every_shell! {
    of_eight_at_once_never_two_at_a_time
    a_dead_owners_lock_is_taken_over
    what_a_dead_owner_started_is_ended_first
    a_lock_that_can_not_be_judged_is_respected
}

/// Looks all the time whether two sessions have a directory: it is made after the lock is taken, and removed before
/// the lock is freed.
struct Witness {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(usize, Vec<BTreeSet<String>>)>,
}

impl Witness {
    fn begin(bench: &Bench) -> Witness {
        let over = Arc::new(AtomicBool::new(false));
        let (dir, until) = (bench.site.dir.join(".shipit"), over.clone());
        let look = move || {
            let mut seen = BTreeSet::new();
            let mut two = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let names = fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.file_name());
                let here: Vec<String> =
                    names.filter_map(|n| n.into_string().ok()).filter(|n| n.starts_with("t.")).collect();
                // Listing is not one step: only what is still there, together, afterwards.
                let here: BTreeSet<String> = here.into_iter().filter(|name| dir.join(name).exists()).collect();
                if here.len() > 1 && here.iter().all(|name| dir.join(name).exists()) {
                    two.push(here.clone());
                }
                seen.extend(here);
                std::thread::sleep(Duration::from_millis(2));
            }
            (seen.len(), two)
        };
        Witness { over, thread: std::thread::spawn(look) }
    }

    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let (seen, two) = self.thread.join().unwrap();
        assert!(two.is_empty(), "two at a time: {two:?}");
        seen
    }
}

fn of_eight_at_once_never_two_at_a_time(bench: &mut Bench) {
    let mut last = bench.release(&App::site("v0"));
    let mut done = 1;
    // In the last round all of them wait for their turn.
    for args in [&[][..], &[][..], &["--wait", "4m"][..]] {
        let witness = Witness::begin(bench);
        let runs: Vec<Running> = (0..8).map(|_| bench.start("deploy", args)).collect();
        let outputs: Vec<_> = runs.into_iter().map(Running::finish).collect();
        let (won, lost): (Vec<_>, Vec<_>) = outputs.into_iter().partition(|output| output.code == Some(0));
        assert!(witness.end() >= won.len(), "the witness sees each one");
        assert!(!won.is_empty(), "one always wins");
        lost.into_iter().for_each(|output| drop(output.expect(3)));
        assert!(args.is_empty() || won.len() == 8, "who waits is let in");

        // One after another: each one's predecessor is the one before it in the history.
        let ids: BTreeSet<String> = won.iter().map(|output| output.release()).collect();
        let lines = bench.history().split_off(done);
        done += lines.len();
        let told: Vec<&str> = lines.iter().map(|line| line["release"].as_str().unwrap()).collect();
        assert_eq!(told.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(), ids);
        assert_eq!(told.len(), ids.len());
        for line in &lines {
            assert_eq!(line["previous"], *last, "{lines:?}");
            line["release"].as_str().unwrap().clone_into(&mut last);
        }
        bench.site.assert_invariant(&Live::New(last.clone()));
    }
    bench.assert_nothing_runs();
}

/// The text of a lock as a run here holds it.
fn real(bench: &mut Bench) -> Lock {
    bench.release(&App::site("v0"));
    let (run, _) = bench.held(&App::site("v1"));
    let lock = bench.lock();
    run.signal(Signal::Int);
    run.finish().expect(130);
    bench.soaks_no_more();
    assert_eq!(bench.lock().text, "free");
    lock
}

fn a_dead_owners_lock_is_taken_over(bench: &mut Bench) {
    let lock = real(bench);
    let mut zombie = quiet("true").spawn().unwrap();
    let pid = zombie.id();
    eventually("a zombie", Duration::from_secs(5), || if alive(pid) { Err("alive".into()) } else { Ok(()) });
    let own = std::process::id();
    let own_lock = lock.with(0, &own.to_string()).with(1, &started(own));
    let dead = [
        ("no such process", lock.clone()),
        // Alive, but the machine was started again since: the number says nothing.
        ("another boot", own_lock.with(3, "00000000-0000-0000-0000-000000000000")),
        ("a zombie", lock.with(0, &pid.to_string()).with(1, &started(pid)).with(2, &pid.to_string())),
        ("the number was given out again", own_lock.with(1, "1").with(2, &own.to_string())),
        // A process of this run's own must not be taken for the dead owner's group.
        ("its group's too", own_lock.with(0, &lock.pid.to_string()).with(1, "1").with(2, &own.to_string())),
    ];
    for (n, (what, lock)) in dead.iter().enumerate() {
        bench.plant(&lock.text);
        let output = bench.deploy(&App::site(&format!("over {n}")), &[]);
        assert_eq!(output.code, Some(0), "{what}: {}\n{output}", lock.text);
        bench.site.assert_invariant(&Live::New(output.release()));
    }
    assert!(alive(own));
    zombie.wait().unwrap();
}

fn what_a_dead_owner_started_is_ended_first(bench: &mut Bench) {
    let lock = real(bench);
    // A leader that is gone while another of its group goes on, and does not end when it is asked to.
    let note = bench.area.path().join("pid");
    let script = r#"(trap '' TERM; echo "$(cut -d' ' -f4 /proc/self/stat)" >"$1"; sleep 1000; sleep 1000) & wait_for() { [ -s "$1" ] || { sleep 0.1; wait_for "$1"; }; }; wait_for "$1"; cat /proc/$$/stat >"$1.leader""#;
    assert!(quiet("setsid").args(["sh", "-c", script, "sh"]).arg(&note).status().unwrap().success());
    let left: u32 = fs::read_to_string(&note).unwrap().trim().parse().unwrap();
    let leader = fs::read_to_string(note.with_extension("leader")).unwrap();
    let (pid, rest) = leader.split_once(' ').unwrap();
    let start = rest.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
    assert!(alive(left));
    bench.plant(&lock.with(0, pid).with(1, start).with(2, pid).text);
    let output = bench.deploy(&App::site("after"), &[]);
    let gone = !alive(left);
    signal(left, Signal::Kill);
    let id = output.expect(0).release();
    assert!(gone, "{left} went on");
    bench.site.assert_invariant(&Live::New(id));
}

fn a_lock_that_can_not_be_judged_is_respected(bench: &mut Bench) {
    let lock = real(bench);
    let current = bench.site.current();
    let own = std::process::id();
    for (lock, is_seen) in [
        (lock.with(4, "4026530000"), false),
        (lock.with(0, &own.to_string()).with(1, &started(own)).with(2, &own.to_string()), true),
    ] {
        bench.plant(&lock.text);
        let planted = bench.lock();
        bench.deploy(&App::site("v2"), &[]).expect(3);
        bench.deploy(&App::site("v2"), &["--wait", "1s"]).expect(3);
        bench.run("status", &[]).expect(0);
        assert_eq!((bench.lock().number, bench.lock().text), (planted.number, planted.text), "it was not touched");
        assert_eq!(bench.site.current(), current);
        if is_seen {
            bench.run("unlock", &[]).expect(3);
            bench.plant("free");
        } else {
            bench.run("unlock", &[]).expect(0);
        }
    }
    bench.release(&App::site("v2"));
}
