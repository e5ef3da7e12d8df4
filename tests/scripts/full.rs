//! A disk that fills up while a release arrives or is made of what lies there: the run says so, production is untouched,
//! and nothing stays that would be in the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bench::{Bench, Disk};
use crate::support::apps::App;
use crate::support::site::Live;

super::in_every_shell! {
    a_disk_that_fills_while_a_release_is_unpacked
    a_disk_that_is_full_when_a_release_arrives
    a_disk_that_fills_while_files_are_copied
    a_disk_that_is_full_when_lists_are_made
}

/// More than the tools' own buffers, and less than the disk.
const BALLAST: usize = 6_000_000;

fn app(version: &str) -> App {
    (0..20)
        .fold(App::site(version).ballast(BALLAST), |app, n| app.file(format!("lib/{n}.js"), format!("the same, {n}")))
}

/// Deploys `app` over the live one, and leaves `spare` bytes of the disk when `tool` is run with `word` among its words.
fn fills(bench: &mut Bench, app: &App, (tool, word): (&str, &str), spare: u64) {
    let disk = Disk::mount(&bench.site.dir, "size=40m,nr_inodes=2000");
    let first = App::site("v0").file("lib/1.js", "another");
    let first = if tool == "tar" { first } else { self::app("v0") };
    let old = bench.release(&first);
    let before = bench.site.production();
    let hold = bench.hold_tool(tool, word);
    bench.write(app);
    let run = bench.start("deploy", &[]);
    hold.wait(&run);
    disk.fill_but(spare);
    hold.let_go();
    let output = run.finish().expect(1).says(&["the disk is full: ", "o space left on device", "not touched"]);
    bench.site.settles_to(&Live::Old(old), Duration::from_secs(8));
    let filled = Path::new("filled");
    let now = bench.site.production().into_iter().filter(|(path, _)| !path.starts_with(filled));
    let own = |(path, _): &(PathBuf, String)| path != Path::new("") && path != Path::new("releases");
    assert_eq!(now.filter(own).collect::<Vec<_>>(), before.into_iter().filter(own).collect::<Vec<_>>(), "{output}");
    assert!(!bench.site.dir.join(".shipit/incoming").exists(), "on a full disk it would be in the way: {output}");
    bench.assert_nothing_runs();
    disk.empty();
    bench.release(app);
}

fn a_disk_that_fills_while_a_release_is_unpacked(bench: &mut Bench) {
    fills(bench, &app("v1"), ("tar", "-xof"), 3_000_000);
}

fn a_disk_that_is_full_when_a_release_arrives(bench: &mut Bench) {
    fills(bench, &app("v1"), ("tar", "-xof"), 0);
}

fn a_disk_that_fills_while_files_are_copied(bench: &mut Bench) {
    fills(bench, &app("v1"), ("cp", "--parents"), 3_000_000);
}

fn a_disk_that_is_full_when_lists_are_made(bench: &mut Bench) {
    fills(bench, &app("v1"), ("awk", "stage/delta"), 0);
}
