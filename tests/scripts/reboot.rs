//! The machine was started again since: whoever had the lock is gone, and the numbers that it noted are strangers'.

use std::fs;
use std::path::Path;

use crate::bench::{Bench, quiet};
use crate::support::apps::App;
use crate::support::process::{Signal, alive, signal};
use crate::support::site::Live;

super::in_every_shell! {
    after_a_reboot_the_lock_is_free_and_no_stranger_is_ended
}

/// A process whose group has lost its leader: its own number and the group's.
fn stranger(bench: &Bench) -> (u32, u32) {
    let note = bench.area.path().join("stranger");
    let script = r#"sleep 1000 & echo "$! $$" >"$1""#;
    assert!(quiet("setsid").args(["--wait", "sh", "-c", script, "sh"]).arg(&note).status().unwrap().success());
    let text = fs::read_to_string(&note).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// What runs the rest in a place of its own where the machine has another boot id.
fn rebooted(bench: &Bench) -> Vec<String> {
    let id = bench.area.path().join("boot_id");
    fs::write(&id, "01234567-89ab-cdef-0123-456789abcdef\n").unwrap();
    let script = "/usr/bin/mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
    ["/usr/bin/unshare", "-m", "/bin/sh", "-c", script, id.to_str().unwrap()].map(str::to_owned).into()
}

fn after_a_reboot_the_lock_is_free_and_no_stranger_is_ended(bench: &mut Bench) {
    let old = bench.release(&App::site("v1"));
    let by = rebooted(bench);
    let by: Vec<&str> = by.iter().map(String::as_str).collect();
    for verb in ["recover", "deploy"] {
        let (run, _) = bench.held(&App::site("v2"));
        let lock = bench.lock();
        let token = lock.text.split(':').nth(5).unwrap().to_owned();
        bench.kill_both(run);
        bench.soaks_no_more();
        // A number that the run had noted is somebody else's since.
        let (pid, group) = stranger(bench);
        let groups = bench.site.dir.join(".shipit").join(format!("t.{token}/groups"));
        fs::write(groups.join(format!("{group}.4711")), "").unwrap();
        bench.write(&App::site("v3"));
        let output = bench.run_by(&by, verb, if verb == "deploy" { &["--json"] } else { &[] });
        let lives = alive(pid);
        signal(pid, Signal::Kill);
        let output = output.expect(0);
        assert!(lives, "{verb}: a stranger was ended\n{output}");
        let live = if verb == "deploy" { Live::New(output.release()) } else { Live::Old(old.clone()) };
        bench.site.assert_invariant(&live);
        assert!(!groups.exists());
    }
    assert!(Path::new("/proc/sys/kernel/random/boot_id").exists());
}
