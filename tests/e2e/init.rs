//! `shipit init` on real projects: what it writes deploys as it is, given host and path. And the README's quick start,
//! command by command, against a server that has nothing but sshd, node and PM2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::astro::node_for_the_build;
use super::next::write_workspace;
use super::support::account::Account;
use super::support::area::Area;
use super::support::pm2::Pm2;
use super::support::shipit::Shipit;
use super::support::site::Site;
use super::support::sshd::{Apart, Options, Sshd, keygen};
use super::support::{Bench, Live, Make, example};

/// A machine apart, so that the usual port is free there, and a project without a config. Key and host keys come by
/// variables, as in CI.
fn bench(make: Make) -> Bench {
    let mut bench = make.without("shellcheck").bench();
    let at = |name: &str| bench.area.path().join(name).to_string_lossy().into_owned();
    let shipit = bench.shipit.env("SHIPIT_IDENTITY_FILE", &at("id")).env("SHIPIT_KNOWN_HOSTS", &at("known_hosts"));
    bench.shipit = shipit.env("NEXT_TELEMETRY_DISABLED", "1");
    // A node from npm knows its own certificates only; a machine with more of them says so by this variable.
    if let Ok(file) = std::env::var("NODE_EXTRA_CA_CERTS") {
        bench.shipit = bench.shipit.env("NODE_EXTRA_CA_CERTS", &file);
    }
    bench
}

/// Runs `init` with host and path, then a deploy; the release.
#[track_caller]
fn init_and_deploy(bench: &Bench, more: &[&str]) -> String {
    let host = bench.host();
    let address = format!("{}@127.0.0.1:{}", host.account.name, host.ssh_port());
    let path = host.site.path.to_string_lossy().into_owned();
    let mut args = vec!["init", "--yes", "--app", super::support::APP, "--host", &address, "--path", &path];
    args.extend(more);
    bench.shipit.run(&args).expect(0).says(&["wrote: deploy.toml", "next: shipit deploy production"]);
    bench.shipit.run(&["deploy", "--json"]).expect(0).release()
}

#[test]
fn plain_html_goes_live_as_init_has_it() {
    let mut bench = bench(Make::files());
    let project = bench.project.join("my site");
    fs::create_dir_all(project.join("deep")).unwrap();
    fs::write(project.join("index.html"), "<p>hello").unwrap();
    fs::write(project.join("deep/a.txt"), "a").unwrap();
    bench.shipit = bench.shipit.within(&project);
    let id = init_and_deploy(&bench, &[]);
    bench.site().assert_invariant(&Live::New(id));
    assert_eq!(bench.site().read("index.html"), "<p>hello");
    assert!(!bench.site().dir.join("current/deploy.toml").exists(), "the config is not part of the site");
}

#[test]
fn a_next_workspace_goes_live_as_init_has_it() {
    let mut bench = bench(Make::pm2(2));
    bench.hosts[0].health = "/api/health";
    bench.hosts[0].port = 3000;
    bench.hosts[0].site.written = vec!["apps/web/.next/cache", "apps/web/.next/server"];
    let web = write_workspace(&bench.project);
    fs::remove_dir_all(web.join("app/api/health")).unwrap();
    let mut install = Command::new("pnpm");
    install.args(["install", "--no-frozen-lockfile", "--lockfile-only"]).current_dir(&bench.project).env("CI", "true");
    assert!(install.output().unwrap().status.success());
    let id = init_and_deploy(&bench, &["--health", "--ecosystem", "--github"]);
    bench.host().assert_live(&Live::New(id), 2);
    assert_eq!(bench.host().get("/api/health"), (200, r#"{"status":"ok"}"#.to_owned()));
    let config = fs::read_to_string(bench.project.join("deploy.toml")).unwrap();
    assert!(config.contains("root = \"apps/web\"") && config.contains("ecosystem.config.cjs"), "{config}");
    assert!(web.join("ecosystem.config.cjs").is_file() && web.join("app/api/health/route.js").is_file());
    let workflow = fs::read_to_string(bench.project.join(".github/workflows/deploy.yml")).unwrap();
    let workflow: serde_yaml_ng::Value = serde_yaml_ng::from_str(&workflow).unwrap();
    assert_eq!(workflow["concurrency"]["cancel-in-progress"], false);
    let steps = workflow["jobs"]["deploy"]["steps"].as_sequence().unwrap();
    assert!(steps.iter().any(|step| step["with"]["cache-dependency-path"] == "pnpm-lock.yaml"), "{steps:?}");
}

#[test]
fn a_node_app_goes_live_as_init_has_it() {
    let mut bench = bench(Make::pm2(1));
    bench.hosts[0].health = "/api/health";
    bench.hosts[0].port = 3000;
    example::copy("node", &bench.project);
    fs::remove_file(bench.project.join("deploy.toml")).unwrap();
    let id = init_and_deploy(&bench, &[]);
    bench.host().assert_live(&Live::New(id), 1);
    assert_eq!(bench.host().get("/style.css").0, 200);
}

#[test]
fn an_astro_project_goes_live_as_init_has_it_as_a_site_and_as_a_server() {
    let mut bench = bench(Make::pm2(2));
    example::copy("astro", &bench.project);
    let path = format!("{}:{}", node_for_the_build(), std::env::var("PATH").unwrap());
    bench.shipit = bench.shipit.env("PATH", &path).env("ASTRO_TELEMETRY_DISABLED", "1");
    let config = bench.project.join("astro.config.mjs");
    let server = fs::read_to_string(&config).unwrap();
    let own = || fs::remove_file(bench.project.join("deploy.toml")).unwrap();

    // Static, into a directory of this machine.
    own();
    fs::write(&config, "export default {};\n").unwrap();
    let health = bench.project.join("src/pages/api/health.js");
    let route = fs::read_to_string(&health).unwrap();
    fs::remove_file(&health).unwrap();
    bench.shipit.run(&["init", "--host", "local", "--path", "../site"]).expect(0).says(&["Astro, static"]);
    bench.shipit.run(&["deploy"]).expect(0);
    let site = Site::new(&bench.area.path().join("site"), &bench.area.path().join("site"));
    site.assert_invariant(&Live::New(site.current().unwrap()));
    assert!(site.read("index.html").contains("version 1.0.0<"));

    // The same pages by a server.
    own();
    fs::write(&config, server).unwrap();
    fs::write(&health, route).unwrap();
    bench.hosts[0].health = "/api/health";
    bench.hosts[0].port = 4321;
    let id = init_and_deploy(&bench, &[]);
    bench.host().assert_live(&Live::New(id), 2);
    assert_eq!(bench.host().get("/hello.txt").0, 200);
}

#[test]
fn init_says_each_case_in_a_sentence_and_overwrites_nothing() {
    let area = Area::new();
    let (project, home) = (area.dir("my project"), area.dir("home"));
    let shipit = Shipit::new(&project, &home);
    shipit.run(&["init"]).expect(2).says(&["nothing to deploy", "--root"]);
    fs::write(project.join("index.html"), "").unwrap();
    shipit.run(&["init"]).expect(2).says(&["to which server?", "shipit init --host"]);
    shipit.run(&["init", "--host", "deploy@web1", "--path", "srv"]).expect(2).says(&["--path: must be absolute"]);
    shipit.run(&["init", "--host", "a b@c:99999"]).expect(2).says(&["--host: "]);
    assert!(!project.join("deploy.toml").exists(), "a refused answer writes nothing");
    shipit.run(&["init", "--host", "deploy@web1", "--stage", "live"]).expect(0).says(&["next: shipit deploy live"]);
    let written = fs::read_to_string(project.join("deploy.toml")).unwrap();
    let workflow = project.join(".github/workflows/deploy.yml");
    fs::create_dir_all(workflow.parent().unwrap()).unwrap();
    fs::write(&workflow, "mine").unwrap();
    let again = shipit.run(&["init", "--host", "other", "--github"]).expect(0);
    again.says(&["left as it is: deploy.toml", "left as it is: .github/workflows/deploy.yml"]);
    assert_eq!(fs::read_to_string(project.join("deploy.toml")).unwrap(), written);
    assert_eq!(fs::read_to_string(&workflow).unwrap(), "mine");
}

#[test]
fn init_asks_on_a_terminal() {
    let area = Area::new();
    let (project, home) = (area.dir("project"), area.dir("home"));
    fs::write(project.join("index.html"), "").unwrap();
    let answers = area.path().join("answers");
    // The name as proposed, an address that is none, a good one, another path.
    fs::write(&answers, "\nno:good:1\ndeploy@web1\n/var/www/site\n").unwrap();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{} init", env!("CARGO_BIN_EXE_shipit")), "/dev/null"]);
    command.env_remove("CI").env("HOME", &home).current_dir(&project).stdin(fs::File::open(&answers).unwrap());
    let output = command.output().expect("util-linux has script");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("[project]") && said.contains("`no:good:1`"), "{said}");
    let written = fs::read_to_string(project.join("deploy.toml")).unwrap();
    for line in ["app = \"project\"", "hosts = [\"deploy@web1\"]", "path = \"/var/www/site\""] {
        assert!(written.contains(line), "{line} is not in {written}");
    }
}

/// The commands of the README's quick start: the first block of its section that has `shipit init`.
fn quick_start() -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split("\n## Quick start\n").nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let blocks = section.split("\n\n").map(|block| block.trim_matches('\n'));
    let block = blocks.into_iter().find(|block| block.starts_with("    ") && block.contains("shipit init")).unwrap();
    block.lines().map(|line| line.trim().to_owned()).collect()
}

/// `/etc/passwd` with this line before all others.
fn passwd(area: &Area, name: &str, line: &str) -> PathBuf {
    let file = area.path().join(name);
    fs::write(&file, format!("{line}\n{}", fs::read_to_string("/etc/passwd").unwrap())).unwrap();
    file
}

#[test]
fn the_quick_start_of_the_readme_ends_in_a_live_release() {
    let commands = quick_start();
    assert!(commands.len() <= 6, "{commands:#?}");
    let area = Area::new();
    let identity = area.path().join("id");
    keygen(&identity);

    // The server: sshd, node and PM2, an account called deploy, an empty /srv.
    let a = Account::named("shipit-a");
    let deploy = Account { name: "deploy", ..a.clone() };
    let root = Account { name: "root", uid: 0, gid: 0, home: "/root".into() };
    let line = format!("deploy:*:{}:{}::{}:/bin/bash", a.uid, a.gid, a.home.display());
    let pm2 = Pm2::new(&area.path().join("pm2"), &a);
    let srv = area.dir("srv");
    let mounts = vec![(passwd(&area, "passwd-there", &line), "/etc/passwd".into()), (srv.clone(), "/srv".into())];
    let options =
        Options { env: vec![pm2.env()], apart: Some(Apart { mounts, without: Vec::new() }), ..Options::default() };
    let sshd = Sshd::start(&area.path().join("sshd"), &identity, &[&deploy, &root], &options);

    // Here: the user's own ssh config says where the server is. ssh takes its home from the list of accounts.
    let home = area.dir("home");
    fs::create_dir(home.join(".ssh")).unwrap();
    fs::write(area.path().join("known_hosts"), sshd.known_host(sshd.port)).unwrap();
    let config = format!(
        "Host server.example.com\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n",
        sshd.port,
        identity.display(),
        area.path().join("known_hosts").display()
    );
    fs::write(home.join(".ssh/config"), config).unwrap();
    let here = passwd(&area, "passwd-here", &format!("root:*:0:0::{}:/bin/bash", home.display()));

    // The project: a Next.js app as the README asks for it, without a config and without a health route.
    let work = area.dir("work");
    let blog = work.join("blog");
    example::copy("next-pm2", &blog);
    fs::remove_file(blog.join("deploy.toml")).unwrap();
    fs::remove_dir_all(blog.join("app/api/health")).unwrap();
    let package = fs::read_to_string(blog.join("package.json")).unwrap().replace("next-pm2", "blog");
    fs::write(blog.join("package.json"), package).unwrap();

    // As they stand, but for the installation of what is tested here.
    let (install, commands) = commands.split_first().unwrap();
    assert!(install.starts_with("cargo install --path "), "{install}");
    let script = format!("set -ex\n{}\n", commands.join("\n"));
    fs::write(area.path().join("quick-start.sh"), script).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_shipit")).parent().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
    command.arg("mount --bind \"$1\" /etc/passwd && exec sh \"$2\"").arg("here").arg(&here);
    command.arg(area.path().join("quick-start.sh")).current_dir(&work).stdin(Stdio::null());
    command.env("PATH", format!("{}:{}", binary.display(), std::env::var("PATH").unwrap()));
    command.env("HOME", &home).env("NEXT_TELEMETRY_DISABLED", "1").env_remove("CI");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", sshd.log());

    let site = Site::new(Path::new("/srv/blog"), &srv.join("blog"));
    let id = site.current().unwrap();
    let workers = pm2.workers("blog");
    assert_eq!(workers.len(), 2, "{said}");
    assert!(workers.iter().all(|worker| worker.release.as_deref() == Some(&*id)), "{workers:?}");
    assert_eq!(sshd.get(3000, "/api/health"), (200, r#"{"status":"ok"}"#.to_owned()));

    // What the README shows is what was written.
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let shown = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(shown, fs::read_to_string(blog.join("deploy.toml")).unwrap());
}
