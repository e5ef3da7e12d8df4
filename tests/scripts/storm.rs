//! Ten deploys that are started together, round after round; in every other round one of them is killed at a chosen place
//! of its run: its client, its session on the host, or both. Never two at once, and never a lock that outlives its owner.
//!
//! The judge stands beside shipit: every run's first hook enters a room that takes one, and its last leaves it.
//! `SHIPIT_STORM=N` plays N rounds in every shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Shell, tell};
use crate::support::apps::App;
use crate::support::process::{alive, eventually};
use crate::support::shipit::{Output, Running};
use crate::support::site::Live;

super::in_every_shell! {
    ten_at_once_again_and_again
}

/// How many are started together.
const TEN: usize = 10;

/// Places in a run where somebody is killed: the tool, a pattern for its words, whether its work is done before that.
const PLACES: [(&str, &str, &str, bool); 8] = [
    ("taken", "ln", "-s *:* .shipit/lock.*", true),
    ("hook", "", "", false),
    ("journal", "ln", "* .shipit/pending", true),
    ("switch", "mv", "*/next/current .", true),
    ("commit", "mv", "-f .shipit/pending .shipit/committed", true),
    ("record", "mv", "*/record.* .shipit/records/*", false),
    ("free", "ln", "-s free *", false),
    ("freed", "ln", "-s free *", true),
];

const WHO: [&str; 3] = ["client", "session", "both"];

/// The room: one at a time, and only who left it, or is dead, makes place.
const ROOM: &str = r#"#!/bin/sh
# Needs the home as its first word, `enter` or `leave` as its second.
home=$1 room='DIR'
PATH=/usr/bin:/bin
loud() { echo "$*: $SHIPIT_RELEASE" >>"$room/loud"; }
owner() { pid=$(ls -v "$home"/.shipit/ | grep '^lock\.' | tail -n 1 | xargs -I% readlink "$home/.shipit/%"); pid=${pid%%:*}; }
runs() { [ -e "/proc/$1/stat" ] && ! grep -q '^State:.Z' "/proc/$1/status"; }
exec 9>>"$room/door"
flock -n 9 || loud "two in the door"
case $2 in
  enter)
    owner
    if [ -e "$room/who" ]; then
      read -r before <"$room/who"
      n=0
      while [ -e "$room/who" ] && runs "$before" && [ "$n" -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
      if [ ! -e "$room/who" ]; then loud "let in beside one that went on"
      elif [ "$n" = 100 ]; then loud "let in beside one that lives"; fi
    fi
    echo "$pid" >"$room/who"
    echo "$pid" >>"$room/entered"
    'DIR/kill' "$home" hook ;;
  leave)
    owner
    read -r before <"$room/who"
    # A session that was killed behind its commit is finished by another one of the same client.
    [ "$before" = "$pid" ] || ! runs "$before" || loud "somebody else was let in"
    rm -f "$room/who" ;;
esac
:
"#;

/// Kills whom `DIR/plan` (a line `PLACE WHOM`) names, once, where the place is this one.
const KILL: &str = r#"#!/bin/sh
home=$1 room='DIR'
PATH=/usr/bin:/bin
[ -e "$room/plan" ] || exit 0
read -r place whom <"$room/plan"
[ "$place" = "$2" ] && mv "$room/plan" "$room/done" 2>/dev/null || exit 0
# Who has the lock, and who started that one.
pid=$(ls -v "$home"/.shipit/ | grep '^lock\.' | tail -n 1 | xargs -I% readlink "$home/.shipit/%")
[ "$pid" = free ] && pid=$(cut -d' ' -f6 /proc/$$/stat) || pid=${pid%%:*}
client=$(cut -d' ' -f4 "/proc/$pid/stat")
case $(cat "/proc/$client/cmdline") in *shipit*) ;; *) echo "no client at $2" >>"$room/loud"; exit ;; esac
case $whom in
  client) kill -KILL "$client" ;;
  session) kill -KILL "$pid" ;;
  # The client first: it would mend what the death of its session leaves.
  both) kill -STOP "$client"; kill -KILL "$pid"; kill -KILL "$client" ;;
esac
:
"#;

/// Puts the room, and a script before the tools at whose work somebody may be killed.
fn furnish(bench: &mut Bench) -> PathBuf {
    let room = bench.area.dir("room");
    let home = bench.site.dir.display().to_string();
    for (name, text) in [("room", ROOM), ("kill", KILL)] {
        let file = room.join(name);
        fs::write(&file, text.replace("DIR", &room.display().to_string())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let kill = room.join("kill").display().to_string();
    for tool in ["ln", "mv"] {
        let (mut before, mut behind) = (String::new(), String::new());
        for (name, _, words, is_behind) in PLACES.iter().filter(|place| place.1 == tool) {
            let text = if *is_behind { &mut behind } else { &mut before };
            *text += &format!("case $* in {}) '{kill}' '{home}' {name} ;; esac\n", words.replace(' ', "\\ "));
        }
        bench.shadow(tool, &format!("{before}REAL \"$@\"\ncode=$?\n{behind}exit $code"));
    }
    let line = |word: &str| format!("'{}' '{home}' {word}", room.join("room").display());
    bench.config.set("hooks.before_switch", vec![line("enter")]).set("hooks.after_switch", vec![line("leave")]);
    room
}

/// Waits until nobody has the lock, by the kernel's word: it is free, or its owner is gone.
fn comes_free(bench: &Bench) -> Duration {
    eventually("nobody has the lock", Duration::from_secs(20), || {
        let lock = bench.lock();
        if lock.text == "free" || !alive(lock.pid) { Ok(()) } else { Err(lock.text) }
    })
}

/// What the history tells of releases that went live: each has the one before it as its predecessor.
fn assert_one_after_the_other(bench: &Bench) -> usize {
    let lines = bench.history();
    let good: Vec<_> = lines.iter().filter(|line| line["state"] == "good").collect();
    for pair in good.windows(2) {
        assert_eq!(pair[1]["previous"], pair[0]["release"], "{pair:?}");
    }
    good.len()
}

fn ten_at_once_again_and_again(bench: &mut Bench) {
    let began = Instant::now();
    let own = if bench.shell == Shell::Dash { 18 } else { 16 };
    let rounds: usize = std::env::var("SHIPIT_STORM").map_or(own, |n| n.parse().expect("a number of rounds"));
    let room = furnish(bench);
    bench.release(&App::site("v0"));
    let (mut runs, mut won, mut killed) = (0, 0, 0);
    for round in 0..rounds {
        // Every shell begins somewhere else, so that few rounds come to all pairs.
        let number = round / 2 + bench.shell as usize * 8;
        let plan = (round % 2 == 1).then(|| (PLACES[number % PLACES.len()].0, WHO[number / PLACES.len() % WHO.len()]));
        if let Some((place, whom)) = plan {
            fs::write(room.join("plan"), format!("{place} {whom}\n")).unwrap();
            killed += 1;
        }
        let all: Vec<Running> = (0..TEN).map(|_| bench.start("deploy", &[])).collect();
        let all: Vec<Output> = all.into_iter().map(Running::finish).collect();
        let allowed: &[Option<i32>] = match plan {
            None => &[Some(0), Some(3)],
            Some((_, "session")) => &[Some(0), Some(3), Some(1), Some(4)],
            Some(_) => &[Some(0), Some(3), None],
        };
        for output in &all {
            assert!(allowed.contains(&output.code), "round {round}, {plan:?}\n{output}");
        }
        assert!(plan.is_some() || all.iter().any(|output| output.code == Some(0)), "round {round}: one always wins");
        assert!(!room.join("plan").exists(), "round {round}: {plan:?} never came");
        runs += TEN + 1;
        won += all.iter().filter(|output| output.code == Some(0)).count();
        comes_free(bench);
        let loud = fs::read_to_string(room.join("loud")).unwrap_or_default();
        assert_eq!(loud, "", "round {round}, {plan:?}");
        let output = bench.deploy(&App::site(&format!("v{round}")), &[]);
        assert_eq!(output.code, Some(0), "what round {round} left, {plan:?}, is in the way\n{output}");
        let id = output.release();
        bench.site.assert_invariant(&Live::New(id));
        assert_one_after_the_other(bench);
    }
    bench.assert_nothing_runs();
    let entered = fs::read_to_string(room.join("entered")).unwrap().lines().count();
    assert!(entered > won, "the room was used");
    let told = assert_one_after_the_other(bench);
    let seconds = began.elapsed().as_secs_f64();
    let line = format!(
        "{:?}: {rounds} rounds of {TEN} at once, {runs} deploys, {won} of the {TEN} won, {killed} rounds with a kill, {told} live, {seconds:.1} s",
        bench.shell
    );
    tell(&line);
}
