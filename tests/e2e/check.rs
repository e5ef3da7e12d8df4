//! `check` and `deploy` judge alike: what the one refuses the other refuses in the same words, and what the one lets
//! through goes live. And a look changes nothing: not a byte, not a time, not a process.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use serde_json::Value;

use super::support::shipit::Output;
use super::support::site::Site;
use super::support::sshd::keygen;
use super::support::{App, Bench, Make};

/// All rows of a `check --json`, those of this machine first.
fn rows(output: &Output) -> Vec<Value> {
    let all = output.json();
    let hosts = all["hosts"].as_array().unwrap().iter().flat_map(|host| host["rows"].as_array().unwrap());
    all["here"].as_array().unwrap().iter().chain(hosts).cloned().collect()
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap()
}

/// The row about `about` that has these words, with its status.
#[track_caller]
fn finds(output: &Output, status: &str, about: &str, words: &str) {
    let found = rows(output)
        .iter()
        .any(|row| text(row, "status") == status && text(row, "about") == about && text(row, "what").contains(words));
    assert!(found, "no {status} {about}: {words}\n{output}");
}

/// The home without the notes of a run that goes on meanwhile.
fn listing(bench: &Bench) -> BTreeMap<PathBuf, String> {
    let mut listing = bench.site().listing();
    listing.retain(|path, _| !path.to_string_lossy().starts_with(".shipit/t."));
    listing
}

/// Every sentence that a deploy ends with, and its cure, stands in the check before it; neither changes the home.
#[track_caller]
fn alike(bench: &Bench, app: &App, words: &[&str]) {
    bench.write(app);
    let before = listing(bench);
    let check = bench.run("check", &["--json"]).expect(1);
    assert_eq!(listing(bench), before, "check writes nothing");
    assert_eq!(check.json()["refused"], true);
    let plain = bench.run("check", &[]).expect(1).says(words).says(&["refuses", "cure: ", "a deploy would be refused"]);
    assert!(plain.stderr.is_empty(), "{plain}");

    let deploy = bench.run("deploy", &["--json"]);
    assert!(matches!(deploy.code, Some(1 | 3 | 5)), "{deploy}");
    let events = deploy.events();
    let ended = events.iter().find(|event| event.kind() == "ended").unwrap();
    let said = ended.text("error");
    let said = said.strip_prefix(&format!("{}: ", bench.host().name)).unwrap_or(said);
    let refusals: Vec<Value> = rows(&check).into_iter().filter(|row| text(row, "status") == "refuses").collect();
    let mut sentences = 0;
    for line in said.lines() {
        let same = |row: &&Value| match line.strip_prefix("  cure: ") {
            Some(cure) => text(row, "cure") == cure,
            None => line.contains(text(row, "what")),
        };
        assert!(refusals.iter().any(|row| same(&row)), "check lacks {line:?}\n{check}\n{deploy}");
        sentences += 1;
    }
    assert!(sentences > 0, "{deploy}");
}

fn files() -> Bench {
    Make::files().bench()
}

#[test]
fn what_stands_where_current_should_be() {
    let bench = files();
    fs::create_dir(bench.site().dir.join("current")).unwrap();
    alike(&bench, &App::site("v1"), &["current is a real directory"]);
    let bench = files();
    symlink("by-hand", bench.site().dir.join("current")).unwrap();
    alike(&bench, &App::site("v1"), &["current points to by-hand"]);
}

#[test]
fn a_home_that_can_not_be_used() {
    for mode in [0o755, 0o700] {
        let bench = files();
        let dir = &bench.site().dir;
        chown(dir, Some(0), Some(0)).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
        alike(&bench, &App::site("v1"), &["chown"]);
    }
    let mut bench = files();
    bench.config.set("stages.production.path", "/nobody/may/write/here");
    alike(&bench, &App::site("v1"), &["/nobody/may/write/here can't be made", "install -d"]);

    let bench = files();
    bench.release(&App::site("v1"));
    chown(bench.site().dir.join(".shipit/records"), Some(0), Some(0)).unwrap();
    alike(&bench, &App::site("v2"), &["not writable", "chown"]);
}

#[test]
fn a_host_that_can_not_be_spoken_to() {
    let known = |bench: &Bench, text: &str| fs::write(bench.area.path().join("known_hosts"), text).unwrap();
    let mut bench = files();
    bench.lose_first_host();
    alike(&bench, &App::site("v1"), &["reachable", "not reachable", "ssh "]);

    let bench = files();
    known(&bench, "");
    alike(&bench, &App::site("v1"), &["host key", "ssh-keyscan"]);
    keygen(&bench.area.path().join("other"));
    let other = fs::read_to_string(bench.area.path().join("other.pub")).unwrap();
    known(&bench, &format!("[127.0.0.1]:{} {other}", bench.host().ssh_port()));
    alike(&bench, &App::site("v1"), &["host key", "ssh-keygen -R"]);
    bench.trust_hosts();

    let mut bench = bench;
    let stranger = bench.area.path().join("stranger");
    keygen(&stranger);
    bench.config.set("ssh.identity_file", stranger.to_str().unwrap());
    alike(&bench, &App::site("v1"), &["no key was accepted", "authorized_keys"]);
}

#[test]
fn one_host_that_is_not_heard_hides_no_other_one() {
    let mut bench = Make::files().hosts(2).bench();
    let live = bench.release(&App::site("v1"));
    bench.lose_first_host();
    bench.write_config();
    let check = bench.run("check", &["--json"]).expect(1);
    finds(&check, "refuses", "reachable", "not reachable");
    finds(&check, "ok", "current", &live);
    bench.run("check", &["--host", "b"]).expect(0);
}

#[test]
fn tools_and_shared_files_that_are_missing() {
    let mut bench = Make::files().without("tar").bench();
    bench.config.set("shared.files", vec![".env"]).set("shared.dirs", vec!["uploads"]);
    alike(&bench, &App::site("v1"), &["the host has no tar", "the shared file .env is not on the host", "scp "]);
    for tool in ["node", "pm2"] {
        let bench = Make::pm2(1).without(tool).bench();
        alike(&bench, &App::server("v1"), &[tool, "PATH"]);
    }
}

#[test]
fn a_lock_and_a_switch_that_nobody_can_finish() {
    let mut bench = files();
    let go = bench.area.path().join("go");
    bench.config.set("build.command", format!("while [ ! -e '{}' ]; do sleep 0.1; done", go.display()));
    let run = bench.start(&App::site("v1"), &[]);
    run.wait_for("the lock", |event| event.is("step_finished", "connect"));
    alike(&bench, &App::site("v1"), &["locked by", "shipit unlock"]);
    fs::write(go, "").unwrap();
    run.finish().expect(0);

    bench.config.unset("build.command");
    let pending = bench.site().dir.join(".shipit/pending");
    symlink("0123456789abcdef 20260321-140000-k3f8", &pending).unwrap();
    alike(&bench, &App::site("v2"), &["could not be put right", "has lost its notes", "shipit recover"]);
}

#[test]
fn another_branch_than_the_stage_is_deployed_from() {
    let mut bench = files();
    bench.config.set("stages.production.branch", "main");
    bench.write(&App::site("v1"));
    let check = bench.run("check", &["--json"]).expect(1);
    finds(&check, "refuses", "branch", "is deployed from branch main, this is no branch");
    bench.run("deploy", &[]).expect(2).says(&["is deployed from branch main, this is no branch"]);
}

#[test]
fn a_config_that_can_not_be_read_ends_with_2() {
    let mut bench = files();
    bench.config.set("build.prest", "files");
    bench.write_config();
    bench.run("check", &[]).expect(2).says(&["prest", "preset"]);
}

#[test]
fn a_port_that_another_process_holds() {
    let bench = Make::pm2(1).bench();
    // One that the account may not look at is known by its user only.
    let _held = TcpListener::bind(("127.0.0.1", bench.host().port)).unwrap();
    alike(&bench, &App::server("v1"), &[&format!("port {} is held by", bench.host().port)]);
}

#[test]
fn an_app_of_that_name_that_runs_from_elsewhere() {
    let bench = Make::pm2(1).bench();
    let host = bench.host();
    let elsewhere = bench.area.dir("elsewhere");
    App::server("by-hand").write(&elsewhere);
    let mut start = host.account.command("pm2");
    start.env("PM2_HOME", bench.area.path().join("host-a/pm2")).env("PORT", host.port.to_string());
    start.args(["-s", "start", "server.js", "--name", "tiny", "--cwd"]).arg(&elsewhere).current_dir(&elsewhere);
    assert!(start.status().unwrap().success());
    alike(&bench, &App::server("v1"), &["tiny", "runs from", "pm2 delete tiny"]);
}

#[test]
fn what_check_lets_through_goes_live() {
    let mut bench = Make::pm2(2).sshd("AllowTcpForwarding no").bench();
    let (port, pm2) = (bench.host().port, bench.host().pm2.as_ref().unwrap().env());
    let pm2_home = pm2.split_once('=').unwrap().1.to_owned();
    bench.config.set("shared.dirs", vec!["uploads"]);
    bench.write(&App::server("v1"));
    let before = bench.site().listing();
    let check = bench.run("check", &["--json"]).expect(0);
    assert_eq!(bench.site().listing(), before);
    assert_eq!(bench.host().pm2.as_ref().unwrap().daemon(), None, "no daemon is started");
    for (status, about, words) in [
        ("ok", "config", "deploy.toml is in order: 1 host"),
        ("ok", "reachable", "as shipit-a"),
        ("ok", "path", "belongs to shipit-a and is writable, umask 0022"),
        ("ok", "current", "the first deploy makes it"),
        ("ok", "shared", "uploads/: the next deploy makes uploads"),
        ("ok", "tools", "sha256sum"),
        ("ok", "pm2", "no daemon runs in"),
        ("ok", "service", "not there yet"),
        ("ok", "port", &format!("{port} is free")),
        ("ok", "boot_test", "spare loopback port"),
        ("ok", "activate", "first release, first start"),
        ("note", "verify", "forwards no ports"),
    ] {
        finds(&check, status, about, words);
    }
    let live = bench.release(&App::server("v1"));

    // PM2's own command notes in `touch` when it was called last, whatever it is asked for.
    let files = |what: &str| {
        let mut listing = Site::new(what.as_ref(), what.as_ref()).listing();
        listing.remove(&PathBuf::from("touch"));
        listing
    };
    let workers = bench.host().workers();
    let (before, pm2_before) = (bench.site().listing(), files(&pm2_home));
    let check = bench.run("check", &["--json"]).expect(0);
    assert_eq!(bench.site().listing(), before);
    assert_eq!(files(&pm2_home), pm2_before);
    assert_eq!(bench.host().workers(), workers);
    for (status, about, words) in [
        ("ok", "current", format!("leads to {live}, good")),
        ("ok", "disk", "the last release has".into()),
        ("ok", "shared", "uploads/: there".into()),
        ("ok", "pm2", "is alive, version".into()),
        ("ok", "service", format!("online 2/2 {live}")),
        ("ok", "port", format!("{port} is held by the app itself")),
        ("note", "reboot", "starts PM2".into()),
        ("ok", "activate", format!("{live} is live; 2 workers reloaded one by one")),
    ] {
        finds(&check, status, about, &words);
    }
    bench.release(&App::server("v2"));
}

#[test]
fn what_stops_nothing_is_said_all_the_same() {
    let mut bench = Make::files().without("zstd").sshd("AllowTcpForwarding no").bench();
    bench.release(&App::site("v1"));
    fs::remove_dir_all(bench.site().dir.join("releases")).unwrap();
    bench
        .config
        .set("stages.production.ask", true)
        .set("build.env.API_KEY", "${API_KEY:-none}")
        .set("health.url", "http://127.0.0.1:9/")
        .set("health.from", "host");
    bench.write_config();
    // A login manager that ends what a login leaves.
    let place = "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/seats && \
                 mkdir -p /etc/systemd && mount -t tmpfs none /etc/systemd && \
                 printf '[Login]\\n#KillUserProcesses=no\\nKillUserProcesses=yes\\n' >/etc/systemd/logind.conf";
    assert!(bench.host().sshd.command("sh").args(["-c", place]).status().unwrap().success());
    let check = bench.run("check", &["--json"]).expect(0);
    for (status, about, words) in [
        ("warning", "secrets", "API_KEY looks like a secret"),
        ("note", "ask", "asks before it begins"),
        ("note", "tools", "no zstd"),
        ("ok", "receive", "gzip"),
        ("warning", "current", "leads nowhere"),
        ("warning", "logins", "ends this account's processes"),
        ("warning", "verify", "forwards no ports"),
    ] {
        finds(&check, status, about, words);
    }
    for row in rows(&check).iter().filter(|row| text(row, "status") != "ok") {
        assert!(!text(row, "cure").is_empty(), "{row}");
    }
    bench.run("check", &[]).expect(0).says(&["nothing that was seen would refuse a deploy; 4 warnings"]);
}
