//! What another account still runs keeps its release, seen or not.

use std::process::{Child, Command, Stdio};

use super::lock::second;
use super::support::account::Account;
use super::support::process::{Signal, signal};
use super::support::{App, Bench, Live, Make, STAGE};

/// A process of the other account that goes on for as long as the test.
fn worker(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn end(mut worker: Child) {
    assert!(signal(worker.id(), Signal::Kill));
    worker.wait().unwrap();
}

#[test]
fn a_release_that_another_accounts_process_names_stays() {
    let bench = Make::files().bench();
    let ids: Vec<String> = (0..3).map(|n| bench.release(&App::site(&format!("v{n}")))).collect();
    let mut command = Account::b().command("sh");
    let name = bench.site().dir.join("releases").join(&ids[0]).join("server.js");
    command.args(["-c", "sleep 1000; exit 0", "sh"]).arg(name);
    let worker = worker(command);
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    let kept = bench.site().releases();
    end(worker);
    assert_eq!(kept, [ids[0].clone(), ids[2].clone()]);
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    assert_eq!(bench.site().releases(), ids[2..]);
}

#[test]
fn a_release_of_another_account_that_runs_something_stays() {
    let bench: Bench = Make::files().bench();
    let second = second(&bench);
    second.run(&["deploy", STAGE]).expect(0);
    let theirs = bench.site().current().unwrap();
    // It stands there, and nothing else tells: only its owner and root can see that.
    let mut command = Account::b().command("sleep");
    command.arg("1000").current_dir(bench.site().dir.join("releases").join(&theirs));
    let worker = worker(command);
    let ids: Vec<String> = (0..2).map(|n| bench.release(&App::site(&format!("v{n}")))).collect();
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    let kept = bench.site().releases();
    end(worker);
    assert_eq!(kept, [theirs, ids[1].clone()], "its own old one goes, the other's stays");
    second.run(&["cleanup", STAGE, "--keep", "1"]).expect(0);
    bench.site().assert_invariant(&Live::Old(ids[1].clone()));
    assert_eq!(bench.site().releases(), ids[1..]);
}
