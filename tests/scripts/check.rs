//! A look before a deploy: it judges as the deploy does, under every shell, and writes nothing.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::bench::{Bench, started};
use crate::support::apps::App;
use crate::support::shipit::Output;
use crate::support::site::Live;

super::in_every_shell! {
    what_is_refused_is_refused_by_both
    a_healthy_home_is_told_and_left_as_it_is
    what_a_dead_run_left_is_told_and_stops_nothing
}

/// The sentences and cures with this status.
fn told(output: &Output, status: &str) -> Vec<(String, String)> {
    let json = output.json();
    let rows = json["hosts"][0]["rows"].as_array().unwrap().clone();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    rows.iter().filter(|row| row["status"] == status).map(|row| (text(row, "what"), text(row, "cure"))).collect()
}

/// Looks, then deploys: both refuse, for the same reason.
#[track_caller]
fn alike(bench: &Bench, code: i32, words: &str) {
    bench.write(&App::site("refused"));
    let before = bench.site.listing();
    let check = bench.run("check", &["--json"]).expect(1);
    assert_eq!(bench.site.listing(), before);
    let refusals = told(&check, "refuses");
    let [(what, cure)] = &refusals[..] else { panic!("not one refusal\n{check}") };
    assert!(what.contains(words) && !cure.is_empty(), "{check}");
    let deploy = bench.run("deploy", &[]).expect(code);
    let said = format!("{}{}", deploy.stdout, deploy.stderr);
    assert!(said.contains(what), "{what}\n{deploy}");
}

fn what_is_refused_is_refused_by_both(bench: &mut Bench) {
    let live = bench.release(&App::site("v1"));
    let (home, own) = (bench.site.dir.clone(), std::process::id());

    let lock = bench.lock();
    let other = format!("{own}:{}:{own}:{}", started(own), "x:4026530000:0123456789abcdef:20260321T140000Z:ann@far");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    // Another machine's, as far as can be seen; and one that is seen to run.
    let namespace =
        fs::read_link("/proc/self/ns/pid").unwrap().to_string_lossy().replace(|c: char| !c.is_numeric(), "");
    for ns in ["4026530000", &namespace] {
        bench.plant(&other.replace(":x:4026530000:", &format!(":{}:{ns}:", boot.trim())));
        alike(bench, 3, "locked by ann@far since 2026-03-21 14:00:00 UTC");
    }
    bench.plant("free");
    assert!(bench.lock().number > lock.number);

    bench.config.set("shared.files", vec![".env"]);
    alike(bench, 1, "the shared file .env is not on the host");
    bench.config.unset("shared.files");

    for (text, words) in
        [("0123456789abcdef 20260321-140000-k3f8", "has lost its notes"), ("odd", "has lost its notes")]
    {
        symlink(text, home.join(".shipit/pending")).unwrap();
        alike(bench, 5, words);
        fs::remove_file(home.join(".shipit/pending")).unwrap();
    }

    let current = home.join("current");
    fs::rename(&current, home.join("aside")).unwrap();
    fs::create_dir(&current).unwrap();
    alike(bench, 1, "current is a real directory");
    fs::remove_dir(&current).unwrap();
    symlink("aside", &current).unwrap();
    alike(bench, 1, "current points to aside");
    fs::remove_file(&current).unwrap();
    fs::rename(home.join("aside"), &current).unwrap();

    // Another's directory that can be neither used nor made.
    fs::rename(home.join("shared"), home.join("aside")).unwrap();
    fs::write(home.join("shared"), "").unwrap();
    alike(bench, 1, "is not writable for");
    fs::remove_file(home.join("shared")).unwrap();
    fs::rename(home.join("aside"), home.join("shared")).unwrap();

    bench.site.assert_invariant(&Live::Old(live));
    bench.release(&App::site("v2"));
}

fn a_healthy_home_is_told_and_left_as_it_is(bench: &mut Bench) {
    bench.write(&App::site("v1"));
    assert!(!bench.site.dir.exists());
    let check = bench.run("check", &["--json"]).expect(0);
    assert!(!bench.site.dir.exists());
    assert!(told(&check, "refuses").is_empty());

    bench.config.set("shared.dirs", vec!["uploads", "c a"]);
    let live = bench.release(&App::site("v1"));
    fs::remove_dir(bench.site.dir.join("shared/c a")).unwrap();
    let before = bench.site.listing();
    let check = bench.run("check", &["--json"]).expect(0);
    assert_eq!(bench.site.listing(), before);
    let well: Vec<String> = told(&check, "ok").into_iter().map(|(what, _)| what).collect();
    for words in [
        &*format!("sh is {}", bench.shell.program().display()),
        &format!("leads to {live}, good"),
        "belongs to root and is writable, umask 0022",
        "the next deploy makes c a",
        "free, and no run left anything unfinished",
        "ours to within",
    ] {
        assert!(well.iter().any(|what| what.contains(words)), "{words}\n{check}");
    }
    bench.release(&App::site("v2"));
}

fn what_a_dead_run_left_is_told_and_stops_nothing(bench: &mut Bench) {
    bench.release(&App::site("v1"));
    let (run, new) = bench.held(&App::site("v2"));
    bench.kill_both(run);
    bench.soaks_no_more();
    bench.write(&App::site("v3"));
    // Its last side script may still be about to end, and notes that.
    let listing = || {
        let mut listing = bench.site.listing();
        listing.retain(|path, _| !path.to_string_lossy().starts_with(".shipit/t."));
        listing
    };
    let before = listing();
    let check = bench.run("check", &["--json"]).expect(0);
    assert_eq!(listing(), before);
    let (what, cure) = told(&check, "warning").remove(0);
    assert!(what == format!("an unfinished switch to {new}") && cure.contains("shipit recover production"), "{check}");
    assert!(told(&check, "note").iter().any(|(what, _)| what.ends_with("that run is dead")), "{check}");

    // A hand in between makes it one that nobody may judge.
    let current = bench.site.dir.join("current");
    fs::remove_file(&current).unwrap();
    symlink("releases/20260101-000000-aaaa", &current).unwrap();
    let check = bench.run("check", &["--json"]).expect(1);
    let (what, cure) = told(&check, "refuses").remove(0);
    assert!(what.contains("changed by hand") && cure.contains("pending"), "{check}");
    bench.run("deploy", &[]).says(&["changed by hand"]);
    fs::remove_file(&current).unwrap();
    symlink(format!("releases/{new}"), &current).unwrap();
    bench.release(&App::site("v3"));
}
