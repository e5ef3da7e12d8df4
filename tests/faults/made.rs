//! Homes that real runs have made: what cases begin with.

use std::fs;
use std::process::{Command, Stdio};

use crate::bench::Bench;
use crate::ground::{Ground, Made};
use crate::matrix::{Case, Fault, Service, Verb, Way, places};
use crate::support::process::Signal;

/// A home that real runs have made.
pub(crate) fn make(ground: &Ground, number: usize, service: Service, way: Way, verb: Verb) -> Made {
    let find = |of: Service, step: &str, name: &str| {
        places(of, Verb::Deploy).into_iter().find(|place| (place.step, place.name) == (step, name)).unwrap()
    };
    let place = match (verb, service) {
        (Verb::Finish, _) => find(Service::None, "commit", "record"),
        // All requests go to the new colour.
        (_, Service::Colours) => find(service, "verify", "soak"),
        _ => find(service, "verify", "look"),
    };
    let case = Case { service, way, verb: Verb::Deploy, place, fault: Fault::Killed };
    let mut bench = Bench::new(ground, number, &case);
    let mut made = Made { dir: bench.dir.clone(), live: None, left: None, port: bench.port, colours: Vec::new() };
    made.colours.extend(bench.front.iter().flat_map(|front| front.colours));
    if verb == Verb::First {
        return made;
    }
    bench.config.set("release.keep", 5);
    let url = ground.looks.url("always");
    bench.config.set("health.url", url);
    let releases = if verb == Verb::Rollback { 3 } else { 2 };
    let unfinished = matches!(verb, Verb::TakeBack | Verb::Finish);
    for n in 0..releases {
        // A record is written by each of them: the place is only for the one that is left.
        let once = bench.dir.join("spot/once");
        fs::create_dir_all(&once).unwrap();
        made.live = Some(bench.deploy(&format!("v{n}")));
        fs::remove_dir(&once).unwrap();
        bench.lead();
    }
    if unfinished {
        bench.config.set("health.url", ground.looks.url(bench.dir.file_name().unwrap().to_str().unwrap()));
        bench.write("left");
        let mut run = bench.start("deploy");
        let reached = bench.spot.wait(|| run.is_over()).unwrap_or_else(|| panic!("not reached\n{}", run.so_far()));
        made.left = Some(run.wait_for("its name", |event| event.kind() == "release").text("release").to_owned());
        let session = bench.session().expect("it holds the lock");
        run.signal(Signal::Stop);
        kill_group(session);
        if reached.group != 0 {
            kill_group(reached.group);
        }
        run.kill();
    }
    bench.spot.release();
    bench.quiet();
    if let (Service::Colours, Some(pm2)) = (service, &bench.pm2) {
        // What a case begins with is all that runs here.
        assert!(pm2.run(&["save"]).status.success());
    }
    made
}

/// Ends a whole process group.
fn kill_group(group: u32) {
    let line = "kill -s KILL -- \"-$1\"";
    let _ = Command::new("sh").args(["-c", line, "kill", &group.to_string()]).stderr(Stdio::null()).status();
}
