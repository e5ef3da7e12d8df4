//! Assets that stay: what an open page still asks for is there for as many releases as was asked for, never in the place
//! of something newer, never other than it was released, and every look at a release takes it for a part of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::shipit::Output;
use crate::support::tree;

super::in_every_shell! {
    an_asset_stays_for_its_releases_and_no_longer
    what_is_live_outlives_a_rollback
    nothing_is_overwritten_or_led_astray
    where_links_are_wanted_an_asset_takes_no_space
}

/// A version with an asset of its own, one that all have, and one whose name is all versions' and whose content is not.
fn app(version: &str) -> App {
    App::site(version)
        .file(format!("web/static/{version}.js"), format!("asset of {version}"))
        .file(format!("web/static/deep er/{version}/[x].js"), "deeper")
        .file("web/static/same.js", "in all")
        .file("web/static/manifest.js", format!("of {version}"))
        .file("web/other.js", version)
}

fn keep(bench: &mut Bench, releases: i64) {
    bench.config.set("assets.paths", vec!["web/static"]).set("assets.keep", releases);
}

/// Deploys, and judges the release by its manifest; the output.
#[track_caller]
fn release(bench: &Bench, app: &App) -> Output {
    let output = bench.deploy(app, &[]).expect(0);
    whole(bench, &output.release());
    output
}

/// A live release that is as its manifest says, by our own judge and by `status`.
#[track_caller]
fn whole(bench: &Bench, id: &str) {
    assert_eq!(bench.site.current().as_deref(), Some(id));
    tree::verify(&bench.site.dir, id, &[]).unwrap();
    let drift = &bench.run("status", &["--json"]).expect(0).json()["hosts"][0]["drift"];
    assert_eq!(*drift, json!({"files": 0, "first": []}));
}

/// Which versions' own assets are there, as a web server would find them.
#[track_caller]
fn there(bench: &Bench) -> Vec<String> {
    let folder = bench.site.dir.join("current/web/static");
    let versions = (0..9).map(|n| format!("v{n}"));
    let versions = versions.filter(|version| folder.join(format!("{version}.js")).exists()).collect::<Vec<_>>();
    for version in &versions {
        assert_eq!(fs::read_to_string(folder.join(format!("{version}.js"))).unwrap(), format!("asset of {version}"));
        assert_eq!(fs::read_to_string(folder.join(format!("deep er/{version}/[x].js"))).unwrap(), "deeper");
    }
    let folders = fs::read_dir(folder.join("deep er")).unwrap();
    let mut found: Vec<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, versions, "the same of both");
    versions
}

/// The transfer's figures, as they were told last.
fn transfer(output: &Output) -> Value {
    let mut lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.rfind(|line| line["event"] == "transfer").unwrap()
}

fn lists(bench: &Bench) -> Vec<String> {
    let names = fs::read_dir(bench.site.dir.join(".shipit/assets")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn an_asset_stays_for_its_releases_and_no_longer(bench: &mut Bench) {
    keep(bench, 2);
    bench.config.set("release.keep", 2);
    // Names that the lines of a manifest have to escape, on either side of what is added.
    let odd = |app: App| app.file("web/static/a\nb", "odd").file("web/static/v\\", "odd").file("web/static/z\t", "odd");
    let first = release(bench, &odd(app("v1")));
    assert_eq!(transfer(&first)["assets"], Value::Null);
    assert!(lists(bench).is_empty());

    let second = release(bench, &odd(app("v2")));
    assert_eq!(there(bench), ["v1", "v2"]);
    assert_eq!(transfer(&second)["assets"], json!({"files": 2, "bytes": 17}));
    let second = second.says(&["reused, 2 assets of earlier releases, every file verified"]);
    assert_eq!(bench.site.record(&second.release())["transfer"]["assets"]["files"], 2);
    let text = |path: &str| fs::read_to_string(bench.site.dir.join("current").join(path)).unwrap();
    assert_eq!((text("web/static/manifest.js"), text("web/other.js")), ("of v2".into(), "v2".into()));
    assert_eq!(fs::metadata(bench.site.dir.join("current/web/static/v1.js")).unwrap().mode() & 0o777, 0o644);

    // What is kept is no difference, and is there for the next one to be made of.
    bench.write(&odd(app("v2")));
    bench.run("diff", &[]).expect(0).says(&["files: none differs", "assets: 2 files of earlier releases"]);
    bench.run("deploy", &["--if-changed"]).expect(0);
    assert_eq!(bench.site.current(), Some(second.release()), "nothing has changed");
    let third = release(bench, &odd(app("v3").file("web/again.js", "asset of v1")));
    assert_eq!(there(bench), ["v1", "v2", "v3"]);
    let sent: u64 = transfer(&third)["sent"]["files"].as_u64().unwrap();
    // Two pages, what is v3's alone, the marker, and the odd names; `again.js` and `deeper` lie there under other names.
    assert_eq!(sent, 2 + 3 + 1 + 3);
    release(bench, &odd(app("v4")));
    assert_eq!(there(bench), ["v2", "v3", "v4"], "v1 was there for two releases");
    assert_eq!(lists(bench), bench.site.releases()[bench.site.releases().len() - lists(bench).len()..]);
    assert_eq!(lists(bench).len(), 2, "two releases are kept, each with its list");

    // What comes back is a release's own again.
    let back = app("v4").file("web/static/v2.js", "asset of v2").file("web/static/deep er/v2/[x].js", "deeper");
    release(bench, &back);
    release(bench, &app("v5"));
    release(bench, &app("v6"));
    assert_eq!(there(bench), ["v2", "v4", "v5", "v6"]);
    bench.config.set("assets.keep", 0);
    release(bench, &app("v7"));
    assert_eq!(there(bench), ["v7"]);
}

fn what_is_live_outlives_a_rollback(bench: &mut Bench) {
    keep(bench, 2);
    let ids: Vec<String> = ["v1", "v2", "v3"].map(|version| release(bench, &app(version)).release()).into();
    let manifest = bench.site.dir.join(".shipit/manifests").join(&ids[1]);
    let before = fs::metadata(&manifest).unwrap().modified().unwrap();
    bench.run("rollback", &["--json"]).expect(0).says(&["2 assets of what is live kept"]);
    whole(bench, &ids[1]);
    assert_eq!(there(bench), ["v1", "v2", "v3"], "pages that v3 served are open");
    assert_eq!(fs::metadata(&manifest).unwrap().modified().unwrap(), before, "by which is told what was touched since");
    bench.run("rollback", &[&ids[2]]).expect(0);
    whole(bench, &ids[2]);
    bench.run("rollback", &[&ids[0]]).expect(0);
    whole(bench, &ids[0]);
    assert_eq!(there(bench), ["v1", "v2", "v3"]);
    // The next one is made of what is live, with what that was given.
    let output = release(bench, &app("v4"));
    assert_eq!(there(bench), ["v1", "v3", "v4"], "v2 was not live any more when v1 was made so again");
    assert!(transfer(&output)["reused"]["files"].as_u64() > Some(0), "{output}");
    release(bench, &app("v5"));
    assert_eq!(there(bench), ["v1", "v4", "v5"]);
}

fn nothing_is_overwritten_or_led_astray(bench: &mut Bench) {
    keep(bench, 3);
    let one = app("v1")
        .file("web/static/folder/x.js", "1")
        .file("web/static/file", "1")
        .file("web/static/linked/x.js", "1")
        .file("web/static/lost/x.js", "1")
        .file("web/static/changed.js", "1")
        .file("web/static/gone.js", "1")
        .program("web/static/run.js", "1");
    release(bench, &one);
    let (live, elsewhere) = (bench.site.dir.join("current/web/static"), bench.area.path().join("elsewhere"));
    fs::write(live.join("changed.js"), "2").unwrap();
    fs::remove_file(live.join("gone.js")).unwrap();
    fs::write(live.join("added.js"), "by the app").unwrap();
    fs::rename(live.join("lost"), &elsewhere).unwrap();
    symlink(&elsewhere, live.join("lost")).unwrap();
    let two = app("v2").file("web/static/folder", "a file").file("web/static/file/x.js", "2");
    let output = bench.deploy(&two.link("web/static/linked", "deep er"), &[]).expect(0);
    let second = output.release();
    whole(bench, &second);
    let text = |path: &str| fs::read_to_string(live.join(path));
    assert_eq!((text("folder").unwrap(), text("file/x.js").unwrap()), ("a file".into(), "2".into()));
    for path in ["changed.js", "gone.js", "added.js", "linked/x.js"] {
        assert!(text(path).is_err(), "{path}");
    }
    assert_eq!(text("run.js").unwrap(), "1");
    assert_eq!(fs::metadata(live.join("run.js")).unwrap().mode() & 0o777, 0o644);
    assert!(!live.join("lost").is_symlink() && fs::read_dir(&elsewhere).unwrap().count() == 1);

    // By hand in the target of a rollback: what lies there is left alone, what leads away is not followed.
    bench.config.set("release.mutable", vec!["web/static"]);
    let third = release(bench, &app("v3").file("web/static/by/hand.js", "3").file("web/static/away/x.js", "3"));
    let target = bench.site.dir.join("releases").join(&second).join("web/static");
    fs::create_dir(target.join("by")).unwrap();
    fs::write(target.join("by/hand.js"), "mine").unwrap();
    symlink(&elsewhere, target.join("away")).unwrap();
    bench.run("rollback", &[]).expect(0);
    assert_eq!(bench.site.current(), Some(second));
    assert_eq!(text("by/hand.js").unwrap(), "mine");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1, "nothing came into what is not ours");
    assert_eq!(text("v3.js").unwrap(), "asset of v3");
    bench.run("rollback", &[&third.release()]).expect(0);
}

fn where_links_are_wanted_an_asset_takes_no_space(bench: &mut Bench) {
    keep(bench, 3);
    bench.config.set("release.reuse", "hardlink");
    let first = release(bench, &app("v1")).release();
    let file = |id: &str, path: &str| bench.site.dir.join("releases").join(id).join("web/static").join(path);
    let inode = |file: PathBuf| fs::metadata(file).unwrap().ino();
    let second = release(bench, &app("v2")).release();
    assert_eq!(inode(file(&first, "v1.js")), inode(file(&second, "v1.js")));
    // Another access is another mode: a file of its own, and the old one keeps its.
    bench.config.set("release.access", "private");
    let third = release(bench, &app("v3")).release();
    assert_eq!(there(bench), ["v1", "v2", "v3"]);
    assert_ne!(inode(file(&second, "v1.js")), inode(file(&third, "v1.js")));
    let mode = |file: PathBuf| fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file(&second, "v1.js")), mode(file(&third, "v1.js"))), (0o644, 0o640));
    assert_eq!(mode(file(&third, "deep er/v1")), 0o750);
}
