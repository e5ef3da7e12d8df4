//! Whether the kernel hands connections over to the sockets that Caddy opens at a reload: asked in a network of the test's
//! own, where that is switched off at first as on every host.

use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, Shell};

super::in_every_shell! {
    a_kernel_that_hands_nothing_over_is_told
}

/// What `caddy.sh` has to say of a host on which `before` was done.
fn suits(shell: Shell, before: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proxy/caddy.sh");
    let code = format!(r#"set -u; exec 8>&1; WEIGHTS=''; {before}; . "$1"; proxy_suits && echo well"#);
    let mut command = Command::new("unshare");
    command.arg("-n").arg(shell.program());
    if shell == Shell::Busybox {
        command.arg("sh");
    }
    let output = command.args(["-c", &code, "sh"]).arg(script).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn a_kernel_that_hands_nothing_over_is_told(bench: &mut Bench) {
    let said = suits(bench.shell, ":");
    assert!(said.starts_with("warn a reload of Caddy may reset"), "{said}");
    assert!(said.ends_with(" in a file of /etc/sysctl.d\nwell\n"), "{said}");
    assert_eq!(suits(bench.shell, "echo 1 >/proc/sys/net/ipv4/tcp_migrate_req"), "well\n");
}
