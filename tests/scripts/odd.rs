//! Names that mean something to a shell or a line-based tool, hosts that lack tools, and hosts that change under the run's
//! hands: what goes live is right, and what can be reused is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, Shell};
use crate::reuse::release;
use crate::support::apps::App;
use crate::support::shipit::Output;
use crate::support::site::Live;
use crate::support::tree;

super::in_every_shell! {
    odd_names_are_kept_renamed_and_changed
    what_changes_after_the_host_has_told_of_it_is_found_out
    a_manifest_that_lies_is_found_out
    a_release_that_was_made_by_hand_is_replaced
}

/// Names that a host's tools take from one place to another, and those that only the archive can carry.
fn names() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let paths = |names: &[&[u8]]| names.iter().map(|name| PathBuf::from(OsStr::from_bytes(name))).collect::<Vec<_>>();
    let mut plain = paths(&[
        b"app/[id]/(group)/@slot/page.js",
        b"$dollar ~ +plus @at",
        b"~",
        b"-rf",
        b"not \xff utf-8 \xc3",
        b"\xe6\x97",
        b"half \xe6\x97/in a folder",
        b" begins and ends with a blank ",
        b"*?[x]",
        b"it's \"quoted\" `x` $(touch pwned)",
        b"%s: OK",
        b"x: FAILED",
        b"k 1",
        b"=a",
        b"+a",
        "\u{fc}/\u{65e5}\u{672c}/\u{1f680}".as_bytes(),
        "e\u{301} is not \u{e9}".as_bytes(),
    ]);
    plain.push("n".repeat(181).into());
    plain.push([vec!["d".repeat(181); 4].join("/"), "file".into()].join("/").into());
    let escaped =
        paths(&[b"new\nline", b"\n", b"ends with one\n", b"tab\tand\rreturn", b"back\\slash", b"\\0101", b"\\"]);
    (plain, escaped)
}

/// Big enough that sending one shows.
fn noise(n: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64 + n as u64;
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    std::iter::repeat_with(next).take(20_000).collect()
}

fn odd_names_are_kept_renamed_and_changed(bench: &mut Bench) {
    let (plain, escaped) = names();
    let all = || plain.iter().chain(&escaped).enumerate();
    let links = |app: App| all().fold(app, |app, (n, name)| app.link(format!("links/{n}"), Path::new("..").join(name)));
    let one = all().fold(App::site("v1"), |app, (n, name)| app.file(name, noise(n)));
    release(bench, &links(one.clone()));

    // The same once more: two pages and the marker are new, and what has to be escaped travels.
    let two = all().fold(App::site("v2"), |app, (n, name)| app.file(name, noise(n)));
    let (sent, words) = release(bench, &links(two));
    let files = plain.len() + escaped.len() + 3;
    assert!(words.contains(&format!("{} of {files} files reused", plain.len())), "{words}");
    assert!(sent < 20_000 * escaped.len() as u64 + 20_000, "{sent}");

    // Each has the name of another, in another folder; of those that were escaped some are plain now, and the reverse.
    let three = all().fold(App::site("v2"), |app, (n, name)| {
        let other = all().nth((n + 1) % all().count()).unwrap().1;
        app.file(Path::new("moved").join(other), noise(n)).file(name, format!("changed {n}"))
    });
    let (sent, words) = release(bench, &links(three));
    assert!(words.contains(&format!("{} of ", plain.len() - 1 + 2)), "{words}");
    assert!(sent < 20_000 * (escaped.len() as u64 + 1) + 30_000, "{sent}");
    for at in [bench.area.path(), Path::new("/tmp"), Path::new("/")] {
        assert!(!at.join("pwned").exists());
    }
}

fn what_changes_after_the_host_has_told_of_it_is_found_out(bench: &mut Bench) {
    let app = |version: &str| App::site(version).file("lib/app.js", noise(1)).file("lib/more.js", noise(2));
    let hold = bench.hold_tool("tar", "-xof");
    hold.let_go();
    release(bench, &app("v1"));
    type Change = fn(&Path, &Path);
    let found_out: [Change; 4] = [
        |live, _| fs::write(live.join("lib/app.js"), noise(3)).unwrap(),
        |live, _| fs::remove_file(live.join("lib/app.js")).unwrap(),
        |_, manifest| fs::write(manifest, "").unwrap(),
        |_, manifest| fs::remove_file(manifest).unwrap(),
    ];
    for (number, change) in found_out.into_iter().enumerate() {
        hold.again();
        let new = app(&format!("w{number}"));
        bench.write(&new);
        let run = bench.start("deploy", &[]);
        hold.wait(&run);
        let id = bench.site.current().unwrap();
        change(&bench.site.dir.join("releases").join(&id), &bench.site.dir.join(".shipit/manifests").join(&id));
        hold.let_go();
        let output = run.finish().expect(0).says(&["; sending all"]);
        let ended = output.events().into_iter().find(|event| event.is("step_finished", "receive")).unwrap();
        assert!(!ended.text("detail").contains("reused"), "{number}: {output}");
        is_live(bench, &output, &new);
    }
}

/// This release is live as it was sent, whatever became of the one before.
#[track_caller]
fn is_live(bench: &Bench, output: &Output, app: &App) {
    let id = output.release();
    assert_eq!(bench.site.current().as_deref(), Some(&*id));
    tree::verify(&bench.site.dir, &id, &[]).unwrap_or_else(|why| panic!("{why}\n{output}"));
    for (name, content) in app.files() {
        assert_eq!(&fs::read(bench.site.dir.join("current").join(name)).unwrap(), content, "{name:?}\n{output}");
    }
}

fn a_manifest_that_lies_is_found_out(bench: &mut Bench) {
    let app = |version: &str| App::site(version).file("a.js", noise(1)).file("b.js", noise(2));
    release(bench, &app("v1"));
    fs::write(bench.area.path().join("outside"), noise(3)).unwrap();
    // What one file holds is said of another; a path leads out of the release; a name is a folder's; not text at all.
    type Lie = fn(&str) -> Vec<u8>;
    let lies: [Lie; 4] = [
        |text| text.replace(" b.js\n", " c.js\n").replace(" a.js\n", " b.js\n").into(),
        |text| text.replace(" b.js\n", " ../../../outside\n").into(),
        |text| text.replace(" b.js\n", " deep\n").into(),
        |text| [&text.as_bytes()[..40], &[0, 0xff, b'\n', 0], text.as_bytes()].concat(),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let file = bench.site.dir.join(".shipit/manifests").join(bench.site.current().unwrap());
        fs::write(&file, lie(&fs::read_to_string(&file).unwrap())).unwrap();
        let new = app(&format!("w{number}")).file("c.js", noise(2));
        let output = bench.deploy(&new, &[]).expect(0);
        is_live(bench, &output, &new);
    }
}

fn a_release_that_was_made_by_hand_is_replaced(bench: &mut Bench) {
    release(bench, &App::site("v1"));
    let home = &bench.site.dir;
    fs::create_dir(home.join("releases/by-hand")).unwrap();
    fs::write(home.join("releases/by-hand/index.html"), "by hand").unwrap();
    fs::write(home.join(".shipit/manifests/by-hand"), "f 0644 7 - index.html\n").unwrap();
    fs::remove_file(home.join("current")).unwrap();
    std::os::unix::fs::symlink("releases/by-hand", home.join("current")).unwrap();
    let output = bench.deploy(&App::site("v2"), &[]).expect(0);
    assert_eq!(bench.site.read("index.html"), "<!doctype html><title>v2</title>", "{output}");
}

#[test]
fn a_host_that_lacks_a_tool_is_refused_by_its_name_or_sent_all() {
    let bench = Shell::Busybox.bench();
    let old = bench.release(&App::site("v1"));
    let tools = bench.area.path().join("tools");
    for tool in ["tar", "base64", "sha256sum", "find", "timeout"] {
        let (link, aside) = (tools.join(tool), bench.area.path().join("aside"));
        fs::rename(&link, &aside).unwrap();
        let before = bench.site.production();
        bench.deploy(&App::site("v2"), &[]).expect(1).says(&[
            &format!("the host has no {tool}"),
            "install",
            "not touched",
        ]);
        assert_eq!(bench.site.production(), before, "without {tool}");
        bench.site.assert_invariant(&Live::Old(old.clone()));
        assert!(!bench.site.dir.join(".shipit/incoming").exists());
        fs::rename(&aside, &link).unwrap();
    }
    // These only make a redeploy cheap.
    for tool in ["awk", "xargs"] {
        let (link, aside) = (tools.join(tool), bench.area.path().join("aside"));
        fs::rename(&link, &aside).unwrap();
        let (_, words) = release(&bench, &App::site(tool));
        assert!(!words.contains("reused"), "without {tool}: {words}");
        fs::rename(&aside, &link).unwrap();
    }
}
