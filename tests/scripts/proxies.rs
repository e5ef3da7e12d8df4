//! What a host is asked of its proxy before anything is begun: whether the kernel hands connections over to the sockets
//! that Caddy opens at a reload, whether sudo would run the reload line, and whether the proxy's config, made of our
//! template, leads to the colours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, Shell};

super::in_every_shell! {
    a_kernel_that_hands_nothing_over_is_told
    a_reload_that_sudo_does_not_run_is_refused
    the_templates_lead_to_what_is_written_for_them
}

/// What the proxy's scripts say in a network of the test's own, where the kernel hands nothing over as on every host.
fn said(bench: &Bench, scripts: &[&str], code: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let parts: String = scripts.iter().map(|name| format!(". '{}'; ", source.join(name).display())).collect();
    let mut command = Command::new("unshare");
    command.arg("-n").arg(bench.shell.program());
    if bench.shell == Shell::Busybox {
        command.arg("sh");
    }
    let path = format!("{}:{}", bench.area.path().join("sudo").display(), std::env::var("PATH").unwrap());
    let output = command.arg("-c").arg(format!("{parts}set -u; exec 8>&1; {code}")).env("PATH", path).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn a_kernel_that_hands_nothing_over_is_told(bench: &mut Bench) {
    let suits =
        |before: &str| said(bench, &["proxy/caddy.sh"], &format!("WEIGHTS=''; {before}; proxy_suits && echo well"));
    let told = suits(":");
    assert!(told.starts_with("warn a reload of Caddy may reset"), "{told}");
    assert!(told.ends_with(" in a file of /etc/sysctl.d\nwell\n"), "{told}");
    assert_eq!(suits("echo 1 >/proc/sys/net/ipv4/tcp_migrate_req"), "well\n");
}

fn a_reload_that_sudo_does_not_run_is_refused(bench: &mut Bench) {
    // Stands for the host's sudo, whose rules are root's: it lists, as sudo does, what it would run, and runs nothing.
    let sudo = bench.area.dir("sudo").join("sudo");
    fs::write(&sudo, "#!/bin/sh\n[ \"$*\" = '-n -l nginx -s reload' ] && echo /usr/sbin/nginx -s reload\n").unwrap();
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
    let well = |reload: &str| {
        let proxy = ["remote/lib.sh", "proxy/nginx.sh", "proxy/colours.sh"];
        let code = format!("UPSTREAM=it PROXY_TEST=: PROXY_RELOAD='{reload}'; proxy_well && echo well || :");
        said(bench, &proxy, &code)
    };
    assert_eq!(well("sudo -n nginx -s reload"), "well\n");
    assert_eq!(well("sudo nginx -s reload"), "well\n");
    // Nothing that could be asked of sudo by its words.
    assert_eq!(well("sudo nginx -s reload; true"), "well\n");
    let refused = well("sudo -n systemctl reload nginx");
    assert!(
        refused.starts_with("refuse the proxy could not be reloaded: `sudo -n systemctl reload nginx` is"),
        "{refused}"
    );
    assert!(refused.contains(" ALL=(root) NOPASSWD: "), "{refused}");
}

fn the_templates_lead_to_what_is_written_for_them(bench: &mut Bench) {
    let home = bench.area.dir("home");
    let written = home.join(".shipit/proxy");
    fs::create_dir_all(&written).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = |name: &str| {
        let text = fs::read_to_string(root.join("templates").join(name)).unwrap();
        text.replace("/srv/blog", home.to_str().unwrap())
    };
    // What stands around a file of sites-enabled; the rest of nginx writes nowhere but here.
    let dir = home.display();
    let nginx = format!(
        "pid {dir}/pid; error_log {dir}/log; events {{}} http {{ access_log off; {} }}",
        template("nginx.conf")
    );
    fs::write(home.join("nginx.conf"), nginx).unwrap();
    fs::write(home.join("Caddyfile"), template("Caddyfile")).unwrap();
    let lines = [
        ("proxy/nginx.sh", format!("/usr/sbin/nginx -c {dir}/nginx.conf -T")),
        ("proxy/caddy.sh", format!("HOME={dir} caddy adapt --validate --adapter caddyfile --config {dir}/Caddyfile")),
    ];
    for (proxy, line) in lines {
        let well = |render: &str| {
            let code = format!(
                "cd {dir} && UPSTREAM=blog BLUE_PORT=3001 GREEN_PORT=3002 WEIGHTS='' PROXY_TEST='{line}' PROXY_RELOAD=: && \
                 {render}; proxy_well; echo \"code $? $UNLED\""
            );
            let said = said(bench, &["remote/lib.sh", proxy, "proxy/colours.sh"], &code);
            said.lines().filter(|line| !line.starts_with("warn ")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(well("proxy_render 100 0 >$(proxy_file)"), "code 0 ", "{proxy}");
        // Nothing was written there yet: the proxy's own words say which file is missing.
        let early = well("rm $(proxy_file)");
        assert!(
            early.starts_with("refuse the proxy would not take its config") && early.contains("upstream."),
            "{early}"
        );
    }
}
