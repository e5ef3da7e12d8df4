//! One case: the home is made, the run is stopped at its place, the fault is done, what it came to is judged, and then a
//! plain deploy must just work.

use std::time::Duration;

use crate::bench::Bench;
use crate::ground::Ground;
use crate::judge::{Before, judge, lossless, serves};
use crate::made::make;
use crate::matrix::{At, Case, Fault, Owner, Phase, Verb};
use crate::spot::Reached;
use crate::support::process::{Signal, eventually, signal};
use crate::support::shipit::{Output, Running};
use crate::support::site::Live;

/// Plays it; what is wrong, if anything is.
pub(crate) fn play(ground: &Ground, number: usize, case: &Case) -> Result<(), String> {
    let made = ground.made((case.service, case.way, case.verb), || {
        make(ground, 9000 + start_number(case), case.service, case.way, case.verb)
    });
    let mut bench = Bench::new(ground, number, case);
    bench.begin_with(&made);
    let mut before =
        Before { live: made.live.clone(), left: made.left.clone(), link: bench.link(), servers: bench.servers() };
    let load = bench.load();
    bench.write("new");
    let verb = match case.verb {
        Verb::First | Verb::Deploy | Verb::Undone => "deploy",
        Verb::Rollback => "rollback",
        Verb::TakeBack | Verb::Finish => "recover",
    };
    let mut run = bench.start(verb);
    if matches!(case.place.at, At::Event(..)) {
        run.wait_for(case.place.step, |event| event.is("step_started", case.place.step));
        bench.spot.begun();
    }
    let Some(reached) = bench.spot.wait(|| run.is_over()) else {
        return Err(format!("the place was never reached\n{}", run.finish()));
    };
    if matches!(case.place.step, "build" | "package") {
        // The build runs beside the connection, and the fault is to find both.
        run.wait_for_nth(1, |event| event.is("step_finished", "connect"));
    }
    let output = strike(&mut bench, case, run, reached, &mut before);
    bench.spot.release();
    let live = judge(&bench, case, &before, &output).map_err(|why| format!("{why}\n{output}"))?;
    if let Some(disk) = &bench.disk {
        disk.empty();
    }
    follow(&bench, case, live).map_err(|why| format!("then a plain deploy: {why}\n--- after\n{output}"))?;
    lossless(load).map_err(|why| format!("{why}\n{output}"))
}

fn start_number(case: &Case) -> usize {
    (case.service as usize * 2 + case.way as usize) * 6 + case.verb as usize
}

/// Does the fault, lets the run go on, and waits for its end.
fn strike(bench: &mut Bench, case: &Case, run: Running, reached: Reached, before: &mut Before) -> Output {
    match case.fault {
        // Done where the place is.
        Fault::ScriptFails | Fault::ToolFails | Fault::Prints => return run.finish(),
        Fault::Hangs => return hang(bench, case, run),
        Fault::ScriptKilled => {
            // A line of the build has a leader beside it, which is none of the user's.
            let script = match case.place.owner {
                Owner::Here => reached.pid,
                Owner::Program => reached.parent,
                _ => reached.group,
            };
            assert!(signal(script, Signal::Kill), "{reached:?}");
        }
        Fault::SessionKilled => {
            // A lock that lies there before the session's own is an earlier run's.
            let own = case.place.owner == Owner::Session;
            let session = if own { reached.group } else { bench.session().expect("a session holds the lock") };
            assert!(signal(session, Signal::Kill), "session {session}");
        }
        Fault::Killed => {
            let output = run.kill();
            bench.spot.release();
            return output;
        }
        Fault::Stopped => {
            run.signal(Signal::Stop);
            bench.spot.release();
            alone(bench);
            run.signal(Signal::Cont);
        }
        Fault::Terminated => ask_to_stop(case, &run, Signal::Term),
        Fault::Interrupted => ask_to_stop(case, &run, Signal::Int),
        Fault::InterruptedTwice => {
            // Both must not melt into one.
            ask_to_stop(case, &run, Signal::Int);
            interrupt_again(&run);
        }
        Fault::Cut => bench.proxy.as_ref().expect("made with one").cut(),
        Fault::Silent => {
            bench.proxy.as_ref().expect("made with one").freeze();
            bench.spot.release();
            alone(bench);
            let proxy = bench.proxy.as_ref().expect("made with one");
            proxy.cut();
            proxy.thaw();
        }
        Fault::DiskFull => bench.disk.as_ref().expect("made with one").fill(),
        Fault::MasterDies => {
            let masters = bench.masters();
            assert!(!masters.is_empty(), "there is a master");
            masters.into_iter().for_each(|pid| assert!(signal(pid, Signal::Kill)));
        }
        Fault::Second => {
            // Before the lock is taken it is free, or that of an earlier run which is dead.
            let locked = case.place.name != "lock" || case.place.step == "end";
            let second = bench.other("second");
            let right = if locked { 3 } else { 0 };
            let second = second.expect(right);
            if right == 0 {
                let live = Some(second.release());
                *before = Before { left: live.clone(), live, link: bench.link(), servers: bench.servers() };
            }
        }
    }
    bench.spot.release();
    run.finish()
}

/// A signal, and that it was taken: what is let go at once might else be over before.
fn ask_to_stop(case: &Case, run: &Running, which: Signal) {
    run.signal(which);
    if matches!(case.place.phase, Phase::Before | Phase::Switched) {
        run.wait_for_nth(1, |event| event.kind() == "warning" && event.text("text").starts_with("cancelled"));
    }
}

/// A second signal, unless the first was enough.
fn interrupt_again(run: &Running) {
    run.try_signal(Signal::Int);
}

/// The tool does not come back. Where that has a limit of the config's, it is waited for; else the user gives up.
fn hang(bench: &mut Bench, case: &Case, run: Running) -> Output {
    let limited = match case.place.at {
        At::Look => true,
        At::Line(line) => !matches!(line, "build" | "revert"),
        _ => false,
    };
    if !limited {
        run.try_signal(Signal::Int);
        if matches!(case.place.phase, Phase::Committing | Phase::Back) {
            // Another signal than the first: two of a kind may melt into one, and neither is told of here.
            run.try_signal(Signal::Term);
        }
    }
    let output = run.finish();
    bench.spot.release();
    output
}

/// Waits until the host has come to its end by itself.
fn alone(bench: &Bench) {
    eventually("the host takes itself back", Duration::from_secs(40), || match bench.lock() {
        None if bench.strangers().is_empty() => Ok(()),
        lock => Err(format!("{lock:?} {:?}", bench.strangers())),
    });
}

/// The next deploy needs no manual work.
fn follow(bench: &Bench, _case: &Case, _live: Live) -> Result<(), String> {
    bench.lead();
    bench.write("after");
    let output = bench.start("deploy").finish();
    if output.code != Some(0) {
        return Err(format!("exit code {:?}\n{output}", output.code));
    }
    let live = Live::New(output.release());
    bench.site.settles_to(&live, Duration::from_secs(5));
    bench.lead();
    serves(bench, &live)?;
    bench.quiet();
    bench.listed(live.id())?;
    bench.saved()
}
