//! One run at a time on each app's home, also between accounts; who waits, waits; a lock whose owner can't be judged
//! is left to a human.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::support::account::Account;
use super::support::process::eventually;
use super::support::proxy::Proxy;
use super::support::shipit::{Output, Running, Shipit};
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
    lock_of(&bench.site().dir)
}

fn lock_of(dir: &Path) -> String {
    let dir = dir.join(".shipit");
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
    eventually("the second has connected", Duration::from_secs(30), || {
        let log = bench.host().sshd.log();
        if log.contains("Accepted publickey for shipit-b") { Ok(()) } else { Err(waiting.so_far()) }
    });
    std::thread::sleep(Duration::from_millis(500));
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
            None => std::thread::sleep(Duration::from_millis(20)),
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

/// Two clients that name the same two machines in opposite order, each with the far link to its second: each gets the lock
/// that the other lacks. Whoever hears that first lets go and comes again; one follows the other, on both machines alike.
#[test]
fn two_clients_in_opposite_order_wait_for_each_other() {
    let mut bench = Make::files().hosts(2).proxied().bench();
    bench.config.set("rollout.silence", "15s");
    let first = bench.release(&App::site("v0"));
    let far: Vec<Proxy> = bench.hosts.iter().map(|host| Proxy::start(host.sshd.port)).collect();
    let known: String = bench
        .hosts
        .iter()
        .zip(&far)
        .map(|(host, far)| host.sshd.known_host(far.port) + &host.sshd.known_host(host.ssh_port()))
        .collect();
    fs::write(bench.area.path().join("known_hosts"), known).unwrap();
    let clients = [(0, 1), (1, 0)].map(|(near, other)| {
        let project = bench.area.dir(&format!("client-{near}"));
        let mut addresses = [bench.hosts[near].address(), bench.hosts[other].address()];
        let through = format!("shipit-a@127.0.0.1:{}", far[other].port);
        addresses[1].insert("address".into(), through.into());
        let mut config = bench.config.clone();
        config.set("stages.production.hosts", addresses.map(toml::Value::from).to_vec());
        config.write(&project.join("deploy.toml"));
        App::site(&format!("of client {near}")).write(&project.join("dist"));
        bench.shipit.within(&project)
    });
    far.iter().for_each(|far| far.delay(Duration::from_millis(600)));
    let runs = clients.each_ref().map(|client| client.spawn_json(&["deploy", STAGE, "--wait", "4m"]));
    eventually("each has the lock that is near", Duration::from_secs(60), || {
        let free = bench.hosts.iter().find(|host| lock_of(&host.site.dir) == "free");
        free.map_or(Ok(()), |host| Err(format!("{} is free\n{}\n{}", host.name, runs[0].so_far(), runs[1].so_far())))
    });
    far.iter().for_each(|far| far.delay(Duration::ZERO));
    let ended = runs.map(|run| run.finish().expect(0));
    let waited = ended.iter().flat_map(Output::events).any(|event| event.text("text").starts_with("waiting: "));
    assert!(waited, "they never met: {}\n{}", ended[0], ended[1]);
    let mut releases = ended.map(|output| output.release());
    releases.sort();
    let [second, third] = releases;
    for host in &bench.hosts {
        host.site.assert_invariant(&Live::New(third.clone()));
        assert_eq!(host.site.record(&third)["previous"], *second, "one after the other");
        assert_eq!(host.site.record(&second)["previous"], *first);
    }
}
