//! The examples as projects of their own: their sources in another place, and a bench with their own config.

use std::fs;
use std::path::{Path, PathBuf};

use super::bench::{Bench, Make};

/// What tools make of an example.
const MADE: [&str; 4] = ["node_modules", ".next", ".astro", "dist"];

/// The folder of an example.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Copies an example's sources, without what tools made of them.
pub(crate) fn copy(name: &str, to: &Path) {
    let from = folder(name);
    for entry in walkdir::WalkDir::new(&from).into_iter().filter_entry(|e| !MADE.iter().any(|m| e.file_name() == *m)) {
        let entry = entry.expect("the examples are readable");
        let target = to.join(entry.path().strip_prefix(&from).expect("below it"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).expect("the project is writable");
        } else {
            fs::copy(entry.path(), &target).expect("the project is writable");
        }
    }
}

/// A bench with two workers whose config is that of the examples with this preset, but for the host, the path, the
/// port and the shorter waits.
pub(crate) fn bench(preset: &str) -> Bench {
    bench_of(Make::pm2(2), preset)
}

/// The same, of another make.
pub(crate) fn bench_of(make: Make, preset: &str) -> Bench {
    let mut bench = make.bench();
    for key in [
        "build.output",
        "service.pm2.script",
        "service.pm2.kill_timeout",
        "service.pm2.listen_timeout",
        "health.within",
    ] {
        bench.config.unset(key);
    }
    bench.config.set("build.preset", preset).set("health.path", "/api/health").set("health.expect.json.status", "ok");
    bench.config.set("rollout.silence", "15s");
    bench.hosts[0].health = "/api/health";
    bench
}

/// Deploys the project with this version in its package.json, and the config as it is now; the release.
#[track_caller]
pub(crate) fn deploy(bench: &Bench, version: &str) -> String {
    let file = bench.project.join("package.json");
    let mut package: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    package["version"] = version.into();
    fs::write(&file, package.to_string()).unwrap();
    bench.write_config();
    bench.run("deploy", &["--json"]).expect(0).release()
}
