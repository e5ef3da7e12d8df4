//! Logins as they are on real servers: other shells, startup files that print and take their time, tools that only a
//! profile would put on the PATH, and sshds that allow little.

use std::fs;
use std::path::Path;

use super::support::account::Account;
use super::support::sshd::{Options, Sshd};
use super::support::{App, Bench, Live, Make};

/// Text without an end of line, as a prompt or a progress bar leaves it.
const NOISE: &str = "@ready welcome to this host\nno end of line> ";

/// Deploys, reloads and looks, as on any other host.
fn goes_live_twice(bench: &Bench) {
    let host = bench.host();
    bench.release(&App::server("v1"));
    let second = bench.release(&App::server("v2"));
    host.assert_live(&Live::New(second.clone()), 1);
    bench.run("status", &[]).expect(0).says(&[&second, "proved"]);
}

fn with_login_shell(account: &'static str, startup: &str, commands: &str) {
    let bench = Make::pm2(1).account(account).home().bench();
    let (home, owner) = (bench.host().home(), &bench.host().account);
    let file = home.join(startup);
    owner.make_dir(file.parent().unwrap());
    // The test must be able to fail: the file leaves a trace that it was read.
    fs::write(&file, format!("touch {}\n{commands}\n", home.join("was-read").display())).unwrap();
    owner.own(&file);
    goes_live_twice(&bench);
    let read = home.join("was-read").exists();
    assert_eq!(read, !account.ends_with("dash"), "only dash reads nothing without a terminal");
}

#[test]
fn a_login_shell_may_be_dash() {
    with_login_shell("shipit-dash", ".profile", "echo never");
}

#[test]
fn a_login_shell_may_be_fish() {
    with_login_shell("shipit-fish", ".config/fish/config.fish", &format!("printf '{}'", NOISE.replace('\n', "\\n")));
}

#[test]
fn a_login_shell_may_be_tcsh() {
    with_login_shell("shipit-tcsh", ".tcshrc", &format!("printf '{}'", NOISE.replace('\n', "\\n")));
}

#[test]
fn a_bashrc_may_print_and_take_its_time() {
    with_login_shell(
        "shipit-a",
        ".bashrc",
        &format!("sleep 2\nprintf '{}'\necho problem >&2", NOISE.replace('\n', "\\n")),
    );
}

#[test]
fn a_banner_and_a_message_of_the_day_are_no_answers() {
    let bench = Make::pm2(1).sshd("Banner /etc/passwd").sshd("PrintMotd yes").sshd("PrintLastLog yes").bench();
    goes_live_twice(&bench);
}

#[test]
fn one_channel_and_no_forwarding_are_good_enough_together() {
    let bench = Make::pm2(1).sshd("MaxSessions 1").sshd("DisableForwarding yes").bench();
    goes_live_twice(&bench);
}

#[test]
fn without_forwarding_and_without_a_service_the_setting_is_named() {
    let mut bench = Make::files().sshd("AllowTcpForwarding no").bench();
    let url = format!("http://127.0.0.1:{}/", bench.host().port);
    bench.config.set("health.url", url).set("health.within", "2s").set("health.assets", false);
    bench.deploy(&App::site("v1"), &[]).expect(4).says(&["AllowTcpForwarding", "health.from"]);
    bench.site().assert_invariant(&Live::Nothing);
}

#[test]
fn a_host_behind_another_is_reached_with_the_same_key_and_the_same_trust() {
    let mut bench = Make::pm2(1).bench();
    let (b, identity) = (Account::b(), bench.area.path().join("id"));
    let jump = Sshd::start(&bench.area.dir("jump"), &identity, &[&b], &Options::default());
    bench.config.set("ssh.proxy_jump", format!("{}@127.0.0.1:{}", b.name, jump.port));
    // Who does not know the host on the way is told so, and asked nothing.
    bench.deploy(&App::server("v0"), &[]).expect(1).says(&["host key"]);
    let known = bench.area.path().join("known_hosts");
    let text = fs::read_to_string(&known).unwrap() + &jump.known_host(jump.port);
    fs::write(&known, text).unwrap();
    goes_live_twice(&bench);
    assert!(jump.log().contains(&format!("Accepted publickey for {}", b.name)), "{}", jump.log());
}

/// Lays out `~/.nvm` as nvm does, with this machine's node and PM2 as `version`.
fn nvm(bench: &Bench, version: &str) {
    let (home, owner) = (bench.host().home(), &bench.host().account);
    let root = home.join(".nvm/versions/node").join(version);
    for dir in [".nvm", ".nvm/alias", ".nvm/alias/lts", ".nvm/versions", ".nvm/versions/node"] {
        owner.make_dir(&home.join(dir));
    }
    for dir in ["", "bin", "lib", "lib/node_modules"] {
        owner.make_dir(&root.join(dir));
    }
    let real = |program: &str| {
        let places = std::env::var("PATH").unwrap();
        let found = places.split(':').map(|dir| Path::new(dir).join(program)).find(|file| file.is_file());
        found.and_then(|file| file.canonicalize().ok()).unwrap_or_else(|| panic!("no {program}: use tests/run"))
    };
    // A copy: what it is called is what it is known by.
    fs::copy(real("node"), root.join("bin/node")).unwrap();
    let pm2 = real("pm2");
    let package = pm2.ancestors().nth(2).unwrap();
    std::os::unix::fs::symlink(package, root.join("lib/node_modules/pm2")).unwrap();
    std::os::unix::fs::symlink("../lib/node_modules/pm2/bin/pm2", root.join("bin/pm2")).unwrap();
    fs::write(home.join(".nvm/alias/default"), "lts/*\n").unwrap();
    fs::write(home.join(".nvm/alias/lts/*"), "lts/iron\n").unwrap();
    fs::write(home.join(".nvm/alias/lts/iron"), format!("{version}\n")).unwrap();
}

#[test]
fn node_and_pm2_are_found_where_nvm_put_them() {
    let mut bench = Make::pm2(1).home().without("node").without("pm2").bench();
    // First without: the error shows what was looked at, and the cure.
    let missing = bench.deploy(&App::server("v0"), &[]).expect(1);
    missing.says(&["no node on PATH (", "/usr/bin", "nvm", "volta", "path = ["]);
    bench.run("status", &[]).expect(0).says(&["no node on PATH ("]);
    nvm(&bench, "v20.19.9");
    goes_live_twice(&bench);
    let node = bench.host().home().join(".nvm/versions/node/v20.19.9/bin/node");
    let worker = &bench.host().workers()[0];
    assert_eq!(fs::read_link(format!("/proc/{}/exe", worker.pid)).unwrap(), node, "the worker runs on it, too");
    bench.run("status", &[]).expect(0).says(&[&format!("({})", node.display())]);

    // Another one is there as well, and named: a deploy says which is used, and on whose node PM2's daemon runs.
    nvm(&bench, "v20.19.10");
    let named = bench.host().home().join(".nvm/versions/node/v20.19.9/bin");
    bench.config.set("ssh.path", vec![named.to_string_lossy().into_owned()]);
    bench.deploy(&App::server("v3"), &[]).expect(0).says(&["there is also", "v20.19.10"]);
}
