//! Deploys that are held: refused with who, since when and why, while the way out goes on.

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::site::Live;

super::in_every_shell! {
    a_held_home_refuses_deploys_and_nothing_else
    a_rollback_pins_what_it_made_live
}

fn a_held_home_refuses_deploys_and_nothing_else(bench: &mut Bench) {
    bench.write(&App::site("v1"));
    bench.run("hold", &["--why", "too early"]).expect(1).says(&["nothing to hold"]);
    let first = bench.release(&App::site("v1"));
    let second = bench.release(&App::site("v2"));
    let why = "it's $(touch pwned) until five";
    bench.run("hold", &["--why", why]).expect(0).says(&["deploys are held"]);
    let before = bench.site.listing();
    let output = bench.deploy(&App::site("v3"), &["--wait", "1s"]).expect(3);
    let output = output.says(&["tester@", "since 20", "UTC", why, "hold production --lift", "not touched"]);
    assert!(!output.events().iter().any(|event| event.is("step_started", "preflight")), "{output}");
    bench.run("deploy", &["--dry-run"]).expect(0).says(&[why]);
    bench.run("status", &[]).expect(0).says(&[why, "--lift"]);
    let seen = bench.run("status", &["--json"]).expect(0).json();
    assert_eq!(seen["hosts"][0]["hold"]["why"], why);
    let now = bench.site.listing();
    assert_eq!(now.keys().filter(|path| !path.to_string_lossy().contains("lock.")).collect::<Vec<_>>(), {
        before.keys().filter(|path| !path.to_string_lossy().contains("lock.")).collect::<Vec<_>>()
    });

    bench.run("rollback", &[]).expect(0);
    bench.site.assert_invariant(&Live::New(first.clone()));
    bench.run("recover", &[]).expect(0);
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    assert_eq!(bench.state(&second), "withdrawn");
    bench.deploy(&App::site("v3"), &[]).expect(3);

    bench.run("hold", &["--why", "another"]).expect(0).says(&["takes the place of", why]);
    bench.run("hold", &["--lift"]).expect(0).says(&["allowed again", "another"]);
    bench.run("hold", &["--lift"]).expect(0).says(&["were not held"]);
    bench.release(&App::site("v3"));
}

fn a_rollback_pins_what_it_made_live(bench: &mut Bench) {
    let good = bench.release(&App::site("v1"));
    let bad = bench.release(&App::site("v2"));
    bench.run("rollback", &["--hold"]).expect(0);
    bench.site.assert_invariant(&Live::New(good.clone()));
    // The next push of a CI job.
    bench.deploy(&App::site("v2 again"), &[]).expect(3).says(&[&format!("rolled back from {bad} to {good}")]);
    bench.site.assert_invariant(&Live::Old(good.clone()));

    // A rollback that is not committed pins nothing; one whose session died right after the commit does.
    bench.run("hold", &["--lift"]).expect(0);
    let third = bench.release(&App::site("v3"));
    bench.soaks();
    bench.write(&App::site("v3"));
    for committed in [false, true] {
        let run = bench.start("rollback", &["--hold", &good]);
        bench.soaks_in(&run);
        bench.kill_both(run);
        let state = bench.site.dir.join(".shipit");
        if committed {
            std::fs::rename(state.join("pending"), state.join("committed")).unwrap();
        }
        bench.run("recover", &[]).expect(0);
        assert_eq!(state.join("hold").exists(), committed);
        bench.site.assert_invariant(&if committed { Live::New(good.clone()) } else { Live::Old(third.clone()) });
    }
}
