//! What the app or a person changes in a release: `status` tells it, and no release is ever changed through another one,
//! though they have files in common.

use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::tree;

super::in_every_shell! {
    status_tells_what_is_not_as_released
    what_is_mutable_neither_shows_nor_keeps_a_rollback_off
    hard_links_never_change_another_release
    what_may_not_be_linked_is_copied
}

/// Files that are alike in every version, in places where they are linked and where they are not.
fn app(version: &str) -> App {
    LINKED.iter().chain(&COPIED).fold(App::site(version), |app, path| app.file(path, format!("the same {path}")))
}

const LINKED: [&str; 4] = ["node_modules/a/x y.js", "node_modules/.pnpm/b/x", "_astro/x.css", "w/.next/static/x.js"];
const COPIED: [&str; 4] =
    ["data/counter", "node_modules/.cache/x", "node_modules/a/data/x", "w/.next/server/app/x.html"];

fn drift(bench: &Bench) -> Value {
    bench.run("status", &["--json"]).expect(0).json()["hosts"][0]["drift"].clone()
}

fn write_in_place(file: &Path) {
    let before = fs::metadata(file).unwrap();
    let content = fs::read(file).unwrap().to_ascii_uppercase();
    let mut open = File::options().write(true).open(file).unwrap();
    open.write_all(&content).unwrap();
    // The same size and the same time: what a quick look believes.
    open.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
}

fn status_tells_what_is_not_as_released(bench: &mut Bench) {
    bench.config.set("shared.dirs", vec!["uploads"]);
    let id = bench.deploy(&app("v1").file("uploads/first", "seed"), &[]).expect(0).release();
    assert_eq!(drift(bench), json!({"files": 0, "first": []}));
    assert!(!bench.run("status", &[]).expect(0).stdout.contains("as released"));

    let live = bench.site.dir.join("current");
    write_in_place(&live.join("node_modules/a/x y.js"));
    fs::remove_file(live.join("_astro/x.css")).unwrap();
    fs::remove_file(live.join("data/counter")).unwrap();
    symlink("/etc/hostname", live.join("data/counter")).unwrap();
    fs::write(live.join("by the app"), "").unwrap();
    fs::write(live.join("in two\nlines"), "").unwrap();
    fs::write(live.join("uploads/second"), "").unwrap();
    fs::set_permissions(live.join("index.html"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = bench.site.listing();
    let is = |path: &str, how: &str| json!({"path": path, "how": how});
    let expected = [
        is("_astro/x.css", "missing"),
        is("by the app", "added"),
        is("data/counter", "changed"),
        is("node_modules/a/x y.js", "changed"),
    ];
    assert_eq!(drift(bench), json!({"files": 4, "first": expected}));
    bench.run("status", &[]).expect(0).says(&[
        "4 files are not as released: _astro/x.css (missing), by the app (added), data/counter (changed) and",
        "release.mutable names",
    ]);
    assert_eq!(bench.site.listing(), before, "a look writes nothing");

    (0..20).for_each(|n| fs::write(live.join(format!("more {n}")), "").unwrap());
    bench.run("status", &[]).expect(0).says(&["24 files are not as released", " and 14 more"]);
    fs::remove_file(bench.site.dir.join(".shipit/manifests").join(id)).unwrap();
    assert_eq!(drift(bench), Value::Null);
    bench.run("status", &[]).expect(0).says(&["whether its files are as released can't be told"]);
}

fn what_is_mutable_neither_shows_nor_keeps_a_rollback_off(bench: &mut Bench) {
    bench.config.set("release.mutable", vec!["data", "**/app/*.html"]);
    let first = bench.deploy(&app("v1"), &[]).expect(0).release();
    let live = bench.site.dir.join("current");
    write_in_place(&live.join("data/counter"));
    write_in_place(&live.join("w/.next/server/app/x.html"));
    fs::write(live.join("data/new"), "").unwrap();
    assert_eq!(drift(bench)["files"], 0);

    // The release's own record says so as well; what it doesn't say may be said today.
    bench.config.unset("release.mutable");
    bench.write(&app("v2"));
    assert_eq!(drift(bench)["files"], 0);
    write_in_place(&live.join("index.html"));
    assert_eq!(drift(bench)["first"], json!([{"path": "index.html", "how": "changed"}]));
    let second = bench.deploy(&app("v2"), &[]).expect(0).release();
    assert_eq!(bench.site.read("data/counter"), "the same data/counter", "nothing of it is carried over");
    tree::verify(&bench.site.dir, &second, &[]).unwrap();
    bench.run("rollback", &[]).expect(1).says(&["is not what was released: index.html\n"]);
    assert_eq!(bench.site.current().as_deref(), Some(&*second));
    bench.config.set("release.mutable", vec!["*.html"]);
    bench.write(&app("v2"));
    bench.run("rollback", &[]).expect(0);
    assert_eq!(bench.site.current().as_deref(), Some(&*first));
    assert_eq!(bench.site.read("data/counter"), "THE SAME DATA/COUNTER");
}

/// Type, mode, owner, size, time and content of all that a release holds.
fn frozen(bench: &Bench, id: &str) -> Vec<String> {
    let below = Path::new("releases").join(id);
    let all = bench.site.listing().into_iter().filter(|(path, _)| path.starts_with(&below));
    all.map(|(path, entry)| {
        let content = fs::read(bench.site.dir.join(&path)).unwrap_or_default();
        format!("{} {entry} {}", path.display(), String::from_utf8_lossy(&content))
    })
    .collect()
}

#[track_caller]
fn assert_unchanged(bench: &Bench, id: &str, before: &[String]) {
    let now = frozen(bench, id);
    let changed: Vec<_> = before.iter().zip(&now).filter(|(a, b)| a != b).collect();
    assert!(changed.is_empty() && before.len() == now.len(), "{changed:#?}");
}

fn inode(bench: &Bench, id: &str, path: &str) -> u64 {
    fs::metadata(bench.site.dir.join("releases").join(id).join(path)).unwrap().ino()
}

fn hard_links_never_change_another_release(bench: &mut Bench) {
    bench.config.set("release.reuse", "hardlink").set("release.mutable", vec!["node_modules/a/data"]);
    let first = bench.deploy(&app("v1"), &[]).expect(0).release();
    let before = frozen(bench, &first);
    let second = bench.deploy(&app("v2"), &[]).expect(0).says(&["8 of 11 files reused"]).release();
    for (paths, shared) in [(LINKED, true), (COPIED, false)] {
        for path in paths {
            assert_eq!(inode(bench, &first, path) == inode(bench, &second, path), shared, "{path}");
        }
    }
    assert_unchanged(bench, &first, &before);

    // The app writes where apps write; a person changes modes and puts new files in the place of old ones.
    let live = bench.site.dir.join("current");
    for path in COPIED.into_iter().chain(["index.html"]) {
        write_in_place(&live.join(path));
        fs::set_permissions(live.join(path), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::remove_file(live.join("_astro/x.css")).unwrap();
    fs::write(live.join("_astro/x.css"), "another").unwrap();
    assert_unchanged(bench, &first, &before);

    // Other modes, then another group: nothing that has them in common with the old release.
    for access in [json!("private"), json!({"group": "daemon"}), json!("public")] {
        let live = bench.site.current().unwrap();
        let before = frozen(bench, &live);
        match access.as_str() {
            Some(word) => bench.config.set("release.access", word),
            None => bench.config.set("release.access.group", "daemon"),
        };
        let next = bench.deploy(&app("v3"), &[]).expect(0).release();
        assert_unchanged(bench, &live, &before);
        assert!(LINKED.iter().all(|path| inode(bench, &live, path) != inode(bench, &next, path)), "{access}");
        let mode = if access == "public" { 0o644 } else { 0o640 };
        let group = if access == "public" || access == "private" { 0 } else { 1 };
        for path in LINKED.into_iter().chain(COPIED).chain(["index.html"]) {
            let meta = fs::metadata(bench.site.dir.join("releases").join(&next).join(path)).unwrap();
            assert_eq!((meta.mode() & 0o777, meta.gid()), (mode, group), "{access} {path:?}");
        }
        bench.config.unset("release.access");
    }
    assert_unchanged(bench, &first, &before);
    bench.run("rollback", &[&first]).expect(0);
    assert_unchanged(bench, &first, &before);
}

fn what_may_not_be_linked_is_copied(bench: &mut Bench) {
    bench.config.set("release.reuse", "hardlink");
    let first = bench.deploy(&app("v1"), &[]).expect(0).release();
    let live = bench.site.dir.join("current");
    let [mode, owner, elsewhere, linked] = LINKED;
    fs::set_permissions(live.join(mode), fs::Permissions::from_mode(0o600)).unwrap();
    chown(live.join(owner), Some(1), None).unwrap();
    // A folder that leads elsewhere now, where the same files lie.
    let astro = bench.area.path().join("elsewhere");
    fs::rename(live.join("_astro"), &astro).unwrap();
    symlink(&astro, live.join("_astro")).unwrap();
    let before = frozen(bench, &first);
    let second = bench.deploy(&app("v2"), &[]).expect(0).says(&["files reused"]).release();
    tree::verify(&bench.site.dir, &second, &[]).unwrap();
    assert_unchanged(bench, &first, &before);
    assert_ne!(inode(bench, &second, elsewhere), fs::metadata(astro.join("x.css")).unwrap().ino());
    assert_ne!(inode(bench, &first, owner), inode(bench, &second, owner));
    assert_ne!(inode(bench, &first, mode), inode(bench, &second, mode));
    assert_eq!(inode(bench, &first, linked), inode(bench, &second, linked));

    // A disk that knows no hard links.
    bench.shadow("cp", "case $1 in -l*) exit 1 ;; esac\nexec REAL \"$@\"");
    let third = bench.deploy(&app("v3"), &[]).expect(0).says(&["files reused"]).release();
    tree::verify(&bench.site.dir, &third, &[]).unwrap();
    assert_ne!(inode(bench, &second, linked), inode(bench, &third, linked));
}
