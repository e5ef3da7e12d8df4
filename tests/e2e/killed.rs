//! The client is killed, at every event of a deploy, over a real sshd with a cluster behind it. The host alone puts
//! back what was live: at once the link, within a worker's time the service; and the next deploy just works.

use std::time::Duration;

use super::support::process::{Signal, eventually, signal};
use super::support::proxy::Way;
use super::support::shipit::Event;
use super::support::{App, Bench, Live, Make};

/// How long the link may take to go back once the client is gone.
const LINK: Duration = Duration::from_secs(2);

/// How long the service may take, from the bench's config: for the worker in flight and for each that goes back,
/// `kill_timeout` + `listen_timeout` + `within`, and PM2's own lock of 30 s.
const SERVICE: Duration = Duration::from_secs(3 * (2 + 4 + 4) + 30);

/// A cluster of two with a release live, and that release.
fn live() -> (Bench, String) {
    let bench = Make::pm2(2).bench();
    let id = bench.release(&App::server("v0"));
    (bench, id)
}

fn has(events: &[Event], kind: &str, step: &str) -> bool {
    events.iter().any(|event| event.is(kind, step))
}

/// The begin and the end of every step, in the order in which a deploy tells them.
fn moments(events: &[Event]) -> Vec<(String, String)> {
    let ours = events.iter().filter(|event| ["step_started", "step_finished"].contains(&event.kind()));
    ours.map(|event| (event.kind().to_owned(), event.text("step").to_owned())).collect()
}

/// Kills a deploy at each moment whose number leaves `rest` when it is divided by four.
fn killed_at_every_fourth_moment(rest: usize) {
    let (bench, first) = live();
    let host = bench.host();
    let whole = bench.deploy(&App::server("v1"), &[]).expect(0);
    let moments = moments(&whole.events());
    assert!(moments.len() >= 12, "{moments:?}");
    let mut old = whole.release();
    assert_ne!(first, old);

    for (n, (kind, step)) in moments.iter().enumerate().filter(|(n, _)| n % 4 == rest) {
        let run = bench.start(&App::server(&format!("k{n}")), &[]);
        run.wait_for(&format!("{kind} {step}"), |event| event.is(kind, step));
        let said = run.kill();
        let events = said.events();
        let release = events.iter().find(|event| event.kind() == "release").map(|e| e.text("release").to_owned());
        if has(&events, "step_finished", "commit") {
            old = release.expect("a committed release has a name");
            host.settles_to(&Live::New(old.clone()), 2, SERVICE);
        } else if has(&events, "step_finished", "verify") {
            // The commit may or may not have been on its way: both are fine, anything else is not.
            let settled = |live: &Live| host.site.check(live).is_ok();
            let both = [Live::Old(old.clone()), Live::New(release.expect("verified, so it has a name"))];
            eventually("one of both", SERVICE, || match both.iter().any(settled) {
                true => Ok(()),
                false => Err(format!("{:?}", both.iter().map(|live| host.site.check(live)).collect::<Vec<_>>())),
            });
            old = both.into_iter().find(settled).and_then(|live| live.id().map(str::to_owned)).unwrap();
            host.settles_to(&Live::Old(old.clone()), 2, SERVICE);
        } else {
            eventually(
                &format!("after {kind} {step}, current is the old one"),
                LINK.saturating_sub(said.ended.elapsed()),
                || {
                    let current = host.site.current();
                    if current.as_deref() == Some(&*old) {
                        Ok(())
                    } else {
                        Err(format!("{current:?}, not {old}\n{said}"))
                    }
                },
            );
            host.settles_to(&Live::Old(old.clone()), 2, SERVICE);
        }
        old = bench.release(&App::server(&format!("after-k{n}")));
        host.assert_live(&Live::New(old.clone()), 2);
    }
}

#[test]
fn killed_at_the_1st_5th_9th_moment() {
    killed_at_every_fourth_moment(0);
}

#[test]
fn killed_at_the_2nd_6th_10th_moment() {
    killed_at_every_fourth_moment(1);
}

#[test]
fn killed_at_the_3rd_7th_11th_moment() {
    killed_at_every_fourth_moment(2);
}

#[test]
fn killed_at_the_4th_8th_12th_moment() {
    killed_at_every_fourth_moment(3);
}

#[test]
fn killed_in_the_middle_of_an_upload() {
    let bench = Make::files().proxied().bench();
    let old = bench.release(&App::site("v1"));
    let proxy = bench.host().proxy();
    proxy.limit(2_000_000);
    let before = proxy.crossed(Way::Up);
    let run = bench.start(&App::site("v2").ballast(8_000_000), &[]);
    eventually("a good part is sent", Duration::from_secs(30), || match proxy.crossed(Way::Up) - before {
        sent @ 0..2_000_000 => Err(format!("{sent} bytes\n{}", run.so_far())),
        _ => Ok(()),
    });
    let said = run.kill();
    assert!(!has(&said.events(), "step_finished", "receive"), "{said}");
    // What was on its way arrives first: the proxy is slow.
    bench.site().settles_to(&Live::Old(old), Duration::from_secs(15));
    proxy.limit(0);
    let new = bench.release(&App::site("v2").ballast(8_000_000));
    bench.site().assert_invariant(&Live::New(new));
}

#[test]
fn killed_while_the_first_release_goes_live() {
    for step in ["activate", "verify"] {
        let bench = Make::pm2(2).bench();
        let host = bench.host();
        let run = bench.start(&App::server("v1"), &[]);
        run.wait_for(step, |event| event.is("step_started", step));
        let said = run.kill();
        eventually("there is no current", LINK.saturating_sub(said.ended.elapsed()), || match host.site.current() {
            None => Ok(()),
            some => Err(format!("{some:?}")),
        });
        host.settles_to(&Live::Nothing, 0, SERVICE);
        let id = bench.release(&App::server("v1"));
        host.assert_live(&Live::New(id), 2);
    }
}

#[test]
fn killed_in_a_rollback() {
    let (bench, _) = live();
    let old = bench.release(&App::server("v1"));
    for step in ["check", "activate", "verify"] {
        let run = bench.shipit.spawn_json(&["rollback", "production"]);
        run.wait_for(step, |event| event.is("step_started", step));
        run.kill();
        bench.host().settles_to(&Live::Old(old.clone()), 2, SERVICE);
        assert_eq!(bench.state(&old), "good", "it was not rolled back from after all");
    }
    bench.run("rollback", &[]).expect(0);
}

/// The process of the session that holds the lock, from the lock's own text.
pub(super) fn session(bench: &Bench) -> u32 {
    let dir = bench.site().dir.join(".shipit");
    let texts = std::fs::read_dir(dir).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_lock = path.file_name()?.to_str()?.starts_with("lock.");
        Some(std::fs::read_link(path).ok()?.to_str()?.to_owned()).filter(|_| is_lock)
    });
    let held: Vec<String> = texts.filter(|text| text != "free").collect();
    assert_eq!(held.len(), 1, "{held:?}");
    held[0].split(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_session_on_the_host_is_killed_and_the_client_mends_it() {
    let (bench, old) = live();
    for step in ["boot_test", "activate", "verify"] {
        let run = bench.start(&App::server("v1"), &[]);
        run.wait_for(step, |event| event.is("step_started", step));
        signal(session(&bench), Signal::Kill);
        let output = run.finish();
        // Where the session dies before the switch, the client may learn of it only when it asks for the switch.
        let early = step == "boot_test" && output.code == Some(1);
        assert!(early || output.code == Some(4), "killed in {step}\n{output}");
        bench.host().settles_to(&Live::Old(old.clone()), 2, SERVICE);
    }
}

#[test]
fn both_ends_are_killed_and_recover_mends_it() {
    let (bench, old) = live();
    let leave_it_half_done = || {
        let run = bench.start(&App::server("v1"), &[]);
        run.wait_for("verify", |event| event.is("step_started", "verify"));
        signal(session(&bench), Signal::Kill);
        let release = run.wait_for("its name", |event| event.kind() == "release").text("release").to_owned();
        run.kill();
        assert_eq!(bench.site().current().as_deref(), Some(&*release), "nobody is left who could put it back");
        release
    };
    let half = leave_it_half_done();
    bench.run("status", &[]).says(&[&half, "recover"]);
    bench.run("recover", &[]).expect(0);
    bench.host().settles_to(&Live::Old(old), 2, Duration::from_secs(5));
    assert_eq!(bench.state(&half), "unproven");

    leave_it_half_done();
    let new = bench.release(&App::server("v2"));
    bench.host().assert_live(&Live::New(new), 2);
}
