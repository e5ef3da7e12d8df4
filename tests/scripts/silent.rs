//! Nobody dies, but somebody does not answer: a client that stops, a tool that hangs.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::process::{Signal, eventually};
use crate::support::site::Live;

super::in_every_shell! {
    the_client_stops_for_longer_than_silence
    the_client_stops_for_a_moment
    a_tool_that_hangs_in_the_switch_is_ended_at_its_limit
}

fn the_client_stops_for_longer_than_silence(bench: &mut Bench) {
    bench.config.set("rollout.silence", "2s");
    let old = bench.release(&App::site("v1"));
    let (run, _) = bench.held(&App::site("v2"));
    let stopped = Instant::now();
    run.signal(Signal::Stop);
    // Ticks are whole seconds and may come late; the link goes back within two seconds of the last one.
    eventually("current is the old one", Duration::from_secs(2 + 2 + 1), || match bench.site.current() {
        Some(id) if id == old => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(stopped.elapsed() > Duration::from_millis(900), "not at once, {:?}", stopped.elapsed());
    bench.site.assert_invariant(&Live::Old(old.clone()));
    run.signal(Signal::Cont);
    run.finish().expect(4);
    bench.site.assert_invariant(&Live::Old(old));
    bench.assert_nothing_runs();
    bench.soaks_no_more();
    bench.release(&App::site("v3"));
}

fn the_client_stops_for_a_moment(bench: &mut Bench) {
    bench.config.set("rollout.silence", "6s");
    bench.release(&App::site("v1"));
    let (run, new) = bench.held(&App::site("v2"));
    run.signal(Signal::Stop);
    std::thread::sleep(Duration::from_secs(2));
    run.signal(Signal::Cont);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(bench.site.current(), Some(new));
    run.signal(Signal::Int);
    run.finish().expect(130);
}

fn a_tool_that_hangs_in_the_switch_is_ended_at_its_limit(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let flag = bench.area.path().join("hang");
    // Only the switch itself hangs; putting back is another word.
    let script = format!(
        "case $*:$(echo '{}'*) in */next/current*:*/hang) sleep 1000 ;; esac\nexec REAL \"$@\"",
        flag.display()
    );
    bench.shadow("mv", &script);
    std::fs::write(&flag, "").unwrap();
    let began = Instant::now();
    bench.deploy(&App::site("v2"), &[]).expect(4).says(&["longer than its limit"]);
    assert!(began.elapsed() < Duration::from_secs(30 + 20), "{:?}", began.elapsed());
    bench.site.assert_invariant(&Live::Old(old));
    bench.assert_nothing_runs();
    std::fs::remove_file(&flag).unwrap();
    bench.release(&App::site("v3"));
}
