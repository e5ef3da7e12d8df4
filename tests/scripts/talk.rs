//! A line of the user that prints more than anybody reads: it waits for nobody, and its end is told.

use crate::bench::Bench;
use crate::support::apps::App;

super::in_every_shell! {
    of_a_hook_that_prints_on_and_on_the_end_is_told
}

fn of_a_hook_that_prints_on_and_on_the_end_is_told(bench: &mut Bench) {
    let talks =
        "yes 'a line of what a tool may print when it has lost its mind' | head -n 160000; printf 'the end'; exit 3";
    bench.config.set("hooks.before_switch", vec![talks.to_owned()]);
    let output = bench.deploy(&App::site("v1"), &["--verbose"]).expect(1).says(&["the end", "the last 50 lines"]);
    let lines = output.stdout.lines().filter(|line| line.contains("lost its mind")).count();
    assert!(lines < 4200, "10 MB are not told line by line: {lines}");
}
