//! What people get wrong: each is found before production is touched, and the message holds the cause and the
//! command that helps.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::sshd::keygen;
use super::support::{App, Bench, Live, Make, STAGE};

/// A bench with a live release, and that release.
fn live() -> (Bench, String) {
    let bench = Make::files().bench();
    let id = bench.release(&App::site("v1"));
    (bench, id)
}

#[track_caller]
fn refused(bench: &Bench, live: &str, words: &[&str]) {
    let before = bench.site().listing();
    bench.deploy(&App::site("v2"), &[]).expect(1);
    bench.run("deploy", &[]).expect(1).says(words);
    assert_eq!(bench.site().listing(), before, "production is untouched");
    bench.site().assert_invariant(&Live::Old(live.to_owned()));
}

#[test]
fn current_is_a_real_directory() {
    let bench = Make::files().bench();
    let site = bench.site();
    let page = site.dir.join("current/index.html");
    fs::create_dir(site.dir.join("current")).unwrap();
    fs::write(&page, "made by hand").unwrap();
    bench.deploy(&App::site("v1"), &[]).expect(1);
    bench.run("deploy", &[]).expect(1).says(&["current", "mv "]);
    assert_eq!(fs::read_to_string(&page).unwrap(), "made by hand");
    assert!(site.releases().is_empty(), "{:?}", site.releases());
}

#[test]
fn current_leads_elsewhere() {
    let bench = Make::files().bench();
    let site = bench.site();
    fs::create_dir(site.dir.join("by-hand")).unwrap();
    std::os::unix::fs::symlink("by-hand", site.dir.join("current")).unwrap();
    bench.deploy(&App::site("v1"), &[]).expect(1).says(&["current", "by-hand"]);
    assert_eq!(fs::read_link(site.dir.join("current")).unwrap().to_str(), Some("by-hand"));
}

#[test]
fn the_path_is_not_writable() {
    let bench = Make::files().bench();
    let dir = &bench.site().dir;
    std::os::unix::fs::chown(dir, Some(0), Some(0)).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let before = bench.site().listing();
    bench.deploy(&App::site("v1"), &[]).expect(1);
    bench.run("deploy", &[]).expect(1).says(&["not writable", "shipit-a", "chown"]);
    assert_eq!(bench.site().listing(), before);
}

#[test]
fn the_path_can_not_be_made() {
    let mut bench = Make::files().bench();
    bench.config.set("stages.production.path", "/nobody/may/write/here");
    bench.deploy(&App::site("v1"), &[]).expect(1).says(&["/nobody/may/write/here", "install -d"]);
    assert!(!std::path::Path::new("/nobody").exists());
}

#[test]
fn the_host_is_unreachable() {
    let (mut bench, live) = live();
    bench.lose_first_host();
    refused(&bench, &live, &["not reachable", "ssh "]);
}

#[test]
fn a_host_that_is_unreachable_hides_no_other_one() {
    let mut bench = Make::files().hosts(2).bench();
    let live = bench.release(&App::site("v1"));
    bench.lose_first_host();
    bench.write_config();
    let (here, gone) = (bench.hosts[1].name.clone(), bench.hosts[0].name.clone());
    for (verb, flags, word) in [
        ("status", vec![], &*live),
        ("releases", vec![], &*live),
        ("cleanup", vec!["--dry-run"], "would remove 0"),
        ("deploy", vec!["-n"], "receive"),
        ("rollback", vec!["-n"], "preflight"),
        ("unlock", vec![], "not locked"),
    ] {
        let said = bench.run(verb, &flags).expect(1).says(&[word, "not reachable", "hint: try it by hand: ssh "]);
        assert!(said.stdout.contains(word), "{said}");
    }
    for verb in ["status", "releases", "unlock"] {
        let said = bench.run(verb, &["--json"]).expect(1).json();
        assert_eq!(said["hosts"][0]["host"], *gone, "{said}");
        assert!(said["hosts"][0]["error"].as_str().unwrap().contains("not reachable"), "{said}");
        assert_eq!(said["hosts"][1]["host"], *here, "{said}");
    }
}

#[test]
fn the_path_can_not_be_entered() {
    let bench = Make::files().bench();
    let dir = &bench.site().dir;
    std::os::unix::fs::chown(dir, Some(0), Some(0)).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    bench.write(&App::site("v1"));
    for flags in [&["-n"][..], &[]] {
        bench.run("deploy", flags).expect(1).says(&["can't be entered", "shipit-a", "chown"]);
    }
}

#[test]
fn the_host_key_is_unknown() {
    let (bench, live) = live();
    fs::write(bench.area.path().join("known_hosts"), "").unwrap();
    let command = format!("ssh-keyscan -p {} 127.0.0.1 >> ", bench.host().ssh_port());
    refused(&bench, &live, &["known_hosts", &command]);
}

#[test]
fn the_host_key_has_changed() {
    let (bench, live) = live();
    keygen(&bench.area.path().join("other"));
    let other = fs::read_to_string(bench.area.path().join("other.pub")).unwrap();
    let line = format!("[127.0.0.1]:{} {other}", bench.host().ssh_port());
    fs::write(bench.area.path().join("known_hosts"), line).unwrap();
    let command = format!("ssh-keygen -R '[127.0.0.1]:{}' -f ", bench.host().ssh_port());
    refused(&bench, &live, &["another one than known_hosts", &command]);
}

#[test]
fn the_key_is_refused() {
    let (mut bench, live) = live();
    let stranger = bench.area.path().join("stranger");
    keygen(&stranger);
    bench.config.set("ssh.identity_file", stranger.to_str().unwrap());
    refused(&bench, &live, &["no key was accepted", "authorized_keys"]);
}

#[test]
fn the_host_has_no_tar() {
    let bench = Make::files().without("tar").bench();
    bench.deploy(&App::site("v1"), &[]).expect(1).says(&["tar", "install"]);
    bench.site().assert_invariant(&Live::Nothing);
}

#[test]
fn the_host_has_no_gzip() {
    let bench = Make::files().without("gzip").bench();
    bench.deploy(&App::site("v1"), &[]).expect(1).says(&["the host has no gzip", "install it there"]);
    bench.run("check", &[]).expect(1).says(&["the host has no gzip", "install it there"]);
    bench.run("status", &[]).expect(1).says(&["the host has no gzip"]);
}

#[test]
fn the_host_has_no_node() {
    let bench = Make::pm2(1).without("node").bench();
    bench.deploy(&App::server("v1"), &[]).expect(1).says(&["node"]);
    bench.site().assert_invariant(&Live::Nothing);
}

#[test]
fn there_is_nothing_to_ship() {
    let (bench, live) = live();
    bench.write(&App::site("v2"));
    fs::remove_dir_all(bench.project.join("dist")).unwrap();
    let before = bench.site().production();
    bench.run("deploy", &[]).expect(1).says(&["dist"]);
    assert_eq!(bench.site().production(), before);
    bench.site().assert_invariant(&Live::Old(live));
}

#[test]
fn the_build_can_not_be_read() {
    let (bench, live) = live();
    // Root who may not pass over permissions is an ordinary user.
    let ordinary = bench.shipit.by(&["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]);
    bench.write(&App::site("v2").file("lib/app.js", "secret"));
    let before = bench.site().production();
    for (path, mode) in [("lib/app.js", 0o200), ("lib", 0o300), ("lib", 0o600)] {
        let closed = bench.project.join("dist").join(path);
        let open = fs::metadata(&closed).unwrap().permissions();
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
        let named = closed.display().to_string();
        ordinary.run(&["deploy", STAGE]).expect(1).says(&[&named, "may not be read", "not touched"]);
        ordinary.run(&["build", STAGE]).expect(1).says(&[&named, "may not be read"]);
        fs::set_permissions(&closed, open).unwrap();
        assert_eq!(bench.site().production(), before);
        bench.site().assert_invariant(&Live::Old(live.clone()));
    }
    ordinary.run(&["deploy", STAGE]).expect(0);
}

#[test]
fn a_service_of_that_name_runs_from_elsewhere() {
    let bench = Make::pm2(1).bench();
    let host = bench.host();
    let elsewhere = bench.area.dir("elsewhere");
    App::server("by-hand").write(&elsewhere);
    let pm2 = host.pm2.as_ref().unwrap();
    let mut start = host.account.command("pm2");
    start.env("PM2_HOME", bench.area.path().join("host-a/pm2")).env("PORT", host.port.to_string());
    start.args(["-s", "start", "server.js", "--name", "tiny", "--cwd"]).arg(&elsewhere).current_dir(&elsewhere);
    assert!(start.status().unwrap().success());
    let before = pm2.workers("tiny");
    assert_eq!(before.len(), 1);
    bench.deploy(&App::server("v1"), &[]).expect(1).says(&["tiny"]);
    assert_eq!(pm2.workers("tiny"), before, "it is refused, never stopped");
    assert_eq!(bench.site().current(), None);
}

#[test]
fn wrong_usage_and_wrong_config_end_with_2() {
    let (mut bench, live) = live();
    let before = bench.site().listing();
    bench.shipit.run(&["deploy", "produktion"]).expect(2).says(&["production"]);
    bench.shipit.run(&["deploy", "production", "--host", "z"]).expect(2).says(&["`z`"]);
    bench.shipit.run(&["deplyo"]).expect(2).says(&["deploy"]);
    bench.run("rollback", &["not-a-release"]).expect(2).says(&["not-a-release"]);
    bench.config.set("build.prest", "files");
    bench.write_config();
    bench.run("deploy", &[]).expect(2).says(&["deploy.toml:", "prest", "preset"]);
    bench.config.unset("build.prest").set("stages.production.ask", true);
    bench.write_config();
    bench.run("deploy", &[]).expect(2).says(&["--yes"]);
    assert_eq!(bench.site().listing(), before);
    bench.run("deploy", &["--yes"]).expect(0);
    assert_ne!(bench.site().current(), Some(live));
}
