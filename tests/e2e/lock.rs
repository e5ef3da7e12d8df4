//! One run at a time on each app's home, also between accounts; who waits, waits; a lock whose owner can't be judged
//! is left to a human.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::support::account::Account;
use super::support::process::eventually;
use super::support::shipit::{Running, Shipit};
use super::support::{App, Bench, Live, Make, STAGE};

/// A project that deploys to the bench's path as `shipit-b`.
pub(super) fn second(bench: &Bench) -> Shipit {
    let host = bench.host();
    host.site.share_with_group(Account::common_group());
    let project = bench.area.dir("second");
    let mut config = bench.config.clone();
    let mut address = host.address();
    address.insert("address".into(), format!("shipit-b@127.0.0.1:{}", host.ssh_port()).into());
    config.set("stages.production.hosts", vec![address]);
    config.write(&project.join("deploy.toml"));
    App::site("of the second").write(&project.join("dist"));
    bench.shipit.within(&project)
}

/// A deploy that holds the lock until the returned file is made, which its build waits for.
fn holding(bench: &mut Bench) -> (Running, PathBuf) {
    let go = bench.area.path().join("go");
    let command = format!("while [ ! -e '{}' ]; do sleep 0.1; done", go.display());
    bench.config.set("build.command", command);
    let run = bench.start(&App::site("of the first"), &[]);
    run.wait_for("the lock", |event| event.is("step_finished", "connect"));
    (run, go)
}

/// The text of the lock as it is now.
fn lock_text(bench: &Bench) -> String {
    let dir = bench.site().dir.join(".shipit");
    let locks = fs::read_dir(&dir).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().ok()?;
        Some((name.strip_prefix("lock.")?.parse::<u64>().ok()?, fs::read_link(dir.join(&name)).ok()?))
    });
    locks.max().unwrap().1.into_os_string().into_string().unwrap()
}

#[test]
fn of_two_accounts_one_wins_and_the_other_hears_who() {
    let mut bench = Make::files().bench();
    let second = second(&bench);
    let (first, go) = holding(&mut bench);
    let who = lock_text(&bench).rsplit(':').next().unwrap().to_owned();
    assert!(who.contains('@'), "{who}");
    let output = second.run(&["deploy", STAGE]).expect(3).says(&[&who, "since", "--wait"]);
    // A time of day or an age: when it was taken, not only by whom.
    let line = output.stderr.lines().chain(output.stdout.lines()).find(|line| line.contains("since")).unwrap();
    let since = line.split("since").nth(1).unwrap();
    assert!(since.chars().any(|c| c.is_ascii_digit()) || since.contains("now"), "{line}");
    second.run(&["status", STAGE]).expect(0).says(&[&who]);
    second.run(&["deploy", STAGE, "--wait", "2s"]).expect(3);
    assert_eq!(bench.site().current(), None);

    fs::write(&go, "").unwrap();
    let id = first.finish().expect(0).release();
    bench.site().assert_invariant(&Live::New(id));
}

#[test]
fn who_waits_is_next() {
    let mut bench = Make::files().bench();
    let second = second(&bench);
    let (first, go) = holding(&mut bench);
    let waiting = second.spawn_json(&["deploy", STAGE, "--wait", "2m"]);
    // It has met the lock once its own connection stands; the first is then released.
    eventually("the second has connected", std::time::Duration::from_secs(30), || {
        let log = bench.host().sshd.log();
        if log.contains("Accepted publickey for shipit-b") { Ok(()) } else { Err(waiting.so_far()) }
    });
    std::thread::sleep(std::time::Duration::from_millis(500));
    fs::write(&go, "").unwrap();
    let first = first.finish().expect(0).release();
    let last = waiting.finish().expect(0).release();
    assert!(last > first);
    bench.site().assert_invariant(&Live::New(last.clone()));
    assert!(bench.site().read("index.html").contains("of the second"));
    assert_eq!(bench.site().record(&last)["previous"], *first, "its view of what is live is not older than its lock");
}

#[test]
fn of_many_at_once_exactly_one_wins() {
    let mut bench = Make::files().bench();
    let go = bench.area.path().join("go");
    bench.config.set("build.command", format!("while [ ! -e '{}' ]; do sleep 0.1; done", go.display()));
    bench.write(&App::site("v1"));
    let mut runs: Vec<Running> = (0..5).map(|_| bench.shipit.spawn_json(&["deploy", STAGE])).collect();
    let mut refused = 0;
    // All but the holder end by themselves; the holder waits for the file.
    while refused < 4 {
        let n = (0..runs.len()).find(|n| runs[*n].is_over());
        match n {
            Some(n) => {
                runs.remove(n).finish().expect(3);
                refused += 1;
            }
            None => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
    fs::write(&go, "").unwrap();
    let id = runs.pop().unwrap().finish().expect(0).release();
    bench.site().assert_invariant(&Live::New(id));
}

#[test]
fn a_lock_that_can_not_be_judged_is_left_to_unlock() {
    let mut bench = Make::files().bench();
    let (first, go) = holding(&mut bench);
    let text = lock_text(&bench);
    fs::write(&go, "").unwrap();
    let id = first.finish().expect(0).release();
    bench.config.unset("build.command");

    // The same owner, but in another pid namespace, where nobody here may look.
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let own: String = own.to_str().unwrap().chars().filter(char::is_ascii_digit).collect();
    let text = text.replace(&format!(":{own}:"), ":4026530000:");
    assert!(text.contains(":4026530000:"), "{text}");
    let lock = bench.site().dir.join(".shipit/lock.1000");
    std::os::unix::fs::symlink(&text, &lock).unwrap();
    let (uid, gid) = (bench.host().account.uid, bench.host().account.gid);
    std::os::unix::fs::lchown(&lock, Some(uid), Some(gid)).unwrap();

    bench.deploy(&App::site("v2"), &[]).expect(3);
    bench.run("deploy", &[]).expect(3).says(&["shipit unlock"]);
    assert_eq!(bench.site().current(), Some(id));
    bench.run("unlock", &[]).expect(0);
    let id = bench.release(&App::site("v2"));
    bench.site().assert_invariant(&Live::New(id));
}

#[test]
fn a_dead_owners_lock_is_taken_over() {
    let mut bench = Make::files().bench();
    let (first, _) = holding(&mut bench);
    // The whole process group, which the lock names: nothing is left that could free it.
    let group: u32 = lock_text(&bench).split(':').nth(2).unwrap().parse().unwrap();
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -KILL \"-$1\"", "kill", &group.to_string()]).process_group(0);
    assert!(kill.status().unwrap().success());
    first.kill();
    bench.config.unset("build.command");
    let id = bench.release(&App::site("v2"));
    bench.site().assert_invariant(&Live::New(id));
}
