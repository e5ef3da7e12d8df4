//! What goes into a release and what is refused, for the presets that know no framework.
//! The archive that is made of it is tested through real tars in `tests/archive.rs`.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::fixture::Project;
use super::place;
use crate::config::Preset;
use crate::error::Error;

#[test]
fn a_static_site_is_its_output_folder() {
    let mut project = Project::new(Preset::Static);
    project.build.output = Some("dist".into());
    project.file("dist/index.html", "hi").file("dist/a/x.css", "css").file("dist/a-b", "b").file("src/x", "no");
    project.program("dist/run").link("dist/a/self", "x.css");
    assert_eq!(
        project.release(),
        ["a/", "a-b = b", "a/self -> x.css", "a/x.css = css", "index.html = hi", "run* = #!/bin/sh"]
    );
    let artifact = project.collect().unwrap();
    assert_eq!((artifact.files(), artifact.bytes()), (4, 16));
    assert_eq!((artifact.app_dir.as_str(), artifact.script, artifact.warnings), ("", None, vec![]));
}

#[test]
fn without_a_built_folder_there_is_nothing_to_ship() {
    let mut project = Project::new(Preset::Static);
    assert!(project.refusals()[0].contains("needs build.output"));
    project.build.output = Some("dist".into());
    project.build.command = Some("make site".into());
    let why = project.refusals().remove(0);
    assert!(why.contains("there is no folder") && why.contains("dist") && why.contains("`make site`"), "{why}");
    fs::create_dir(project.path("dist")).unwrap();
    assert!(project.refusals()[0].contains("nothing to ship"));
}

#[test]
fn files_are_the_root_without_git() {
    let mut project = Project::new(Preset::Files);
    project.file(".git/config", "no").file("sub/.git", "gitdir: x").file("sub/app.js", "app").file(".hidden", "h");
    assert_eq!(project.release(), [".hidden = h", "sub/", "sub/app.js = app"]);
    project.build.output = Some("sub".into());
    assert_eq!(project.release(), ["app.js = app"]);
}

#[test]
fn excluded_paths_stay_here_by_source_or_by_place() {
    let mut project = Project::new(Preset::Files);
    project.build.output = Some("out".into());
    project.file("out/a.js", "a").file("out/a.js.map", "no").file("out/deep/b.js.map", "no").file("out/keep", "k");
    project.file("out/cache/x", "no").file("out/old/x", "no").file("notes/draft.md", "no").file("notes/n.md", "n");
    project.include("notes", "docs");
    project.build.exclude = ["**/*.map", "out/old", "cache/", "docs/draft*"].map(String::from).to_vec();
    assert_eq!(project.release(), ["a.js = a", "deep/", "docs/", "docs/n.md = n", "keep = k"]);
    project.build.exclude.push("a{".into());
    assert!(project.refusals()[0].contains("`a{` is not a pattern"));
}

#[test]
fn includes_are_laid_over_the_preset() {
    let mut project = Project::new(Preset::Static);
    project.build.output = Some("dist".into());
    project.file("dist/config.json", "built").file("conf/live.json", "live").file("extra/deep/x", "x");
    project.include("conf/live.json", "config.json").include("extra", "more/extra").include("conf/live.json", "c/");
    project.include("conf/live.json", "/top.json");
    assert_eq!(
        project.release(),
        [
            "c/",
            "c/live.json = live",
            "config.json = live",
            "more/",
            "more/extra/",
            "more/extra/deep/",
            "more/extra/deep/x = x",
            "top.json = live",
        ]
    );
}

#[test]
fn includes_that_cannot_be_meant_are_all_named() {
    let mut project = Project::new(Preset::Static);
    project.build.output = Some("dist".into());
    project.file("dist/a/x", "x").file("dist/f", "f");
    project.include("nowhere", "n").include("dist/f", "../up").include("dist/f", "a").include("dist/a", "f/sub");
    let why = project.refusals();
    assert_eq!(why.len(), 4, "{why:#?}");
    assert!(why[0].contains("nowhere` is to be shipped, and does not exist"), "{why:#?}");
    assert!(why[1].contains("`../up` would leave the release"), "{why:#?}");
    assert!(why[2].contains("`a` is a folder in one part"), "{why:#?}");
    assert!(why[3].contains("`f` is a folder in one part"), "{why:#?}");
}

#[test]
fn env_files_ship_only_when_named() {
    let mut project = Project::new(Preset::Files);
    project.build.output = Some("out".into());
    project.file("out/.env", "secret").file("out/sub/.env.production", "secret").file("out/.envrc", "rc");
    project.file(".env.public", "public");
    assert_eq!(project.release(), [".envrc = rc", "sub/"]);
    let warnings = project.collect().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("`.env` and `sub/.env.production`"), "{warnings:?}");

    project.include(".env.public", ".env");
    project.shared.files = vec!["sub/.env.production".into()];
    assert_eq!(project.release(), [".env = public", ".envrc = rc", "sub/"]);
    assert_eq!(project.collect().unwrap().warnings, Vec::<String>::new());
}

#[test]
fn shared_files_replace_shipped_ones_and_shared_folders_keep_theirs() {
    let mut project = Project::new(Preset::Files);
    project.file("config/live.json", "shipped").file("uploads/seed.png", "seed").file("db/x", "no").file("a", "a");
    project.link("storage", "/var/elsewhere").link("latest", "uploads/new.png");
    project.shared.files = vec!["config/live.json".into(), "/db".into()];
    project.shared.dirs = vec!["uploads".into(), "storage".into()];
    assert_eq!(
        project.release(),
        ["a = a", "config/", "latest -> uploads/new.png", "uploads/", "uploads/seed.png = seed"]
    );
    project.shared.dirs.push("a".into());
    assert!(project.refusals()[0].contains("`a` is a shared directory, and a file"));
}

#[test]
fn what_is_no_file_and_what_leads_out_is_refused_at_once() {
    let project = Project::new(Preset::Files);
    project.file("a", "a");
    let _socket = UnixListener::bind(project.path("socket")).unwrap();
    project.link("abs", "/etc/passwd").link("out", "../x").link("gone", "nothing").file(".release.json", "{}");
    let why = project.refusals();
    assert_eq!(why.len(), 5, "{why:#?}");
    for (why, what) in
        why.iter().zip(["socket` is a socket", "`.release.json`", "`abs` is absolute", "`gone` points", "`out` leaves"])
    {
        assert!(why.contains(what), "{why}");
    }
}

#[test]
fn releases_kept_inside_the_project_do_not_ship() {
    let project = Project::new(Preset::Files);
    project.file("a", "a").file("live/.shipit/lock", "x").file("live/releases/1/a", "old");
    assert_eq!(project.release(), ["a = a"]);
    assert!(project.collect().unwrap().warnings[0].contains("`live`"));
}

#[test]
fn the_hash_follows_content_and_nothing_else() {
    let project = Project::new(Preset::Files);
    project.file("a", "one").file("b", "two").link("l", "a");
    let hash = || project.collect().unwrap().hash;
    let first = hash();
    assert_eq!(first.len(), 64);
    fs::set_permissions(project.path("a"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::File::options().append(true).open(project.path("b")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(hash(), first, "access and time are not content");

    let mut seen = vec![first];
    let mut differs = |what: &str| {
        let now = hash();
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fs::set_permissions(project.path("a"), fs::Permissions::from_mode(0o755)).unwrap();
    differs("an execute bit");
    project.file("a", "eno");
    differs("a byte");
    fs::remove_file(project.path("l")).unwrap();
    project.link("l", "b");
    differs("a link's target");
    fs::rename(project.path("b"), project.path("c")).unwrap();
    fs::remove_file(project.path("l")).unwrap();
    differs("a name");
    fs::create_dir(project.path("empty")).unwrap();
    differs("an empty folder");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut project = Project::new(Preset::Files);
    project.file("a", "a");
    project.include("a/b", "b");
    assert!(matches!(project.collect(), Err(Error::File { path, .. }) if path.ends_with("a/b")));
}

#[test]
fn places_stay_inside_the_release() {
    let placed = |path| place("apps/web", path).map(|path| path.to_string_lossy().into_owned());
    assert_eq!(placed("uploads/").as_deref(), Some("apps/web/uploads"));
    assert_eq!(placed("./a//b").as_deref(), Some("apps/web/a/b"));
    assert_eq!(placed("/top").as_deref(), Some("top"));
    assert_eq!(placed("").as_deref(), Some("apps/web"));
    assert_eq!(placed("../web/x"), None);
    assert_eq!(placed("a/../../.."), None);
    assert_eq!(placed("//a"), None);
    assert_eq!(placed("a\0b"), None);
}
