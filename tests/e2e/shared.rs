//! What outlives a release: folders are seeded once, files must be there, and both are the same in every release.

use std::fs;

use super::support::{App, Live, Make};

#[test]
fn shared_folders_are_seeded_once_and_outlive_releases() {
    let mut bench = Make::files().bench();
    bench.config.set("shared.dirs", vec!["uploads".to_owned(), "deep/data".to_owned()]);
    let app = |version: &str| App::site(version).file("uploads/seed.txt", format!("seed of {version}"));
    bench.release(&app("v1"));
    let site = bench.site();
    assert_eq!(site.read("uploads/seed.txt"), "seed of v1");
    fs::write(site.dir.join("current/uploads/from-a-visitor.txt"), "precious").unwrap();
    fs::write(site.dir.join("current/deep/data/db"), "rows").unwrap();

    let second = bench.release(&app("v2"));
    assert_eq!(site.read("uploads/from-a-visitor.txt"), "precious");
    assert_eq!(site.read("uploads/seed.txt"), "seed of v1", "seeded the first time only");
    assert_eq!(site.read("deep/data/db"), "rows");
    site.assert_invariant(&Live::New(second));
    assert!(site.dir.join("shared/uploads/from-a-visitor.txt").is_file());
}

#[test]
fn a_missing_shared_file_stops_a_deploy_before_the_switch() {
    let mut bench = Make::files().bench();
    let first = bench.release(&App::site("v1"));
    bench.config.set("shared.files", vec![".env".to_owned()]);
    bench.deploy(&App::site("v2"), &[]).expect(1).says(&[".env", "scp", "127.0.0.1"]);
    bench.site().assert_invariant(&Live::Old(first));

    bench.share(".env", "WORD=from the host");
    // A shipped one of the same name gives way.
    let second = bench.release(&App::site("v2").file(".env", "WORD=from the project"));
    assert_eq!(bench.site().read(".env"), "WORD=from the host");
    bench.site().assert_invariant(&Live::New(second));
}

#[test]
fn an_env_file_reaches_the_app_and_an_explicit_key_wins() {
    let mut bench = Make::pm2(1).bench();
    bench.config.set("shared.files", vec![".env".to_owned()]).set("service.pm2.env_file", ".env");
    bench.config.set("service.pm2.env.CHOSEN", "by deploy.toml");
    bench.share(".env", "FROM_FILE=\"two words\"\nCHOSEN=by the file\n");
    let id = bench.release(&App::server("v1"));
    let host = bench.host();
    host.assert_live(&Live::New(id), 1);
    let environ = fs::read(format!("/proc/{}/environ", host.workers()[0].pid)).unwrap();
    let environ = String::from_utf8_lossy(&environ).into_owned();
    // A cluster worker gets its variables from PM2 after its start, so its process shows only the daemon's.
    let listed = host.pm2.as_ref().unwrap().run(&["-s", "jlist"]).stdout;
    let all = environ + &String::from_utf8_lossy(&listed);
    assert!(all.contains("two words") && all.contains("by deploy.toml"), "{all}");
    assert!(!all.contains("by the file"), "{all}");
}
