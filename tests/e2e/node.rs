//! A plain Node app on real parts: the example with its installed package, deployed twice to a PM2 cluster, and what
//! is refused before anything is sent because the host would miss it.

use std::fs;

use super::support::{Bench, Live, example};

#[track_caller]
fn assert_serves(bench: &Bench, release: &str, version: &str) {
    let host = bench.host();
    host.assert_live(&Live::New(release.to_owned()), 2);
    assert!(host.get("/").1.contains(&format!("version {version}<")));
    assert_eq!(host.get("/style.css").0, 200);
}

#[test]
fn the_node_example_goes_live_is_replaced_and_refused_without_its_package() {
    let mut bench = example::bench("node");
    example::copy("node", &bench.project);
    bench.config.set("build.command", "npm ci --omit=dev --no-audit --no-fund");
    bench.config.set("shared.dirs", vec!["data".to_owned()]);
    let first = example::deploy(&bench, "1.0.1");
    assert_serves(&bench, &first, "1.0.1");
    assert_eq!(bench.site().record(&first)["service"]["script"], "server.mjs");

    bench.config.unset("build.command");
    let second = example::deploy(&bench, "1.0.2");
    assert_serves(&bench, &second, "1.0.2");

    fs::remove_dir_all(bench.project.join("node_modules")).unwrap();
    let before = bench.site().production();
    bench.run("deploy", &[]).expect(1).says(&[
        "`mustache` in server.mjs:4",
        "no package is installed: add `npm ci --omit=dev` to build.command",
        "production was not touched",
    ]);
    assert_eq!(bench.site().production(), before);
    bench.host().assert_live(&Live::Old(second), 2);
}
