//! The example whose database is migrated by a program that ships with it: forward with a release, and back with one
//! that fails.

use std::fs;
use std::path::PathBuf;

use super::support::area::Area;
use super::support::process::{Signal, alive, cwd, signal};
use super::support::shipit::Shipit;
use super::support::site::Site;
use super::support::{Live, example, ports};

/// The server of the example, by its pid file; ended with the test.
struct Server(PathBuf);

impl Server {
    fn pid(&self) -> Option<u32> {
        fs::read_to_string(&self.0).ok()?.trim().parse().ok().filter(|pid| alive(*pid))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            signal(pid, Signal::Kill);
        }
    }
}

#[test]
fn the_migrate_example_goes_forward_and_a_failed_release_takes_its_migration_with_it() {
    let area = Area::new();
    let (project, home) = (area.dir("project"), area.dir("home"));
    let folder = project.join("examples/migrate");
    example::copy("migrate", &folder);
    let (file, program) = (folder.join("deploy.toml"), folder.join("app/migrate.mjs"));
    let config = fs::read_to_string(&file).unwrap();
    assert!(config.contains("3117"), "the example's port");
    fs::write(&file, config.replace("3117", &ports::free().to_string())).unwrap();
    let base = project.join(".shipit-local/migrate");
    let (site, shipit) = (Site::new(&base, &base), Shipit::new(&project, &home));
    let server = Server(base.join("shared/data/pid"));
    let schema = || fs::read_to_string(base.join("shared/data/schema.json")).unwrap();
    let deploy = ["deploy", "local", "-c", "examples/migrate/deploy.toml"];

    shipit.run(&deploy).expect(0);
    let first = site.current().unwrap();
    assert_eq!(schema(), format!(r#"{{"001-visits":"{first}"}}"#));
    assert!(cwd(server.pid().unwrap()).unwrap().ends_with(&first));

    // A further migration, and a server that ends at once.
    let text = fs::read_to_string(&program).unwrap();
    fs::write(&program, text.replace(r#"["001-visits"]"#, r#"["001-visits", "002-names"]"#)).unwrap();
    let run = folder.join("app/server.mjs");
    let good = fs::read_to_string(&run).unwrap();
    fs::write(&run, "throw new Error('no names');\n").unwrap();
    shipit.run(&deploy).expect(4).says(&["no names", "`node migrate.mjs up` on local, undone"]);
    assert_eq!(schema(), format!(r#"{{"001-visits":"{first}"}}"#), "only its own migration went");
    site.assert_invariant(&Live::Old(first.clone()));
    assert!(cwd(server.pid().unwrap()).unwrap().ends_with(&first));

    fs::write(&run, good).unwrap();
    shipit.run(&deploy).expect(0);
    let third = site.current().unwrap();
    assert_eq!(schema(), format!(r#"{{"001-visits":"{first}","002-names":"{third}"}}"#));
}
