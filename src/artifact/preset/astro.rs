//! What `astro build` leaves: a static site, or a server of the Node adapter with the files it serves. Which of them is
//! read from the build itself, and so is whether it came to its end: a build that fails leaves its parts behind.

use std::path::Path;

use walkdir::WalkDir;

use super::{Mapping, is_fixed, plain, refused};
use crate::artifact::code::Code;
use crate::artifact::package::lockfile;
use crate::artifact::pages::Pages;
use crate::artifact::shown;
use crate::artifact::tree::Source;
use crate::config::{Build, Service, Starts};
use crate::error::{Error, Result};
use crate::text::clean;

/// Where a build goes unless it is told otherwise. In a release a server's build always has this name, so that another
/// one here doesn't change the script that PM2 knows.
const OUTPUT: &str = "dist";
/// What the Node adapter starts.
const ENTRY: &str = "server/entry.mjs";
/// Where a build prerenders; gone when it has come to its end.
const UNFINISHED: [&str; 2] = [".prerender", "server/.prerender"];
/// What other adapters leave.
const FOREIGN: [&str; 2] = ["_worker.js", "_routes.json"];
/// What the properties of server islands are encrypted with.
const KEY: &str = "ASTRO_KEY";

pub(super) fn map(build: &Build, service: &Service) -> Result<Mapping> {
    let output = build.output.as_deref().unwrap_or(OUTPUT);
    let Some(from) = plain(output).filter(|path| !path.as_os_str().is_empty()).map(|path| build.root.join(path)) else {
        return Err(refused(
            format!("build.output is `{}`, which is no folder below build.root", clean(output, 200)),
            "name what `astro build` fills: output = \"dist\"",
        ));
    };
    if !from.is_dir() {
        return Err(refused(
            format!("there is no Astro build in `{}`", shown(&from)),
            match &build.command {
                Some(command) => format!(
                    "`{}` should have left it; a build with outDir or --outDir is named by build.output",
                    clean(command, 200)
                ),
                None => "build it first, e.g. command = \"npm ci && npm run build\" under [build]".into(),
            },
        ));
    }
    if let Some(part) = UNFINISHED.iter().find(|part| from.join(part).exists()) {
        return Err(partial(&from, &format!("`{part}` is still there")));
    }
    if let Some(part) = FOREIGN.iter().find(|part| from.join(part).exists()) {
        return Err(refused(
            format!("`{}` was built for another platform: it holds `{part}`", shown(&from)),
            "use the Node adapter: npx astro add node",
        ));
    }
    let entry = match service.starts() {
        Starts::Given(script) => script.trim_start_matches('/').strip_prefix("dist/").unwrap_or(ENTRY).to_owned(),
        Starts::Preset | Starts::Own => ENTRY.to_owned(),
    };
    if from.join(&entry).is_file() {
        return server(build, service, &from, &entry);
    }
    match (has_pages(&from), from.join("server").is_dir(), from.join("client").is_dir()) {
        (_, true, _) if !has_pages(&from.join("server")) => Err(partial(&from, &format!("there is no `{ENTRY}`"))),
        (_, _, true) if !from.join("index.html").is_file() && !from.join("404.html").is_file() => {
            Err(partial(&from, "there is a `client` folder without its `server`"))
        }
        (false, ..) => Err(partial(&from, "there is no page in it")),
        (true, ..) => site(service, &from),
    }
}

fn partial(from: &Path, why: &str) -> Error {
    refused(
        format!("`{}` is not a whole Astro build: {why}", shown(from)),
        "the last build failed: run it again and look at its output; build.command must fail when `astro build` does",
    )
}

fn has_pages(folder: &Path) -> bool {
    let page = |name: &std::ffi::OsStr| Path::new(name).extension().is_some_and(|end| end == "html");
    WalkDir::new(folder).into_iter().flatten().any(|entry| page(entry.file_name()))
}

fn site(service: &Service, from: &Path) -> Result<Mapping> {
    if let Starts::Preset = service.starts() {
        return Err(refused(
            format!("`{}` is a static site: there is no server for [service.pm2] to run", shown(from)),
            "remove [service.pm2] and let a web server serve PATH/current; or add the Node adapter: npx astro add node",
        ));
    }
    Ok(Mapping { pages: Some(pages("")), assets: vec!["_astro".into()], ..Mapping::of_folder(from.to_owned()) })
}

fn server(build: &Build, service: &Service, from: &Path, entry: &str) -> Result<Mapping> {
    let root = &build.root;
    if !from.join("client").is_dir() {
        return Err(partial(from, "there is no `client`, the files that the server serves"));
    }
    let mut sources = vec![Source { from: from.to_owned(), to: OUTPUT.into() }];
    if root.join("package.json").is_file() {
        sources.push(Source { from: root.join("package.json"), to: "package.json".into() });
    }
    sources.extend(lockfile(root, Path::new("")).map(|(from, to)| Source { from, to }));
    let mut warnings = Vec::new();
    if *service == Service::None {
        warnings.push("this build is a server, and no [service.*] runs it: only `current` is switched".into());
    }
    if !is_fixed(build, KEY) && has_islands(&from.join("server"))? {
        warnings.push(format!(
            "the app has server islands, and build.env does not fix {KEY}: each build has a key of its own, so islands of \
             a page opened before a deploy fail after it; make one with `npx astro create-key`, keep it with your \
             secrets, and name it in build.env"
        ));
    }
    let modules = Source { from: root.join("node_modules"), to: "node_modules".into() };
    let script = format!("{OUTPUT}/{entry}");
    let code = Code { entry: (&script).into(), whole: true, modules: modules.from.is_dir().then_some(modules) };
    Ok(Mapping {
        script: Some(script),
        code: Some(code),
        // Astro's own default is `localhost`, which is ::1 on some hosts.
        env: [("HOST".to_owned(), "127.0.0.1".to_owned())].into(),
        pages: Some(pages("dist/client")),
        assets: vec!["dist/client/_astro".into()],
        warnings,
        ..Mapping::of(sources)
    })
}

fn pages(folder: &str) -> Pages {
    Pages {
        folders: vec![folder.into()],
        url: "/_astro/".into(),
        assets: Path::new(folder).join("_astro"),
        cure: "remove the build and build again".into(),
    }
}

/// Whether the server's list of islands names any: a list of lists in one of its files.
fn has_islands(server: &Path) -> Result<bool> {
    for entry in WalkDir::new(server).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let path = entry.path();
        let text =
            std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), doing: "read", source })?;
        let text = String::from_utf8_lossy(&text);
        let named = text.match_indices("serverIslandNameMap").any(|(at, name)| {
            let rest = text[at + name.len()..].split(';').next().unwrap_or("");
            let list: String = rest.chars().take(200).filter(|c| !c.is_whitespace()).collect();
            let list = list.replace("/*@__PURE__*/", "");
            ["=newMap([[", ":newMap([[", "\":[["].iter().any(|begin| list.starts_with(begin))
        });
        if named {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::artifact::fixture::Project;
    use crate::config::{Preset, Service};

    /// What `astro build` leaves of a server, in `output`.
    fn server(output: &str) -> Project {
        let mut project = Project::new(Preset::Astro).with_pm2(None);
        if output != "dist" {
            project.build.output = Some(output.into());
        }
        project.file("package.json", r#"{"dependencies":{"send":"1"},"devDependencies":{"dev":"1"}}"#);
        project.file(&format!("{output}/client/about/index.html"), r#"<link href="/_astro/a.css">"#);
        project.file(&format!("{output}/client/_astro/a.css"), "css");
        project.file(
            &format!("{output}/server/entry.mjs"),
            "export { start } from './chunks/server.mjs';\nimport 'send';",
        );
        project.file(&format!("{output}/server/chunks/server.mjs"), "const page = () => import('./page.mjs');");
        project.file(&format!("{output}/server/chunks/page.mjs"), "import fs from 'node:fs';");
        project.file("node_modules/send/index.js", "").file("src/pages/index.astro", "no");
        project
    }

    fn site() -> Project {
        let project = Project::new(Preset::Astro);
        project.file("dist/index.html", r#"<script src="/_astro/a.js">"#).file("dist/_astro/a.js", "js");
        project
    }

    #[test]
    fn a_server_ships_with_its_files_and_packages_under_one_name() {
        for output in ["dist", "dist_temp"] {
            let project = server(output);
            let artifact = project.collect().unwrap();
            assert_eq!(artifact.script.as_deref(), Some("dist/server/entry.mjs"));
            assert_eq!(artifact.env["HOST"], "127.0.0.1");
            assert_eq!(artifact.assets, [std::path::Path::new("dist/client/_astro")]);
            assert_eq!(artifact.warnings, [""; 0]);
            let release = project.release();
            for path in [
                "dist/client/_astro/a.css",
                "dist/server/chunks/page.mjs",
                "node_modules/send/index.js",
                "package.json",
            ] {
                assert!(release.iter().any(|line| line.starts_with(&format!("{path} ="))), "{path}: {release:?}");
            }
            assert!(!release.iter().any(|line| line.contains("src")), "{release:?}");
        }
    }

    #[test]
    fn a_server_that_needs_no_package_ships_none() {
        let project = server("dist");
        project.file("dist/server/entry.mjs", "import './chunks/server.mjs'");
        assert!(!project.release().iter().any(|line| line.contains("node_modules")));
    }

    #[test]
    fn a_package_that_any_page_needs_is_asked_for() {
        let project = server("dist");
        project.file("dist/server/chunks/page.mjs", "import 'node:fs';\nimport pg from 'pg';");
        let why = project.refusals().remove(0);
        assert!(
            why.contains("`pg` in dist/server/chunks/page.mjs:2") && why.contains("package.json does not name it"),
            "{why}"
        );
        fs::remove_dir_all(project.path("node_modules/send")).unwrap();
        let why = project.refusals();
        assert!(
            why[0].contains("`send` in dist/server/entry.mjs:2") && why[0].contains("`npm install --omit=dev`"),
            "{why:?}"
        );
    }

    #[test]
    fn a_static_site_is_its_output_and_needs_no_service() {
        let project = site();
        assert_eq!(project.release().len(), 3);
        let why = site().with_pm2(None).refusals().remove(0);
        assert!(why.contains("static site") && why.contains("remove [service.pm2]"), "{why}");
        let mut project = server("dist");
        project.service = Service::None;
        assert!(project.collect().unwrap().warnings[0].contains("no [service.*] runs it"));
    }

    #[test]
    fn what_a_failed_build_left_is_refused() {
        let refused = |project: &Project, what: &str| {
            let why = project.refusals().remove(0);
            assert!(why.contains("not a whole Astro build") && why.contains(what), "{why}");
        };
        for output in ["dist", "dist_temp"] {
            let project = server(output);
            project.file(&format!("{output}/server/.prerender/prerender-entry.mjs"), "");
            refused(&project, "`server/.prerender`");
        }
        let project = site();
        project.file("dist/.prerender/chunks/a.mjs", "");
        refused(&project, "`.prerender`");
        let project = server("dist");
        fs::remove_file(project.path("dist/server/entry.mjs")).unwrap();
        refused(&project, "`server/entry.mjs`");
        fs::remove_dir_all(project.path("dist/server")).unwrap();
        refused(&project, "without its `server`");
        let project = server("dist");
        fs::remove_dir_all(project.path("dist/client")).unwrap();
        refused(&project, "`client`");
        let project = Project::new(Preset::Astro);
        project.file("dist/hello.txt", "");
        refused(&project, "no page");

        // A chunk that the server loads is a part of it too; so are the assets of its pages.
        let project = server("dist");
        fs::remove_file(project.path("dist/server/chunks/page.mjs")).unwrap();
        assert!(project.refusals()[0].contains("`./page.mjs` in dist/server/chunks/server.mjs:1"));
        fs::remove_file(project.path("dist/server/chunks/server.mjs")).unwrap();
        assert!(project.refusals()[0].contains("`./chunks/server.mjs` in dist/server/entry.mjs:1"));
        let project = server("dist");
        fs::remove_file(project.path("dist/client/_astro/a.css")).unwrap();
        assert!(project.refusals()[0].contains("`/_astro/a.css` in dist/client/about/index.html"));
    }

    #[test]
    fn what_is_no_build_of_the_node_adapter_says_so() {
        let mut project = Project::new(Preset::Astro);
        assert!(project.refusals()[0].contains("no Astro build"));
        project.build.command = Some("make it".into());
        assert!(project.refusals()[0].contains("--outDir"));
        project.file("dist/_worker.js/index.js", "");
        assert!(project.refusals()[0].contains("npx astro add node"));
        project.build.output = Some("..".into());
        assert!(project.refusals()[0].contains("no folder below"));
    }

    #[test]
    fn pages_named_like_a_servers_folders_are_pages() {
        let project = site();
        project.file("dist/server/index.html", "").file("dist/client/index.html", "");
        assert_eq!(project.collect().unwrap().files(), 4);
    }

    #[test]
    fn server_islands_want_a_fixed_key() {
        let forms = [
            r#"var serverIslandNameMap = /* @__PURE__ */ new Map([["/src/I.astro", "I"]]);"#,
            r#"x={"serverIslandNameMap":[["/src/I.astro","I"]]}"#,
        ];
        for form in forms {
            let mut project = server("dist");
            project.file("dist/server/chunks/islands.mjs", form);
            assert!(project.collect().unwrap().warnings[0].contains("ASTRO_KEY"), "{form}");
            project.build.env.insert("ASTRO_KEY".into(), "key".into());
            assert_eq!(project.collect().unwrap().warnings, [""; 0]);
        }
        let project = server("dist");
        project.file("dist/server/chunks/islands.mjs", "var serverIslandNameMap = /* @__PURE__ */ new Map([]);");
        assert_eq!(project.collect().unwrap().warnings, [""; 0]);
    }

    #[test]
    fn absolute_links_in_packages_are_refused_before_anything_is_sent() {
        let project = server("dist");
        project.link("node_modules/linked", "/home/ann/linked");
        assert!(project.refusals()[0].contains("`node_modules/linked` is absolute"), "{:?}", project.refusals());
    }
}
