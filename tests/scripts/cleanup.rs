//! Old releases go, and only those: whatever stops a cleanup half-way, the next one finishes it; what still runs from a
//! release keeps it.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use crate::bench::{Bench, quiet};
use crate::support::apps::App;
use crate::support::process::{Signal, alive, eventually, signal};
use crate::support::site::Live;

super::in_every_shell! {
    a_cleanup_that_is_killed_at_any_change_is_finished_by_the_next
    what_still_runs_from_an_old_release_keeps_it
}

/// Every change that a cleanup makes: the tool, a pattern for its words, whether its work is done before all dies.
const CHANGES: [(&str, &str, bool); 8] = [
    ("mv", "-f */record.* .shipit/records/*", false),
    ("mv", "-f */record.* .shipit/records/*", true),
    ("mv", "releases/* .shipit/trash/*", false),
    ("mv", "releases/* .shipit/trash/*", true),
    ("rm", "-f .shipit/manifests/*", false),
    ("rm", "-f .shipit/manifests/*", true),
    ("rm", "-rf .shipit/trash/*", false),
    ("rm", "-rf .shipit/trash/*", true),
];

/// All of a run dies at once: client, session and this job. Where the number in `DIR/at` is this change's.
const DIES: &str = r#"
dies() {
  [ -e 'DIR/at' ] || return 0
  read -r at <'DIR/at'
  [ "$at" = "$1" ] && /bin/mv 'DIR/at' 'DIR/died' || return 0
  session=$(/bin/ls -v 'HOME/.shipit' | /usr/bin/awk '/^lock\./ { last = $0 } END { print last }')
  session=$(/usr/bin/readlink "HOME/.shipit/$session") session=${session%%:*}
  client=$(/usr/bin/cut -d' ' -f4 "/proc/$session/stat")
  kill -STOP "$client"
  kill -KILL "$session"
  kill -KILL "$client"
  kill -KILL 0
}
"#;

fn furnish(bench: &Bench) {
    let dir = bench.area.dir("dies");
    let dies = DIES.replace("DIR", &dir.display().to_string()).replace("HOME", &bench.site.dir.display().to_string());
    for tool in ["mv", "rm"] {
        let line = |wanted: bool| -> String {
            let own = CHANGES.iter().enumerate().filter(|(_, change)| change.0 == tool && change.2 == wanted);
            own.map(|(n, (_, words, _))| format!("case $* in {}) dies {n} ;; esac\n", words.replace(' ', "\\ ")))
                .collect()
        };
        bench.shadow(tool, &format!("{dies}{}REAL \"$@\"\ncode=$?\n{}exit $code", line(false), line(true)));
    }
}

fn a_cleanup_that_is_killed_at_any_change_is_finished_by_the_next(bench: &mut Bench) {
    furnish(bench);
    let dies = bench.area.path().join("dies");
    for (number, change) in CHANGES.iter().enumerate() {
        let ids: Vec<String> = (0..3).map(|n| bench.release(&App::site(&format!("{number}.{n}")))).collect();
        fs::write(dies.join("at"), format!("{number}\n")).unwrap();
        let output = bench.run("cleanup", &["--keep", "1"]);
        assert_eq!(output.code, None, "{:?}\n{output}", change);
        fs::remove_file(dies.join("died")).unwrap();
        // What is there is whole.
        assert_eq!(bench.site.current().as_ref(), ids.last());
        bench.site.releases().iter().for_each(|id| crate::support::tree::verify(&bench.site.dir, id, &[]).unwrap());
        bench.run("cleanup", &["--keep", "1"]).expect(0);
        assert_eq!(bench.site.releases(), ids[2..], "{:?}", change);
        bench.site.assert_invariant(&Live::Old(ids[2].clone()));
        assert!(ids[..2].iter().all(|id| bench.state(id) == "removed"));
        let left = |dir: &str| fs::read_dir(bench.site.dir.join(".shipit").join(dir)).map_or(0, Iterator::count);
        eventually("nothing is left of them", Duration::from_secs(5), || match (left("trash"), left("manifests")) {
            (0, 1) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        bench.assert_nothing_runs();
    }
}

/// A process that stands in `dir` or was started from there.
fn worker(program: &Path, dir: &Path) -> Child {
    let child = quiet(program.to_str().unwrap()).arg("1000").current_dir(dir).spawn().unwrap();
    eventually("it runs", Duration::from_secs(5), || if alive(child.id()) { Ok(()) } else { Err("no".into()) });
    child
}

fn what_still_runs_from_an_old_release_keeps_it(bench: &mut Bench) {
    let sleep = fs::read("/bin/sleep").unwrap();
    let app = |n: usize| App::site(&format!("v{n}")).program("bin/worker", sleep.clone());
    let ids: Vec<String> = (0..4).map(|n| bench.release(&app(n))).collect();
    let at = |n: usize| bench.site.dir.join("releases").join(&ids[n]);
    let workers =
        [worker(Path::new("/bin/sleep"), &at(0).join("deep/er")), worker(&at(1).join("bin/worker"), Path::new("/"))];
    let id = bench.release(&app(4));
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    assert_eq!(bench.site.releases(), [ids[0].clone(), ids[1].clone(), id.clone()]);
    bench.site.assert_invariant(&Live::Old(id.clone()));
    for mut worker in workers {
        assert!(signal(worker.id(), Signal::Kill));
        worker.wait().unwrap();
    }
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    assert_eq!(bench.site.releases(), [id]);
}
