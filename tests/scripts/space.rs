//! A disk that is nearly full, or becomes so in the middle of the switch.

use std::time::Duration;

use crate::bench::{Bench, Disk};
use crate::support::apps::App;
use crate::support::process::eventually;
use crate::support::site::Live;

super::in_every_shell! {
    deploys_go_on_when_the_disk_is_full_of_old_releases
    inodes_are_made_free_as_well
    a_disk_that_fills_in_the_switch_does_not_keep_it
}

fn deploys_go_on_when_the_disk_is_full_of_old_releases(bench: &mut Bench) {
    let _disk = Disk::mount(&bench.site.dir, "size=48m");
    bench.config.set("release.keep", 4);
    // Eight, and what receiving it takes: the fifth doesn't fit beside four.
    let app = |n: usize| App::site(&format!("v{n}")).ballast(8_000_000);
    let mut ids: Vec<String> = (0..4).map(|n| bench.release(&app(n))).collect();
    for n in 4..7 {
        let output = bench.deploy(&app(n), &[]).expect(0).says(&["made room: 1 release removed"]);
        let removed = format!("removed {}", ids[n - 4]);
        assert!(
            output.events().iter().any(|e| e.is("step_note", "preflight") && e.text("text") == removed),
            "{output}"
        );
        ids.push(output.release());
        bench.site.assert_invariant(&Live::New(ids[n].clone()));
        assert_eq!(bench.site.releases(), ids[n - 3..]);
        let steps: Vec<_> = output.events().into_iter().filter(|e| e.kind() == "step_started").collect();
        assert_eq!(steps.len(), 13, "a step is told once: {output}");
    }
    let lines = bench.history();
    assert_eq!(lines.len(), 7, "{lines:?}");

    // What is kept anyway isn't given up for it.
    let output = bench.deploy(&App::site("huge").ballast(34_000_000), &[]).expect(1);
    output.says(&["free after 1 old release had been removed", "the release of 34 MB needs", "not touched", "cleanup"]);
    bench.site.assert_invariant(&Live::Old(ids[6].clone()));
    assert_eq!(bench.site.releases(), ids[4..]);
    bench.run("rollback", &[]).expect(0);
}

fn inodes_are_made_free_as_well(bench: &mut Bench) {
    let _disk = Disk::mount(&bench.site.dir, "size=64m,nr_inodes=500");
    bench.config.set("release.keep", 3);
    let app = |version: &str| {
        (0..100).fold(App::site(version), |app, n| app.file(format!("file {n}"), format!("{version} {n}")))
    };
    for n in 0..3 {
        bench.release(&app(&format!("v{n}")));
    }
    bench.deploy(&app("v3"), &[]).expect(0).says(&["made room: 1 release removed"]);
}

fn a_disk_that_fills_in_the_switch_does_not_keep_it(bench: &mut Bench) {
    let disk = Disk::mount(&bench.site.dir, "size=16m,nr_inodes=300");
    let old = bench.release(&App::site("v1"));
    // The link is switched, and the switch not yet over.
    let switch = bench.hold_behind("mv", "/next/current");
    bench.write(&App::site("v2"));
    let run = bench.start("deploy", &[]);
    switch.wait(&run);
    disk.fill();
    run.kill();
    eventually("current is the old one", Duration::from_secs(2), || match bench.site.current() {
        Some(id) if id == old => Ok(()),
        other => Err(format!("{other:?}")),
    });
    switch.let_go();
    bench.site.settles_to(&Live::Old(old), Duration::from_secs(8));
    disk.empty();
    bench.release(&App::site("v3"));
}
