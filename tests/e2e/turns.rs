//! How often a run waits for an answer of its host, counted on the wire: on a far host that is most of its time.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::support::{App, Bench, Make};

/// The most that a redeploy without hooks may need after the connection stands.
const MOST: u64 = 8;

/// How many turns it takes until a connection stands.
fn connecting(bench: &Bench) -> u64 {
    let (host, area) = (bench.host(), bench.area.path());
    let socket = area.join("master");
    let ssh = |arguments: &[&str]| {
        let mut ssh = Command::new("ssh");
        ssh.arg("-S").arg(&socket).args(arguments).arg("-i").arg(area.join("id"));
        ssh.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-F", "none", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", area.join("known_hosts").display()));
        ssh.args(["-p", &host.ssh_port().to_string(), &format!("{}@127.0.0.1", host.account.name)]);
        assert!(ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    };
    let before = host.proxy().turns();
    ssh(&["-M", "-f", "-N"]);
    let turns = host.proxy().turns() - before;
    ssh(&["-O", "exit"]);
    turns
}

#[test]
fn a_redeploy_needs_few_turns() {
    let mut bench = Make::files().proxied().bench();
    // A sign of life every three seconds is no question: none of it belongs to a run that is shorter.
    bench.config.set("rollout.silence", "60s");
    bench.release(&App::site("v1"));
    bench.host().proxy().delay(Duration::from_millis(25));
    // On a machine that is busy a run may take longer than that.
    let mut counted = Vec::new();
    for version in ["v2", "v3", "v4", "v5", "v6"] {
        let before = bench.host().proxy().turns();
        bench.release(&App::site(version));
        counted.push(bench.host().proxy().turns() - before - connecting(&bench));
    }
    assert!(counted.iter().min().unwrap() <= &MOST, "{counted:?} turns");
    println!("{counted:?} turns after the connection");
}
