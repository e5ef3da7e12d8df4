//! What goes well, and what must not be believed: releases arrive byte for byte, older ones come back, damage is named.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::site::Live;

super::in_every_shell! {
    odd_names_arrive_byte_for_byte
    every_verb_works_on_files
    a_damaged_release_is_refused_and_the_file_named
    what_is_shared_is_seeded_once_and_outlives_releases
    a_value_is_never_run
}

/// Names that a shell, tar, sha256sum, sed or a line-based tool may trip over.
fn odd_names() -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = [
        "a b",
        " ",
        "it's",
        "say \"x\"",
        "$(touch pwned)",
        "`touch pwned`",
        "a\nb",
        "trailing\n",
        "\n",
        "tab\there",
        "cr\r",
        "-",
        "-rf",
        "--help",
        "back\\slash",
        "\\",
        "\\n",
        "\\0101",
        "%s",
        "*",
        "[x]?",
        "x: OK",
        "two  blanks",
        "ü/日本/🚀",
        "~",
        "#!",
        "dir/-",
        "dir/a b/c\nd",
    ]
    .map(PathBuf::from)
    .into();
    for bytes in [&b"not \xff utf-8"[..], b"cut \xe3", b"\xff\\\n", b"latin \xe9/\xe9"] {
        names.push(PathBuf::from(OsStr::from_bytes(bytes)));
    }
    names.push(PathBuf::from(format!("long/{}/{}", "n".repeat(200), "m".repeat(200))));
    names
}

fn odd_app(version: &str) -> App {
    let mut app = App::site(version).program("run me", "#!/bin/sh\n").file("empty", "").file("big", vec![7; 300_000]);
    for (n, name) in odd_names().into_iter().enumerate() {
        let number = format!(" {n}");
        let link = [b"links/", name.file_name().unwrap().as_bytes(), number.as_bytes()].concat();
        let link = OsString::from_vec(link);
        app = app.link(link, Path::new("..").join(&name)).file(name, format!("{version} {n}"));
    }
    app.link("links/up", "..").link("links/to dir", "../ü")
}

#[track_caller]
fn arrived(bench: &Bench, app: &App) {
    let live = bench.site.dir.join("current");
    for (name, content) in app.files() {
        assert_eq!(&fs::read(live.join(name)).unwrap(), content, "{name:?}");
    }
    for (name, target) in app.links() {
        assert_eq!(&fs::read_link(live.join(name)).unwrap(), target, "{name:?}");
    }
    nothing_was_run(bench);
}

#[track_caller]
fn nothing_was_run(bench: &Bench) {
    for entry in walkdir::WalkDir::new(bench.area.path()) {
        assert_ne!(entry.unwrap().file_name(), "pwned");
    }
}

fn odd_names_arrive_byte_for_byte(bench: &mut Bench) {
    let (one, two) = (odd_app("v1"), odd_app("v2"));
    let first = bench.release(&one);
    arrived(bench, &one);
    let second = bench.release(&two);
    arrived(bench, &two);
    bench.run("rollback", &[]).expect(0);
    bench.site.assert_invariant(&Live::New(first.clone()));
    arrived(bench, &one);
    assert_eq!(bench.state(&second), "withdrawn");
    let third = bench.release(&odd_app("v3"));
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    assert_eq!(bench.site.releases(), [&*third]);
    bench.site.assert_invariant(&Live::New(third));
    bench.assert_nothing_runs();
}

fn every_verb_works_on_files(bench: &mut Bench) {
    bench.write(&App::site("v0"));
    bench.run("status", &[]).expect(0);
    assert!(!bench.site.dir.exists(), "looking makes nothing");
    let ids: Vec<String> = (1..=4).map(|n| bench.release(&App::site(&format!("v{n}")))).collect();
    assert_eq!(bench.site.record(&ids[1])["previous"], *ids[0]);
    assert!(ids.iter().all(|id| bench.state(id) == "good"));

    let before = bench.site.listing();
    bench.run("status", &[]).expect(0).says(&[&ids[3]]);
    let listed = bench.run("releases", &[]).expect(0);
    ids.iter().for_each(|id| assert!(listed.stdout.contains(id), "{listed}"));
    bench.run("cleanup", &["--keep", "2", "--dry-run"]).expect(0).says(&[&ids[0], &ids[1]]);
    bench.run("deploy", &["--dry-run"]).expect(0);
    assert_eq!(bench.site.listing(), before, "looking changes nothing");

    bench.run("recover", &[]).expect(0);
    bench.run("unlock", &[]).expect(0).says(&["not locked"]);
    bench.run("cleanup", &["--keep", "2"]).expect(0);
    assert_eq!(bench.site.releases(), ids[2..]);
    assert_eq!(bench.state(&ids[0]), "removed");
    bench.run("rollback", &[&ids[0]]);
    bench.site.assert_invariant(&Live::Old(ids[3].clone()));
    bench.run("rollback", &[&ids[2]]).expect(0);
    bench.site.assert_invariant(&Live::New(ids[2].clone()));
    let verbs: Vec<String> = bench.history().iter().map(|line| line["verb"].as_str().unwrap().to_owned()).collect();
    assert_eq!(verbs, ["deploy", "deploy", "deploy", "deploy", "cleanup", "rollback"]);
}

fn a_damaged_release_is_refused_and_the_file_named(bench: &mut Bench) {
    let app = odd_app("v1");
    let old = bench.release(&app);
    let new = bench.release(&App::site("v2"));
    let root = bench.site.dir.join("releases").join(&old);
    let refused = |what: &str, named: &str| {
        let output = bench.run("rollback", &[&old]);
        assert_eq!(output.code, Some(1), "{what} was believed\n{output}");
        output.says(&[named]);
        assert_eq!(bench.site.current().as_deref(), Some(&*new));
    };
    // One byte of each file in turn; the size stays. How an odd name is shown is not this test's concern.
    for (name, content) in app.files().iter().filter(|(_, content)| !content.is_empty()) {
        let mut changed = content.clone();
        changed[0] ^= 1;
        let file = root.join(name);
        fs::write(&file, changed).unwrap();
        let text = name.to_str().filter(|text| text.chars().all(|c| c.is_ascii_graphic() && c != '\\' && c != '"'));
        refused(&format!("{name:?} with one byte changed"), text.map_or("", |text| &text[..text.len().min(300)]));
        fs::write(&file, content).unwrap();
    }
    let gone = root.join("empty");
    fs::remove_file(&gone).unwrap();
    refused("a missing file", "empty");
    fs::write(&gone, "").unwrap();
    for (name, target) in app.links().iter().filter(|(name, _)| name.as_os_str().as_bytes().ends_with(b"0")) {
        let link = root.join(name);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        refused(&format!("{name:?} leading elsewhere"), "");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
    }
    bench.run("rollback", &[&old]).expect(0);
    bench.site.assert_invariant(&Live::New(old));
}

fn what_is_shared_is_seeded_once_and_outlives_releases(bench: &mut Bench) {
    bench.config.set("shared.dirs", vec!["up loads", "deep/er"]).set("shared.files", vec![".env"]);
    let app = App::site("v1").file("up loads/a\nb", "seed").link("up loads/-", "a\nb").file(".env", "of the release");
    bench.deploy(&app, &[]).expect(1).says(&[".env"]);
    fs::write(bench.site.dir.join("shared/.env"), "of the host").unwrap();
    bench.release(&app);
    let live = bench.site.dir.join("current");
    assert_eq!(fs::read(live.join("up loads/a\nb")).unwrap(), b"seed");
    assert_eq!(fs::read_link(live.join("up loads/-")).unwrap(), Path::new("a\nb"));
    assert_eq!(fs::read(live.join(".env")).unwrap(), b"of the host");
    assert!(live.join("deep/er/page.html").is_file());
    fs::write(live.join("up loads/by the app"), "kept").unwrap();
    bench.release(&App::site("v2").file("up loads/a\nb", "another seed"));
    assert_eq!(fs::read(live.join("up loads/a\nb")).unwrap(), b"seed");
    assert_eq!(fs::read(live.join("up loads/by the app")).unwrap(), b"kept");
}

fn a_value_is_never_run(bench: &mut Bench) {
    for path in
        ["$(touch pwned)", "it's \"a\" `touch pwned`;touch pwned", "-rf \\n \\0101 %s *[x]? | & > #! ~ ü", "a\nb"]
    {
        bench.place(path);
        bench.config.set("shared.dirs", vec!["$(touch pwned)"]);
        let first = bench.release(&App::site("v1"));
        bench.release(&App::site("v2"));
        bench.run("rollback", &[]).expect(0);
        bench.site.assert_invariant(&Live::New(first));
        let third = bench.release(&App::site("v3"));
        for verb in ["status", "releases", "recover"] {
            bench.run(verb, &[]).expect(0);
        }
        bench.run("cleanup", &["--keep", "1"]).expect(0);
        assert_eq!(bench.site.releases(), [third]);
        nothing_was_run(bench);
    }
}
