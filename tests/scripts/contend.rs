//! The lock alone, where a whole deploy would hide how rarely two really meet: many processes take and free it as quickly
//! as they can, some are killed wherever they happen to be. The judge is the kernel: who has the lock takes an `flock`.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::bench::{Bench, quiet, tell};
use crate::support::process::{Signal, eventually, signal};

super::in_every_shell! {
    many_take_it_and_some_die
}

/// How many at once.
const MANY: usize = 8;

/// How many times it is to be taken, by all of them.
const TAKES: usize = 60;

/// How long nobody may get it: much longer than a busy machine takes for one.
const STUCK: Duration = Duration::from_secs(60);

/// Takes and frees, until it is ended.
const CONTENDER: &str = r#"
set -u
BASE=$1 TOKEN=$2 WHO=me@here T=.shipit/t.$2
. "$3/lib.sh"
. "$3/lock.sh"
cd "$BASE" || exit 1
exec 3>/dev/null
while :; do
  lock_take || continue
  exec 9>>held
  if /usr/bin/flock -n 9; then echo "$TOKEN" >>taken; else echo "$TOKEN" >>two; fi
  lock_mine || echo "$TOKEN lost it" >>two
  exec 9>&-
  lock_free
done
"#;

fn contender(bench: &Bench, number: usize) -> Child {
    let remote = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remote");
    let mut command = quiet("sh");
    command.arg("-c").arg(CONTENDER).arg("sh").arg(&bench.site.dir).arg(format!("{number:016x}")).arg(remote);
    command.env("PATH", bench.path()).process_group(0).spawn().unwrap()
}

fn many_take_it_and_some_die(bench: &mut Bench) {
    let home = bench.site.dir.clone();
    fs::create_dir_all(home.join(".shipit")).unwrap();
    let began = Instant::now();
    let mut started = MANY;
    let mut running: Vec<Child> = (0..MANY).map(|n| contender(bench, n)).collect();
    let taken = || fs::read_to_string(home.join("taken")).unwrap_or_default().lines().count();
    let (mut seen, mut last) = (0, Instant::now());
    while seen < TAKES {
        std::thread::sleep(Duration::from_millis(20));
        let now = taken();
        if now == seen {
            assert!(last.elapsed() < STUCK, "taken {seen} times only: what is left is stale");
            continue;
        }
        (seen, last) = (now, Instant::now());
        if seen % 3 != 0 {
            continue;
        }
        // One after the other, wherever it is just now; its number comes from what happened.
        let next = (seen * 7 + started) % MANY;
        let mut dead = std::mem::replace(&mut running[next], contender(bench, started));
        started += 1;
        assert!(signal(dead.id(), Signal::Kill));
        dead.wait().unwrap();
    }
    for child in &mut running {
        assert!(signal(child.id(), Signal::Kill));
        child.wait().unwrap();
    }
    let two = fs::read_to_string(home.join("two")).unwrap_or_default();
    assert_eq!(two, "", "two at once");
    // Whoever comes next gets it, whatever the dead left.
    let mut next = contender(bench, started);
    let before = taken();
    eventually("it is taken again", STUCK, || if taken() > before { Ok(()) } else { Err("stale".into()) });
    assert!(signal(next.id(), Signal::Kill));
    next.wait().unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let killed = started - MANY;
    tell(&format!(
        "{:?}: taken {before} times by {MANY} at once, {killed} of them killed, {seconds:.1} s",
        bench.shell
    ));
}
