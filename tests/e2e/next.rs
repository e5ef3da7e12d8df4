//! The main job, on real parts: a Next.js app is built, shipped over a real sshd and run by a PM2 cluster; the page,
//! every script and stylesheet that it names and the public file answer, from the workers of the new release.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::support::browser::Browser;
use super::support::process::eventually;
use super::support::proxy::Way;
use super::support::{Bench, Live, Make, example};

/// A bench whose config is the example's own, but for the host, the path and the port.
fn bench(make: Make) -> Bench {
    let mut bench = example::bench_of(make, "next");
    bench.config.set("build.env.NEXT_TELEMETRY_DISABLED", "1");
    bench.hosts[0].site.written = vec![".next/cache", ".next/server", "apps/web/.next/cache", "apps/web/.next/server"];
    bench
}

/// Builds and deploys `version`; the release.
#[track_caller]
fn deploy(bench: &mut Bench, version: &str, command: &str) -> String {
    bench.config.set("build.env.APP_VERSION", version).set("build.command", command);
    bench.write_config();
    let output = bench.shipit.run(&["deploy", "production", "--json"]).expect(0);
    output.release()
}

/// The page and all that it names answer, and each worker is the new release's.
#[track_caller]
fn assert_serves(bench: &Bench, release: &str, version: &str) {
    let host = bench.host();
    host.assert_live(&Live::New(release.to_owned()), 2);
    let (status, page) = host.get("/");
    assert_eq!(status, 200);
    assert!(page.contains(&format!(">{version}<")), "{page}");
    let assets: BTreeSet<&str> = page.split('"').filter(|part| part.starts_with("/_next/static/")).collect();
    for ending in [".js", ".css"] {
        let named: Vec<_> = assets.iter().filter(|asset| asset.split('?').next().unwrap().ends_with(ending)).collect();
        assert!(!named.is_empty(), "no {ending} in {page}");
        for asset in named {
            assert_eq!(host.get(asset).0, 200, "{asset}");
        }
    }
    let public = example::folder("next-pm2").join("public/hello.txt");
    assert_eq!(host.get("/hello.txt"), (200, fs::read_to_string(public).unwrap()));

    let mut silent: BTreeSet<u64> = host.workers().iter().map(|worker| u64::from(worker.pid)).collect();
    assert_eq!(silent.len(), 2);
    eventually("both workers answer", Duration::from_secs(20), || {
        let (_, body) = host.get("/api/health");
        let health: serde_json::Value = serde_json::from_str(&body).map_err(|e| e.to_string())?;
        if health["version"] != version {
            return Err(body);
        }
        silent.remove(&health["pid"].as_u64().unwrap_or(0));
        if silent.is_empty() { Ok(()) } else { Err(format!("not heard: {silent:?}")) }
    });
}

#[test]
fn the_next_example_goes_live_is_replaced_and_comes_back() {
    let mut bench = bench(Make::pm2(2).proxied());
    example::copy("next-pm2", &bench.project);
    write_late(&bench.project, "first");
    let first = deploy(&mut bench, "first", "npm ci --no-audit --no-fund && npm run build");
    assert_serves(&bench, &first, "first");
    let of_first = assets(&bench, &first);
    let mut browser = Browser::start(&bench.area.dir("browser"));
    let home = format!("http://127.0.0.1:{}/", bench.host().port);
    browser.open("before", &home);
    browser.press("before", "#counter", "pressed 0 times");
    // A component of the browser's: its chunk gets another name.
    let counter = bench.project.join("app/counter.js");
    fs::write(&counter, fs::read_to_string(&counter).unwrap().replace("pressed", "pushed")).unwrap();
    write_late(&bench.project, "second");
    bench.config.set("assets.keep", 1).set("build.env.NEXT_DEPLOYMENT_ID", "second-1");
    let second = deploy(&mut bench, "second", "npm run build");
    assert_serves(&bench, &second, "second");
    assert_eq!(bench.site().record(&second)["deployment"], "second-1");
    let of_second: BTreeSet<String> = assets(&bench, &second).difference(&of_first).cloned().collect();
    assert_answer(&bench, 200, &of_first);
    assert_open_pages_work(&mut browser, &home, &served(&bench.project.join(".next/static")));
    drop(browser);
    bench.run("rollback", &[]).expect(0);
    assert_serves(&bench, &first, "first");
    assert_answer(&bench, 200, &of_second);
    bench.run("rollback", &[&second]).expect(0);
    bench.config.unset("build.env.NEXT_DEPLOYMENT_ID");
    let third = one_line_costs_little(&mut bench, &second);
    assert_answer(&bench, 200, &of_second);
    // Two releases ago, and in no build since.
    let built = served(&bench.project.join(".next/static"));
    let gone: BTreeSet<String> = of_first.difference(&built).cloned().collect();
    assert!(gone.iter().any(|asset| asset.contains("/chunks/")), "a chunk has changed: {gone:?}");
    assert_answer(&bench, 404, &gone);

    // A build that fails ships nothing, least of all what the last one left.
    bench.config.set("build.command", "rm -rf .next/static && exit 3");
    bench.write_config();
    bench.run("deploy", &[]).expect(1);
    bench.host().assert_live(&Live::Old(third), 2);
}

/// A button whose words are loaded when it is pressed, and a page that is loaded when its link is.
fn write_late(root: &Path, version: &str) {
    let app = root.join("app");
    fs::create_dir_all(app.join("far")).unwrap();
    // Every browser asks for one.
    fs::write(root.join("public/favicon.ico"), "").unwrap();
    fs::write(app.join("words.js"), format!("export const words = 'words of the {version}';\n")).unwrap();
    let late = "'use client';\nimport { useState } from 'react';\nexport default function Late() {\n  \
        const [words, set] = useState('none yet');\n  \
        return <button id=\"late\" onClick={() => import('./words').then((m) => set(m.words))}>{words}</button>;\n}\n";
    fs::write(app.join("late.js"), late).unwrap();
    let far = format!("export default function Far() {{ return <p id=\"far\">far in the {version}</p>; }}\n");
    fs::write(app.join("far/page.js"), far).unwrap();
    let page = fs::read_to_string(app.join("page.js")).unwrap();
    if !page.contains("<Late />") {
        let link = "<Late />\n      <Link id=\"go\" href=\"/far\" prefetch={false}>far</Link>";
        let page = page.replace("<Counter />", &format!("<Counter />\n      {link}"));
        fs::write(app.join("page.js"), format!("import Late from './late';\n{page}")).unwrap();
    }
}

/// A page opened before the deploy gets what its own release had and no later build has; one opened after it is hydrated.
#[track_caller]
fn assert_open_pages_work(browser: &mut Browser, home: &str, built: &BTreeSet<String>) {
    let known = browser.asked("before");
    browser.press("before", "#late", "none yet");
    browser.reads("before", "#late", "words of the first");
    let late: Vec<String> = browser.asked("before").into_iter().filter(|url| !known.contains(url)).collect();
    let path =
        |url: &str| url.split("/_next/").nth(1).map(|path| format!("/_next/{}", path.split('?').next().unwrap()));
    let of_old = |url: &String| path(url).is_some_and(|path| path.ends_with(".js") && !built.contains(&path));
    assert!(late.iter().any(of_old), "a chunk that only the old release was built with: {late:?}");

    browser.open("after", home);
    browser.press("after", "#counter", "pushed 0 times");
    browser.press("after", "#late", "none yet");
    browser.reads("after", "#late", "words of the second");
    for page in ["before", "after"] {
        browser.click(page, "#go");
        browser.reads(page, "#far", "far in the second");
        assert_eq!(browser.wrong(page), [""; 0], "{page}");
    }
}

/// The addresses of all files below a folder that is served as `/_next/static`.
fn served(folder: &Path) -> BTreeSet<String> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().is_file());
    files.map(|file| format!("/_next/static/{}", file.path().strip_prefix(folder).unwrap().display())).collect()
}

fn assets(bench: &Bench, release: &str) -> BTreeSet<String> {
    served(&bench.site().dir.join("releases").join(release).join(".next/static"))
}

/// What a page that is open may ask for next.
#[track_caller]
fn assert_answer(bench: &Bench, status: u16, assets: &BTreeSet<String>) {
    assert!(!assets.is_empty());
    for asset in assets {
        assert_eq!(bench.host().get(asset).0, status, "{asset}");
    }
}

/// What a host with PM2 may cost beside the upload: scripts, answers to them, looks at the app's health, and ssh itself.
const HOST: u64 = 85_000;

/// One line is changed and all is built anew, each file with a new time: what crosses is little more than what changed.
#[track_caller]
fn one_line_costs_little(bench: &mut Bench, old: &str) -> String {
    let page = bench.project.join("app/page.js");
    let text = fs::read_to_string(&page).unwrap();
    fs::write(&page, text.replace("Hello from the", "Greetings from the")).unwrap();
    fs::remove_dir_all(bench.project.join(".next")).unwrap();
    let before = bench.host().proxy().crossed(Way::Up);
    let new = deploy(bench, "second", "npm run build");
    assert!(bench.host().get("/").1.contains("Greetings from the"));
    assert_costs(bench, old, &new, before);
    new
}

/// What crossed since `before` is what the new release has and the old one has not, compressed, and a little.
#[track_caller]
fn assert_costs(bench: &Bench, old: &str, new: &str, before: u64) {
    let crossed = bench.host().proxy().crossed(Way::Up) - before;
    let files = |id: &str| -> Vec<(String, String)> {
        let text = fs::read_to_string(bench.site().dir.join(".shipit/manifests").join(id)).unwrap();
        let fields = text.lines().filter(|line| line.starts_with("f ")).map(|line| line.splitn(5, ' '));
        fields.map(|mut fields| (fields.nth(3).unwrap().to_owned(), fields.next().unwrap().to_owned())).collect()
    };
    let known: BTreeSet<String> = files(old).into_iter().map(|(sha256, _)| sha256).collect();
    let changed: Vec<String> =
        files(new).into_iter().filter(|(sha256, _)| !known.contains(sha256)).map(|(_, path)| path).collect();
    let release = bench.site().dir.join("releases").join(new);
    let content: Vec<u8> = changed.iter().flat_map(|path| fs::read(release.join(path)).unwrap()).collect();
    let packed = zstd::bulk::compress(&content, 3).unwrap().len() as u64;
    assert!(changed.len() > 10 && changed.len() < 200, "{changed:?}");
    assert!(crossed <= packed * 12 / 10 + HOST, "{crossed} bytes for {packed}: {changed:#?}");
}

/// The same app as `apps/web` of a pnpm workspace, with a package of the workspace in it.
pub(super) fn write_workspace(root: &Path) -> PathBuf {
    let web = root.join("apps/web");
    example::copy("next-pm2", &web);
    for made_for_npm in ["package-lock.json", "deploy.toml"] {
        fs::remove_file(web.join(made_for_npm)).unwrap();
    }
    let mut package: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(web.join("package.json")).unwrap()).unwrap();
    package["name"] = "web".into();
    package["dependencies"]["words"] = "workspace:*".into();
    fs::write(web.join("package.json"), package.to_string()).unwrap();
    fs::create_dir_all(web.join("app/words")).unwrap();
    let page = "import { word } from 'words';\nexport default function Words() { return <p>{word}</p>; }\n";
    fs::write(web.join("app/words/page.js"), page).unwrap();

    let words = root.join("packages/words");
    fs::create_dir_all(&words).unwrap();
    fs::write(words.join("package.json"), r#"{"name":"words","version":"1.0.0","type":"module","main":"index.js"}"#)
        .unwrap();
    fs::write(words.join("index.js"), "export const word = 'a word of the workspace';\n").unwrap();
    fs::write(root.join("package.json"), r#"{"name":"workspace","version":"1.0.0","private":true}"#).unwrap();
    // Image libraries come as built packages; nothing has to be compiled.
    let yaml =
        "packages: [apps/*, packages/*]\nstrictDepBuilds: false\nignoredBuiltDependencies: [sharp, unrs-resolver]\n";
    fs::write(root.join("pnpm-workspace.yaml"), yaml).unwrap();
    web
}

#[test]
fn a_pnpm_workspace_goes_live() {
    let mut bench = bench(Make::pm2(2));
    let web = write_workspace(&bench.project);
    let mut install = Command::new("pnpm");
    install.args(["install", "--no-frozen-lockfile"]).current_dir(&bench.project).env("CI", "true");
    let output = install.output().expect("tests/run installs pnpm");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(web.join("node_modules/next").is_symlink(), "pnpm's links are what this is about");

    bench.config.set("build.root", "apps/web");
    for version in ["first", "second"] {
        let id = deploy(&mut bench, version, "pnpm run build");
        assert_serves(&bench, &id, version);
        let (status, page) = bench.host().get("/words");
        assert!(status == 200 && page.contains("a word of the workspace"), "{page}");
        assert!(bench.site().dir.join("current/apps/web/server.js").is_file());
    }
}
