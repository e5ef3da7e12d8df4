//! A build that doesn't hold still: nothing of it goes live, and the sentence names the file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::bench::{Bench, Hold, Shell};
use crate::support::apps::App;
use crate::support::site::Live;

/// Deploys while the host's look at itself is held: all is hashed by then, and nothing is packed.
fn changes(bench: &Bench, hold: &Hold, app: &App, change: impl Fn(&Path)) {
    let live = bench.site.current().map_or(Live::Nothing, Live::Old);
    let before = bench.site.releases();
    bench.write(app);
    let run = bench.start("deploy", &[]);
    run.wait_for("the hashes", |event| event.is("step_finished", "package"));
    hold.wait(&run);
    change(&bench.project.join("dist/lib/app.js"));
    hold.let_go();
    let output = run.finish().expect(1);
    let output = output.says(&["dist/lib/app.js` was changed or removed while it was being packed", "not touched"]);
    bench.site.assert_invariant(&live);
    assert_eq!(bench.site.releases(), before, "{output}");
    assert!(!bench.site.dir.join(".shipit/incoming").exists(), "nothing had arrived");
    hold.again();
}

#[test]
fn a_file_that_changes_or_goes_while_it_is_packed_is_named() {
    let bench = Shell::Dash.bench();
    let hold = bench.hold_tool("base64", "");
    let app = |version: &str| App::site(version).file("lib/app.js", "original");
    // The first deploy has nothing to reuse, the others have.
    changes(&bench, &hold, &app("v1"), |file| fs::write(file, "changed.").unwrap());
    hold.let_go();
    bench.release(&App::site("v1").file("lib/app.js", "another"));
    hold.again();
    changes(&bench, &hold, &app("v2"), |file| fs::write(file, "original and more").unwrap());
    changes(&bench, &hold, &app("v2"), |file| fs::write(file, "").unwrap());
    changes(&bench, &hold, &app("v2"), |file| fs::remove_file(file).unwrap());
    changes(&bench, &hold, &app("v2"), |file| fs::remove_dir_all(file.parent().unwrap()).unwrap());
    changes(&bench, &hold, &app("v2"), |file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    });
    changes(&bench, &hold, &app("v2"), |file| {
        fs::remove_file(file).unwrap();
        symlink("/etc/hostname", file).unwrap();
    });
    hold.let_go();
    bench.release(&app("v2"));
}

#[test]
fn what_does_not_travel_may_change() {
    let bench = Shell::Dash.bench();
    let hold = bench.hold_tool("base64", "");
    let app = |version: &str| App::site(version).file("lib/app.js", "original");
    hold.let_go();
    bench.release(&app("v1"));
    hold.again();
    bench.write(&app("v2"));
    let run = bench.start("deploy", &[]);
    run.wait_for("the hashes", |event| event.is("step_finished", "package"));
    hold.wait(&run);
    // The host has it as it was when the release was made of it.
    fs::write(bench.project.join("dist/lib/app.js"), "changed.").unwrap();
    hold.let_go();
    let id = run.finish().expect(0).release();
    bench.site.assert_invariant(&Live::New(id));
    assert_eq!(bench.site.read("lib/app.js"), "original");
}

#[test]
fn for_one_host_nothing_is_put_aside_here() {
    let mut bench = Shell::Dash.bench();
    bench.shipit = bench.shipit.env("TMPDIR", "/nowhere");
    // More than what may wait for the host.
    let id = bench.release(&App::site("v1").ballast(8_000_000));
    bench.site.assert_invariant(&Live::New(id));
}
