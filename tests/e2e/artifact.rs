//! One build for several stages, what is live left alone where nothing changed, and what a deploy would bring.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::area::Area;
use super::support::shipit::{Output, Shipit};
use super::support::site::Site;
use super::support::{App, Bench, Live, Make};

const FILE: &str = "tiny.tar.zst";

/// Runs git in the project.
fn git(project: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(project).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A commit of all that is there.
fn commit(bench: &Bench, subject: &str) {
    git(&bench.project, &["init", "-q"]);
    git(&bench.project, &["add", "-A"]);
    git(&bench.project, &["commit", "-q", "-m", subject]);
}

/// How each step of a `--json` run ended, with its words.
fn ends(output: &Output, step: &str) -> Vec<(String, String)> {
    let events = output.events();
    let ended = events.iter().filter(|event| event.is("step_finished", step));
    ended.map(|event| (event.text("outcome").to_owned(), event.text("detail").to_owned())).collect()
}

#[test]
fn one_file_goes_to_two_stages() {
    let mut bench = Make::files().hosts(2).bench();
    let hosts: Vec<toml::Value> = bench.hosts.iter().map(|host| host.address().into()).collect();
    let path = bench.site().path.to_string_lossy().into_owned();
    bench.config.set("build.command", "date +%N > dist/built; echo ran >> runs");
    bench.config.set("stages.production.hosts", vec![hosts[0].clone()]);
    bench.config.set("stages.staging.hosts", vec![hosts[1].clone()]).set("stages.staging.path", path);
    bench.write(&App::site("v1").program("bin/tool", "#!/bin/sh\n").link("latest.html", "index.html"));
    bench.run("build", &["-o", FILE]).expect(0).says(&["written to tiny.tar.zst"]);
    fs::remove_dir_all(bench.project.join("dist")).unwrap();

    for (stage, host) in [("production", 0), ("staging", 1)] {
        let args = ["deploy", stage, "--artifact", FILE];
        bench.shipit.run(&[&args[..], &["--dry-run"]].concat()).expect(0).says(&["skipped: from tiny.tar.zst"]);
        let run = bench.shipit.spawn_json(&args).finish().expect(0);
        for step in ["build", "package"] {
            assert_eq!(ends(&run, step), [("skipped".to_owned(), format!("from {FILE}"))], "{run}");
        }
        bench.hosts[host].site.assert_invariant(&Live::New(run.release()));
        assert!(bench.hosts[host].site.dir.join("current/latest.html").is_symlink());
    }
    let built = |host: usize| bench.hosts[host].site.read("built");
    assert_eq!(built(0), built(1));
    assert_eq!(fs::read_to_string(bench.project.join("runs")).unwrap(), "ran\n", "built once");
    // What a host has is reused, as it is of a build.
    let again = bench.shipit.spawn_json(&["deploy", "staging", "--artifact", FILE]).finish().expect(0);
    assert!(ends(&again, "receive")[0].1.contains("reused"), "{again}");
    let stays = ["deploy", "staging", "--artifact", FILE, "--if-changed"];
    bench.shipit.run(&stays).expect(0).says(&[&format!("nothing to do: {} is live and equal", again.release())]);

    // Another stage's environment is in the files: refused before anything is asked.
    bench.config.set("stages.staging.build.env.API", "https://staging.example");
    bench.write_config();
    let live = bench.hosts[1].site.listing();
    let refused = bench.shipit.run(&["deploy", "staging", "--artifact", FILE]).expect(2);
    refused.says(&["build.env.API", "shipit build staging -o"]);
    assert_eq!(bench.hosts[1].site.listing(), live);
}

#[test]
fn a_damaged_file_touches_nothing() {
    let bench = Make::files().bench();
    let live = bench.release(&App::site("v1"));
    // Content that can't be compressed: what is cut off is then far behind the head.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(600_000)
    .collect();
    bench.write(&App::site("v2").file("noise", noise));
    bench.run("build", &["-o", FILE]).expect(0);
    let file = bench.project.join(FILE);
    let good = fs::read(&file).unwrap();
    fs::write(&file, &good[..good.len() - 9]).unwrap();
    let run = bench.run("deploy", &["--artifact", FILE]).expect(1);
    run.says(&["tiny.tar.zst` is damaged: it ends too early", "production was not touched"]);
    bench.run("deploy", &["--artifact", FILE, "--dry-run", "--offline"]).expect(1).says(&["is damaged"]);
    bench.run("deploy", &["--artifact", "nowhere.tar.zst"]).expect(1).says(&["nowhere.tar.zst"]);
    bench.site().assert_invariant(&Live::Old(live.clone()));
    assert_eq!(bench.site().releases(), [live]);
}

#[test]
fn nothing_is_done_where_nothing_changed() {
    let mut bench = Make::pm2(1).bench();
    let live = bench.release(&App::server("v1"));
    let history = || fs::read_to_string(bench.site().dir.join(".shipit/history.jsonl")).unwrap();
    let (told, production) = (history(), bench.site().production());
    let run = bench.deploy(&App::server("v1"), &["--if-changed"]).expect(0);
    assert!(run.stdout.contains(&format!("nothing to do: {live} is live and equal")), "{run}");
    for step in ["receive", "before_switch", "boot_test", "activate", "verify", "commit", "after_switch", "prune"] {
        let said = ends(&run, step);
        assert!(said.len() == 1 && said[0].0 == "skipped" && said[0].1.contains(&live), "{step}: {said:?}");
    }
    assert_eq!((history(), bench.site().production()), (told, production));
    bench.host().assert_live(&Live::Old(live.clone()), 1);

    // What is live and equal, but not well, is no reason to stay.
    let pm2 = bench.host().pm2.as_ref().unwrap();
    assert!(pm2.run(&["stop", "tiny"]).status.success());
    let mended = bench.deploy(&App::server("v1"), &["--if-changed"]).expect(0);
    assert!(mended.stdout.contains("live and equal on a, but"), "{mended}");
    bench.host().assert_live(&Live::New(mended.release()), 1);

    for (key, value) in [("health.soak", "2s"), ("release.access", "public")] {
        bench.config.set(key, value);
        let changed = bench.deploy(&App::server("v1"), &["--if-changed"]).expect(0);
        bench.host().assert_live(&Live::New(changed.release()), 1);
    }
    let changed = bench.deploy(&App::server("v2"), &["--if-changed"]).expect(0);
    bench.host().assert_live(&Live::New(changed.release()), 1);
}

#[test]
fn diff_tells_commits_and_files_and_writes_nothing() {
    let bench = Make::files().hosts(2).bench();
    bench.write(&App::site("v1").file("old.txt", "gone soon").file("same.txt", "same"));
    commit(&bench, "the first");
    bench.run("diff", &[]).expect(0).says(&["a and b: nothing is live", "commits: not known"]);
    bench.run("deploy", &[]).expect(0);
    let equal = bench.run("diff", &[]).expect(0);
    equal.says(&["a and b: ", "commits: 0 since", "files: none differs", "--build builds first"]);

    fs::remove_dir_all(bench.project.join("dist")).unwrap();
    bench.write(&App::site("v2").file("same.txt", "same").file("again.txt", "same").file("more.txt", "more"));
    commit(&bench, "the second");
    bench.run("deploy", &["--host", "b"]).expect(0);
    let before: Vec<_> = bench.hosts.iter().map(|host| host.site.listing()).collect();
    fs::write(
        bench.project.join("deploy.toml"),
        fs::read_to_string(bench.project.join("deploy.toml")).unwrap() + "\n# x\n",
    )
    .unwrap();
    let said = bench.run("diff", &[]).expect(0);
    said.says(&["uncommitted", "commits: 1 since", "the second", "+", "more.txt", "old.txt", "1 copied on the host"]);
    let json = bench.run("diff", &["--json"]).expect(0).json();
    let hosts = json["hosts"].as_array().unwrap();
    assert_eq!((hosts[0]["equal"].as_bool(), hosts[1]["equal"].as_bool()), (Some(false), Some(true)), "{json}");
    assert_eq!(hosts[0]["copy"], 1);
    assert_eq!(hosts[0]["remove"], serde_json::json!([{"path": "old.txt", "bytes": 9}]));
    assert_eq!(hosts[0]["commits"][0]["subject"], "the second");
    let after: Vec<_> = bench.hosts.iter().map(|host| host.site.listing()).collect();
    assert_eq!(after, before, "not a byte was written");

    // What was said is what a deploy does; the release's own marker travels with it.
    let reused = hosts[0]["copy"].as_u64().unwrap() + hosts[0]["keep"].as_u64().unwrap();
    let all = reused + hosts[0]["send"].as_array().unwrap().len() as u64 + 1;
    let run = bench.shipit.spawn_json(&["deploy", "--host", "a"]).finish().expect(0);
    let received = ends(&run, "receive");
    assert!(received[0].1.contains(&format!(", {reused} of {all} files reused")), "{received:?}");

    // A live file that somebody changed is none that a release could be made of.
    fs::write(bench.site().dir.join("current/more.txt"), "edited").unwrap();
    let told = bench.run("diff", &["--host", "a"]).expect(0);
    told.says(&["none differs of", "1 to send all the same", "more.txt"]);
}

/// Files that a build should not leave: each is named, and nothing that is live is touched.
#[test]
fn odd_names_travel_and_unreadable_files_are_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    let area = Area::new();
    let (project, live) = (area.dir("project"), area.path().join("live"));
    let text = "app = \"odd\"\n[build]\npreset = \"files\"\noutput = \"dist\"\n[stages.x]\nhosts = [\"local\"]\npath = \"../live\"\n";
    fs::write(project.join("deploy.toml"), text).unwrap();
    let dist = project.join("dist");
    fs::create_dir(&dist).unwrap();
    let long = [b'n'; 181];
    let names: [&[u8]; 5] = [b"new\nline", b"not-utf8-\xff\xfe", &long, b"[ ] ( ) $ ~ @ +", b"-rf"];
    for name in names {
        fs::write(dist.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let shipit = Shipit::new(&project, area.path());
    let site = Site::new(&live, &live);
    shipit.run(&["build", "-o", "../odd.tar.zst"]).expect(0);
    shipit.run(&["deploy", "--artifact", "../odd.tar.zst"]).expect(0);
    let id = site.current().unwrap();
    site.assert_invariant(&Live::New(id.clone()));
    for name in names {
        assert_eq!(fs::read(live.join("current").join(OsStr::from_bytes(name))).unwrap(), name);
    }
    shipit.run(&["diff"]).expect(0).says(&["files: none differs of 5 files; 1 to send all the same"]);

    // As an account that is not root: root may read everything.
    let account = super::support::account::Account::named("shipit-a");
    fs::write(dist.join("closed\nfile"), "x").unwrap();
    fs::set_permissions(dist.join("closed\nfile"), fs::Permissions::from_mode(0o0)).unwrap();
    let output = account.command(env!("CARGO_BIN_EXE_shipit")).arg("build").current_dir(&project).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("closedfile` may not be read by this account"), "{said}");
    site.assert_invariant(&Live::Old(id));
}
