//! Astro on real parts: one project, built as a static site and as a server, with a real `astro build` each time. The
//! build has a node of its own (Astro 7 needs 22); what it made runs on the host's.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::site::Site;
use super::support::{Bench, Live, example};

/// The program that `npx` keeps of this version, as the folder to put on a PATH.
pub(super) fn node_for_the_build() -> String {
    let output = Command::new("npx").args(["--yes", "--package=node@22.23.3", "-c", "command -v node"]).output();
    let output = output.expect("tests/run asks for npm");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    said.strip_suffix("/node").expect("the name of a program").to_owned()
}

/// Page, prerendered page, the stylesheet that both name, and the public file.
#[track_caller]
fn assert_serves(bench: &Bench, release: &str, version: &str) {
    let host = bench.host();
    host.assert_live(&Live::New(release.to_owned()), 2);
    let (status, page) = host.get("/");
    assert!(status == 200 && page.contains(&format!("version {version}<")), "{status}: {page}");
    let (status, about) = host.get("/about/");
    assert!(status == 200 && about.contains(&format!("version {version}<")), "{status}: {about}");
    for page in [&page, &about] {
        let style = page.split('"').find(|part| part.starts_with("/_astro/") && part.ends_with(".css"));
        let style = style.unwrap_or_else(|| panic!("no stylesheet in {page}"));
        assert_eq!(host.get(style).0, 200, "{style}");
    }
    assert_eq!(host.get("/hello.txt"), (200, "a public file\n".into()));
}

/// The same project as a static site, into a directory of this machine.
fn static_site(bench: &mut Bench) {
    let project = bench.project.clone();
    let config = |stage: &str| {
        format!(
            "app = \"site\"\n[build]\npreset = \"astro\"\ncommand = \"{stage}\"\n[stages.production]\nhosts = [\"local\"]\npath = \"../site\"\n"
        )
    };
    let build = "npm run build -- --config static.config.mjs --outDir dist_temp";
    fs::write(project.join("static.config.mjs"), "export default {};\n").unwrap();
    fs::write(project.join("site.toml"), config(build).replace("\"astro\"", "\"astro\"\noutput = \"dist_temp\""))
        .unwrap();
    let deploy = ["deploy", "production", "-c", "site.toml"];
    bench.shipit.run(&deploy).expect(0);
    let site = Site::new(&project.join("../site"), &project.join("../site"));
    let first = site.current().unwrap();
    site.assert_invariant(&Live::New(first.clone()));
    assert!(
        site.read("index.html").contains("version 1.0.0<")
            && site.read("about/index.html").contains("made by the build")
    );
    assert_eq!(site.read("hello.txt"), "a public file\n");

    // What a build that failed left is not shipped, though its command says that all is well.
    let page = project.join("src/pages/zz.astro");
    fs::write(&page, "---\nthrow new Error('no page');\n---\n").unwrap();
    let pretended = config(&format!("{build} || true")).replace("\"astro\"", "\"astro\"\noutput = \"dist_temp\"");
    fs::write(project.join("site.toml"), pretended).unwrap();
    bench.shipit.run(&deploy).expect(1).says(&["not a whole Astro build", ".prerender"]);
    site.assert_invariant(&Live::Old(first));
    fs::remove_file(page).unwrap();
}

#[test]
fn an_astro_project_goes_live_as_a_site_and_as_a_server() {
    let mut bench = example::bench("astro");
    example::copy("astro", &bench.project);
    let path = format!("{}:{}", node_for_the_build(), std::env::var("PATH").unwrap());
    bench.shipit = bench.shipit.env("PATH", &path).env("ASTRO_TELEMETRY_DISABLED", "1");
    let install = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .env("PATH", &path)
        .current_dir(&bench.project)
        .output()
        .unwrap();
    assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
    static_site(&mut bench);

    bench.config.set("build.command", "npm run build");
    let first = example::deploy(&bench, "1.0.1");
    assert_serves(&bench, &first, "1.0.1");
    assert!(!bench.site().dir.join("current/node_modules").exists(), "the build holds all that it needs");
    assert_eq!(bench.site().record(&first)["service"]["script"], "dist/server/entry.mjs");

    // Another folder here is no other script there, so that PM2 can reload.
    bench.config.set("build.command", "npm run build -- --outDir dist_temp").set("build.output", "dist_temp");
    let second = example::deploy(&bench, "1.0.2");
    assert_serves(&bench, &second, "1.0.2");
    assert!(Path::new(&bench.project).join("node_modules/astro").is_dir());
}
