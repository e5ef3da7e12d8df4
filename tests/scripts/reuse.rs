//! What a host already has is not sent again: nothing wrong is ever carried over, and whatever can't be made out leads to
//! a release that is right all the same.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::bench::{Bench, appears};
use crate::support::apps::App;
use crate::support::shipit::Output;
use crate::support::site::Live;
use crate::support::tree;

super::in_every_shell! {
    only_what_changed_is_sent
    what_was_changed_in_the_live_release_is_never_carried_over
    renamed_and_retyped_entries_arrive
    a_big_folder_is_renamed
    what_the_host_says_wrongly_is_found_out
    a_host_without_awk_is_sent_all
    a_cut_upload_is_a_source_for_the_next
}

/// Big enough that sending it shows.
const BALLAST: usize = 4_000_000;

fn app(version: &str) -> App {
    (0..40).fold(App::site(version).ballast(BALLAST), |app, n| {
        app.file(format!("lib/{}/file {n}.js", n % 7), format!("the same in every version, {n}"))
    })
}

/// How many bytes were sent in all, and the words that the step ended with.
#[track_caller]
fn received(bench: &Bench, output: &Output) -> (u64, String) {
    let events = output.events();
    let ended = events.iter().find(|e| e.is("step_finished", "receive")).unwrap_or_else(|| panic!("{output}"));
    let told: Vec<_> = events.iter().filter(|event| event.kind() == "transfer").map(|event| &event.0).collect();
    // Before the first byte there is no figure of it; who had to be sent all after all is told so, too.
    let twice = output.stdout.contains("does not serve: ");
    let before = told.iter().filter(|told| told["wire"].is_null()).count();
    assert_eq!((before, told.len()), if twice { (2, 3) } else { (1, 2) }, "{output}");
    let transfer = told[told.len() - 1];
    let (reused, sent) = (transfer["reused"]["files"].as_u64().unwrap(), transfer["wire"].as_u64().unwrap());
    assert_eq!(ended.text("detail").contains(&format!("{reused} of ")), reused > 0, "{output}");
    let record = bench.site.record(&output.release())["transfer"].clone();
    assert!(["sent", "reused", "wire"].iter().all(|key| record[key] == transfer[key]), "{record} {transfer}");
    (sent, ended.text("detail").to_owned())
}

/// Deploys an app, which must succeed and arrive as it is; how many bytes that took, and the step's words.
#[track_caller]
pub(crate) fn release(bench: &Bench, app: &App) -> (u64, String) {
    let output = bench.deploy(app, &[]).expect(0);
    let id = output.release();
    assert_eq!(bench.site.current().as_deref(), Some(&*id));
    tree::verify(&bench.site.dir, &id, &[]).unwrap();
    let live = bench.site.dir.join("current");
    for (name, content) in app.files() {
        assert_eq!(&fs::read(live.join(name)).unwrap(), content, "{name:?}");
    }
    for (name, target) in app.links() {
        assert_eq!(&fs::read_link(live.join(name)).unwrap(), target, "{name:?}");
    }
    let count = walkdir::WalkDir::new(&live).follow_root_links(true).into_iter();
    let files = count.filter(|entry| entry.as_ref().unwrap().file_type().is_file()).count();
    assert_eq!(files, app.files().len() + 1, "nothing else, beside the marker");
    assert!(!bench.site.dir.join(".shipit/incoming").exists());
    received(bench, &output)
}

fn only_what_changed_is_sent(bench: &mut Bench) {
    let (sent, words) = release(bench, &app("v1").program("run", "#!/bin/sh\n"));
    assert!(sent > BALLAST as u64 && !words.contains("reused"), "{sent} {words}");
    let live = bench.site.dir.join("current");
    let at = |path: &str| fs::metadata(live.join(path)).unwrap();
    let (kept, page) = (at("lib/3/file 3.js").mtime(), at("index.html").mtime());
    // Every file is new to the client, as in a fresh checkout; one has the same size and another content.
    let (sent, words) = release(bench, &app("v2").program("run", "#!/bin/sh\n"));
    assert!(sent < 20_000 && words.contains("42 of 45 files reused, every file verified"), "{sent} {words}");
    figures_are_kept(bench, sent);
    assert_eq!(at("lib/3/file 3.js").mtime(), kept, "what did not change keeps its time");
    assert!(at("index.html").mtime() > page, "what changed gets a new one, at the same size");
    let mode = |path: &str| at(path).mode() & 0o777;
    assert_eq!((mode("run"), mode("lib/3/file 3.js"), mode("lib/3")), (0o755, 0o644, 0o755));

    // Another access is another mode for each file, and no new content.
    bench.config.set("release.access", "private");
    let (sent, _) = release(bench, &app("v3"));
    assert!(sent < 20_000, "{sent}");
    assert_eq!((mode("lib/3/file 3.js"), mode("lib/3"), mode("deep")), (0o640, 0o750, 0o750));
    assert_eq!(at("lib/3/file 3.js").mtime(), kept);

    bench.config.set("release.reuse", "off");
    let (sent, words) = release(bench, &app("v3"));
    assert!(sent > BALLAST as u64 && !words.contains("reused"), "{sent} {words}");
}

/// The figures of the live release and of the one before it, where 42 of 45 files were reused and `wire` bytes were sent.
fn figures_are_kept(bench: &Bench, wire: u64) {
    let listed = bench.run("releases", &["--json"]).expect(0).json()["hosts"][0]["releases"].clone();
    let (second, first) = (&listed[0]["transfer"], &listed[1]["transfer"]);
    assert_eq!(bench.site.record(listed[0]["id"].as_str().unwrap())["transfer"], *second);
    assert_eq!(
        (&second["wire"], &second["reused"]["files"], &second["sent"]["files"]),
        (&wire.into(), &42.into(), &3.into())
    );
    assert!(second["reused"]["bytes"].as_u64() > Some(BALLAST as u64) && second["sent"]["bytes"].as_u64() < Some(1000));
    assert_eq!((&first["reused"]["files"], &first["sent"]["files"]), (&0.into(), &45.into()));
    assert!(first["wire"].as_u64() > Some(BALLAST as u64) && first["sent"]["bytes"].as_u64() > Some(BALLAST as u64));
    bench.run("releases", &[]).expect(0).says(&["SENT", "REUSED", "42 of 45 files"]);
}

fn what_was_changed_in_the_live_release_is_never_carried_over(bench: &mut Bench) {
    release(bench, &app("v1"));
    let live = bench.site.dir.join("current");
    let file = |n: usize| live.join(format!("lib/{}/file {n}.js", n % 7));
    // The same size and the same time stamp: what a quick look believes.
    let before = fs::metadata(file(1)).unwrap();
    fs::write(file(1), "THE SAME IN EVERY VERSION, 1").unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap()).set_accessed(SystemTime::now());
    File::options().write(true).open(file(1)).unwrap().set_times(times).unwrap();
    fs::remove_file(file(2)).unwrap();
    fs::set_permissions(file(3), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(file(4)).unwrap();
    fs::create_dir(file(4)).unwrap();
    fs::remove_file(file(5)).unwrap();
    symlink("/etc/hostname", file(5)).unwrap();
    fs::write(live.join("lib/by the app"), "not shipped").unwrap();
    // A folder that leads elsewhere now, where the same files lie.
    let elsewhere = bench.area.path().join("elsewhere");
    fs::rename(live.join("lib/6"), &elsewhere).unwrap();
    symlink(&elsewhere, live.join("lib/6")).unwrap();

    let (sent, words) = release(bench, &app("v2"));
    assert!(sent < 20_000 && words.contains("reused"), "{sent} {words}");
    assert_eq!(fs::metadata(file(3)).unwrap().mode() & 0o777, 0o644);
    assert!(file(5).symlink_metadata().unwrap().is_file() && !live.join("lib/6").is_symlink());
}

fn renamed_and_retyped_entries_arrive(bench: &mut Bench) {
    let one = app("v1").file("a", "a file").file("b/c", "in a folder").file("d/e", "kept").link("l", "a");
    let one = one.link("to folder", "b").file("to link", "a file").link("another link", "a").folder("empty");
    release(bench, &one);
    let moved = |to: &str, app: App| {
        one.files().iter().fold(app, |app, (name, content)| match name.strip_prefix("lib") {
            Ok(rest) => app.file(Path::new(to).join(rest), content.clone()),
            Err(_) => app,
        })
    };
    let two = moved("[x] ~ $(y)@+/deeper", App::site("v2").ballast(BALLAST))
        .file("a/now", "a folder")
        .file("b", "a file")
        .file("l", "no link")
        .file("to folder/c", "in a folder")
        .link("to link", "a/now")
        .link("another link", "b")
        .file("empty", "not any more")
        .link("d", "a")
        .file("b twice", "a file")
        .file("n".repeat(181), "kept")
        .file("ballast again.bin", one.files()[Path::new("ballast.bin")].clone());
    let (sent, words) = release(bench, &two);
    assert!(sent < 20_000 && words.contains("reused"), "{sent} {words}");
}

fn a_big_folder_is_renamed(bench: &mut Bench) {
    // More than one command line takes, anywhere; of many lengths, so that no line ends as another does.
    let app = |folder: &str| {
        (0..350_usize).fold(App::site("v1"), |app, n| {
            let name = format!("{folder}/{}/{n}", "n".repeat(150 + n % 97));
            app.file(name, format!("content {n}"))
        })
    };
    release(bench, &app("a folder"));
    let (_, words) = release(bench, &app("another folder"));
    assert!(words.contains("352 of 353 files reused"), "{words}");
}

fn what_the_host_says_wrongly_is_found_out(bench: &mut Bench) {
    release(bench, &app("v1"));
    let manifest = |bench: &Bench| {
        let id = bench.site.current().unwrap();
        bench.site.dir.join(".shipit/manifests").join(id)
    };
    // Cut in a line, cut between lines, lines exchanged, another hash, no manifest.
    type Damage = fn(&str) -> Option<String>;
    let damages: [(Damage, bool); 5] = [
        (|text| Some(text[..text.len() / 2 + 3].to_owned()), false),
        (|text| text.rfind("f 0644").map(|at| text[..at].to_owned()), true),
        (|text| Some(text.lines().rev().map(|line| format!("{line}\n")).collect()), false),
        (|text| Some(text.replacen("f 0644 4000000 ", "f 0644 4000001 ", 1)), true),
        (|_| None, false),
    ];
    for (number, (damage, helps)) in damages.into_iter().enumerate() {
        let file = manifest(bench);
        match damage(&fs::read_to_string(&file).unwrap()) {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let (sent, words) = release(bench, &app(&format!("w{number}")));
        assert_eq!(words.contains("reused"), helps, "damage {number}: {sent} {words}");
    }
}

fn a_host_without_awk_is_sent_all(bench: &mut Bench) {
    release(bench, &app("v1"));
    bench.shadow("awk", "exit 3");
    let (sent, words) = release(bench, &app("v2"));
    assert!(sent > BALLAST as u64 && !words.contains("reused"), "{sent} {words}");
}

fn a_cut_upload_is_a_source_for_the_next(bench: &mut Bench) {
    let begun = bench.area.path().join("begun");
    let incoming = bench.site.dir.join(".shipit/incoming");
    let one = app("v1").file("z1", vec![1; 400_000]);
    // A bad link: this is not the first time.
    let one = (0..8).fold(one, |app, n| {
        let piece = App::empty().ballast(100_000 + n).files()[Path::new("ballast.bin")].clone();
        fs::create_dir_all(incoming.join(n.to_string())).unwrap();
        fs::write(incoming.join(format!("{n}/{n}.bin")), &piece).unwrap();
        app.file(format!("y{n}"), piece)
    });
    fs::set_permissions(&incoming, fs::Permissions::from_mode(0o700)).unwrap();
    // It takes the small files and a part of what comes after, then hangs.
    let hang = format!("head -c 4200000 | REAL \"$@\"\n: >'{}'\nsleep 100", begun.display());
    bench.shadow("tar", &hang);
    bench.write(&one);
    let run = bench.start("deploy", &[]);
    appears(&begun, "a part has arrived", Duration::from_secs(30), &run);
    run.kill();
    bench.site.settles_to(&Live::Nothing, Duration::from_secs(10));
    assert_eq!(fs::metadata(&incoming).unwrap().mode() & 0o777, 0o700);
    bench.assert_nothing_runs();
    bench.shadow("tar", "exec REAL \"$@\"");
    let (sent, words) = release(bench, &one);
    // The marker is new, and the last file was cut in two.
    let all = one.files().len() + 1;
    assert!(sent < 20_000 && words.contains(&format!("{} of {all} files reused", all - 2)), "{sent} {words}");
}
