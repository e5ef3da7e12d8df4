//! What crosses the link, counted there: little more than what changed; and where it is cut in the middle of an upload,
//! again and again, what arrived whole is not sent again, also when the build has changed meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::support::process::eventually;
use super::support::proxy::Way;
use super::support::{App, Bench, Live, Make};

/// Each file's size: what is cut in two has to be sent again.
const FILE: usize = 50_000;
/// What crosses for a deploy that sends nothing: scripts, lists, ssh itself.
const OVERHEAD: u64 = 32_000;

/// Bytes that don't compress, another for each number.
fn noise(number: u64) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 32) as u8
    };
    std::iter::repeat_with(next).take(FILE).collect()
}

/// An app of these files.
fn app(version: &str, numbers: impl IntoIterator<Item = u64>) -> App {
    numbers.into_iter().fold(App::site(version), |app, n| app.file(format!("lib/{}/{n}.bin", n % 7), noise(n)))
}

/// Deploys, and cuts the link when this much more has crossed. What the host then has of it.
fn cut_after(bench: &Bench, app: &App, bytes: u64, live: &Live) -> u64 {
    let proxy = bench.host().proxy();
    let before = proxy.crossed(Way::Up);
    proxy.limit(2_000_000);
    let run = bench.start(app, &[]);
    eventually("a good part is sent", Duration::from_secs(30), || match proxy.crossed(Way::Up) - before {
        sent if sent < bytes => Err(format!("{sent} bytes\n{}", run.so_far())),
        _ => Ok(()),
    });
    proxy.cut();
    proxy.limit(0);
    let output = run.finish();
    assert!(output.code == Some(1), "{output}");
    let output = output.says(&["not touched"]);
    bench.site().settles_to(live, Duration::from_secs(15));
    let left: Vec<String> = entries(bench, ".shipit").into_iter().filter(|name| name.starts_with("t.")).collect();
    assert!(left.is_empty() && !entries(bench, ".shipit/incoming").is_empty(), "{left:?}\n{output}");
    whole(bench, app)
}

fn entries(bench: &Bench, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(bench.site().dir.join(dir)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// How many bytes of the app's files lie whole in incoming/.
fn whole(bench: &Bench, app: &App) -> u64 {
    let entries = walkdir::WalkDir::new(bench.site().dir.join(".shipit/incoming")).into_iter();
    let files = entries.map(|entry| entry.unwrap().into_path()).filter(|path| path.is_file());
    let left: BTreeSet<Vec<u8>> = files.map(|file| fs::read(file).unwrap()).collect();
    app.files().values().filter(|content| left.contains(*content)).map(|content| content.len() as u64).sum()
}

/// Deploys to the end; what crossed.
#[track_caller]
fn rest(bench: &Bench, app: &App) -> u64 {
    let before = bench.host().proxy().crossed(Way::Up);
    let id = bench.release(app);
    bench.site().assert_invariant(&Live::New(id));
    assert!(!bench.site().dir.join(".shipit/incoming").exists());
    for (name, content) in app.files() {
        assert_eq!(&fs::read(bench.site().dir.join("current").join(name)).unwrap(), content, "{name:?}");
    }
    bench.host().proxy().crossed(Way::Up) - before
}

/// What may cross where files of this many bytes are sent: each has a name and a hash, and ssh counts along.
fn sent(bytes: u64) -> u64 {
    bytes + bytes / 50 + OVERHEAD
}

fn size(app: &App) -> u64 {
    app.files().values().map(|content| content.len() as u64).sum()
}

#[test]
fn a_first_upload_that_is_cut_goes_on_where_it_was() {
    let bench = Make::files().proxied().bench();
    let app = app("v1", 0..120);
    let whole = cut_after(&bench, &app, 3_000_000, &Live::Nothing);
    let crossed = rest(&bench, &app);
    // The file in two pieces, and what the link had taken in.
    let torn = 300_000;
    assert!(whole > 3_000_000 - torn, "{whole}");
    assert!(crossed < sent(size(&app) - whole), "{crossed} of {}, {whole} was there", size(&app));
}

#[test]
fn two_cuts_add_up_and_a_build_that_changed_in_between_takes_what_fits() {
    let bench = Make::files().proxied().bench();
    let old = Live::Old(bench.release(&app("v0", 0..10)));
    let once = cut_after(&bench, &app("v1", 0..130), 2_000_000, &old);
    let twice = cut_after(&bench, &app("v1", 0..130), 2_000_000, &old);
    assert!(once > 1_500_000 && twice > once + 1_500_000, "{once}, then {twice}");
    // Of what arrived, five files are not wanted any more, and one is, under another name.
    let changed = app("v2", (5..125).chain(200..210)).file("renamed.bin", noise(2));
    let there = whole(&bench, &changed) + 5 * FILE as u64;
    let crossed = rest(&bench, &changed);
    assert!(crossed < sent(size(&changed) - there), "{crossed} of {}, {there} was there", size(&changed));
}

#[test]
fn a_change_costs_little_more_than_itself() {
    let bench = Make::files().proxied().bench();
    let app = |version: &str| app(version, 0..60).file("lib/one.bin", noise(version.len() as u64));
    bench.release(&app("v1"));
    let crossed = rest(&bench, &app("v22"));
    assert!(crossed < FILE as u64 * 12 / 10 + OVERHEAD, "{crossed}");
    // Every file is new here and known there.
    let crossed = rest(&bench, &app("v22"));
    assert!(crossed < OVERHEAD, "{crossed}");
}
