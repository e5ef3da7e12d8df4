//! What a release's record is for: the live one is judged as it was deployed, whatever deploy.toml says today; an
//! earlier one runs as it ran; and what doesn't suit the host's machine or node is refused before it is sent.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::support::{App, Bad, Bench, Live, Make};

const DARWIN: &[u8] = b"\xcf\xfa\xed\xfe\x0c\0\0\x01 an addon of another system";

/// `app` with its health under another path.
fn renamed(app: App) -> App {
    let server = app.files()[Path::new("server.js")].clone();
    let text = String::from_utf8(server).unwrap();
    assert!(text.contains("\"/health\""));
    app.file("server.js", text.replace("\"/health\"", "\"/healthz\""))
}

/// Changes the record of a release on the host.
fn edit(bench: &Bench, id: &str, from: &str, to: &str) {
    let file = bench.site().dir.join(format!(".shipit/records/{id}.json"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_renamed_health_path_is_the_new_releases_alone() {
    let mut bench = Make::pm2(2).bench();
    let old = bench.release(&App::server("v0"));
    bench.config.set("health.path", "/healthz");
    let bad = renamed(App::bad("v1", Bad::Unhealthy));
    let output = bench.deploy(&bad, &["--no-boot-test"]).expect(4);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("again") && !said.contains("not healthy before"), "{output}");
    bench.host().assert_live(&Live::Old(old.clone()), 2);

    bench.release(&renamed(App::server("v2")));
    // Back to the old one, by its own path, while deploy.toml still names the new one.
    bench.run("rollback", &[]).expect(0);
    bench.host().assert_live(&Live::Old(old), 2);
}

#[test]
fn a_rollback_takes_no_notice_of_what_deploy_toml_says_today() {
    let mut bench = Make::pm2(2).bench();
    let old = bench.release(&App::server("v0"));
    let live = bench.release(&App::server("v1"));
    bench.config.set("service.pm2.args", vec!["other".to_owned()]).set("service.pm2.script", "elsewhere.js");
    bench.write_config();
    bench.deploy(&App::server("v2").file("elsewhere.js", ""), &[]).expect(1).says(&["boot test"]);
    bench.host().assert_live(&Live::Old(live), 2);
    bench.run("rollback", &[]).expect(0);
    bench.host().assert_live(&Live::Old(old), 2);
}

#[test]
fn plan_and_run_agree_on_a_release_without_a_record() {
    let bench = Make::files().bench();
    let first = bench.release(&App::site("v1"));
    let live = bench.release(&App::site("v2"));
    std::fs::remove_file(bench.site().dir.join(format!(".shipit/records/{first}.json"))).unwrap();
    let words = [&*format!("{first} has no record"), "deploy its commit again"];
    bench.run("rollback", &[&first, "-n"]).expect(1).says(&words);
    bench.run("rollback", &[&first]).expect(1).says(&words);
    bench.site().assert_invariant(&Live::Old(live));
}

#[test]
fn a_file_for_another_system_is_refused_before_it_is_sent() {
    let bench = Make::files().bench();
    let live = bench.release(&App::site("v1"));
    let addon = "node_modules/@img/sharp-darwin-arm64/lib/sharp.node";
    let app = App::site("v2").file(addon, DARWIN);
    bench.deploy(&app, &[]).expect(1);
    bench.run("deploy", &[]).expect(1).says(&[addon, "was built for macOS", "--allow mismatch", "--os=linux --cpu="]);
    assert_eq!(bench.site().releases(), [&*live], "nothing was sent");
    bench.site().assert_invariant(&Live::Old(live));

    // Beside one that fits, it is what npm leaves everywhere.
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let machine = if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-x64" };
    bench.release(&app.clone().file(addon.replace("darwin-arm64", machine), own));

    let output = bench.deploy(&app, &["--allow", "mismatch"]).expect(0);
    assert!(output.stdout.contains("allowed: "), "{output}");
}

#[test]
fn a_node_that_is_asked_for_is_compared_with_the_hosts() {
    let bench = Make::pm2(1).bench();
    let asking = |range: &str| App::server("v1").file("package.json", format!(r#"{{"engines":{{"node":"{range}"}}}}"#));
    let id = bench.release(&asking(">=14"));
    let node = bench.site().record(&id)["node"].as_str().unwrap().to_owned();
    assert!(node.starts_with('v'), "{node}");
    bench.deploy(&asking(">=99"), &[]).expect(1);
    bench.run("deploy", &[]).expect(1).says(&["`package.json` asks for node >=99", &format!("the host has {node}")]);
    bench.host().assert_live(&Live::Old(id), 1);
}

#[test]
fn a_rollback_looks_at_the_node_that_a_release_ran_on() {
    let bench = Make::pm2(1).bench();
    let first = bench.release(&App::server("v1"));
    let live = bench.release(&App::server("v2"));
    let node = bench.site().record(&first)["node"].as_str().unwrap().to_owned();
    edit(&bench, &first, &format!(r#""node":"{node}""#), r#""node":"v1.0.0","bound":"lib/bound.node""#);
    let words = ["ran on node v1.0.0", "`lib/bound.node` runs only on the major version", "--allow mismatch"];
    bench.run("rollback", &[]).expect(1).says(&words);
    bench.host().assert_live(&Live::Old(live.clone()), 1);
    bench.run("rollback", &["--allow", "mismatch"]).expect(0).says(&["allowed: "]);
    bench.host().assert_live(&Live::New(first.clone()), 1);

    bench.run("rollback", &[&live]).expect(0);
    edit(&bench, &first, r#","bound":"lib/bound.node""#, "");
    bench.run("rollback", &[&first]).expect(0).says(&["ran on node v1.0.0"]);
    bench.host().assert_live(&Live::New(first), 1);
}

#[test]
fn a_pm2_that_can_not_be_understood_refuses_the_run() {
    let tools = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let (pm2, broken) = (tools.path().join("pm2"), tools.path().join("broken"));
    let real = path.split(':').map(|dir| Path::new(dir).join("pm2")).find(|file| file.exists()).unwrap();
    let script =
        format!("#!/bin/sh\n[ ! -e {} ] || exec echo '[ no json'\nexec {} \"$@\"\n", broken.display(), real.display());
    std::fs::write(&pm2, script).unwrap();
    for file in [tools.path(), &pm2] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let bench = Make::pm2(1).env(&format!("PATH={}:{path}", tools.path().display())).bench();
    let live = bench.release(&App::server("v1"));
    std::fs::write(&broken, "").unwrap();
    let output = bench.deploy(&App::server("v2"), &[]).expect(1);
    std::fs::remove_file(&broken).unwrap();
    output.says(&["what runs on this host now can't be read: pm2 jlist gave no list", "pm2 ls"]);
    bench.host().assert_live(&Live::Old(live.clone()), 1);
    assert_eq!(bench.site().releases(), [live], "nothing was sent");
}
