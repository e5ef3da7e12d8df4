//! A Next.js standalone build, as `required-server-files.json` describes it: a custom `distDir`, a workspace and
//! a stray lockfile in a parent folder all move the parts, so no path is taken for granted.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;
use walkdir::WalkDir;

use super::{Mapping, is_fixed, plain, refused};
use crate::artifact::package;
use crate::artifact::pages::Pages;
use crate::artifact::shown;
use crate::artifact::tree::Source;
use crate::config::Build;
use crate::error::{Error, Result};

/// What a build says of itself.
const MARK: &str = "required-server-files.json";
/// What the ids of Server Actions are made with.
const KEY: &str = "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY";
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    config: NextConfig,
    /// Where the project lies below the root that dependencies were traced from.
    #[serde(default)]
    relative_app_dir: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NextConfig {
    output: Option<String>,
    dist_dir: Option<String>,
    #[serde(default)]
    base_path: String,
    #[serde(default)]
    asset_prefix: String,
    config_file_name: Option<String>,
    deployment_id: Option<String>,
}

/// A build found in the project.
struct Found {
    /// Its folder, relative to the project.
    dist: PathBuf,
    made: SystemTime,
    description: Description,
}

pub(super) fn map(build: &Build) -> Result<Mapping> {
    let root = &build.root;
    let mut warnings = Vec::new();
    let Found { dist, description, .. } = find(build, &mut warnings)?;
    let NextConfig { output, base_path, asset_prefix, config_file_name, deployment_id, .. } = description.config;
    match output.as_deref() {
        Some("standalone") => {}
        Some("export") => {
            return Err(refused(
                "the build is a static export (`output: 'export'`)".into(),
                "ship it as files: preset = \"static\" and output = \"out\" under [build]",
            ));
        }
        _ => return Err(not_standalone(root, config_file_name)),
    }
    let standalone = root.join(&dist).join("standalone");
    if !standalone.is_dir() {
        return Err(refused(
            format!("the build did not leave `{}`", shown(&standalone)),
            "a failed build removes it: run the build again, and look at its output",
        ));
    }
    let Some(app) = plain(&description.relative_app_dir) else {
        return Err(refused(
            format!("{MARK}: relativeAppDir is `{}`", description.relative_app_dir),
            "set outputFileTracingRoot in the Next.js config to a folder that holds the project",
        ));
    };
    if !standalone.join(&app).join("server.js").is_file() {
        return Err(refused(
            format!("the build did not leave `{}`", shown(&standalone.join(&app).join("server.js"))),
            "remove the build folder and build again; a custom server can't be part of a standalone build",
        ));
    }
    let source = |from: PathBuf, to: PathBuf| Source { from, to };
    let assets = app.join(&dist).join("static");
    let mut sources = vec![source(standalone, PathBuf::new()), source(root.join(&dist).join("static"), assets.clone())];
    if root.join("public").is_dir() {
        sources.push(source(root.join("public"), app.join("public")));
    }
    sources.extend(package::lockfile(root, &app).map(|(from, to)| source(from, to)));
    let server = app.join(&dist).join("server");
    let pages = asset_url(&base_path, &asset_prefix).map(|url| Pages {
        folders: vec![server.join("app"), server.join("pages")],
        url,
        assets: assets.clone(),
        cure: format!("remove `{}` and build again", shown(&dist)),
    });
    if !is_fixed(build, KEY) && has_server_actions(&root.join(&dist)) {
        warnings.push(format!(
            "the app has Server Actions, and build.env does not fix {KEY}: each build has a key of its own, so a page \
             opened before a deploy can't call them after it; make one with `openssl rand -base64 32`, keep it with \
             your secrets, and name it in build.env"
        ));
    }
    let app_dir = app.to_string_lossy().into_owned();
    let mutable = rewritten(&app.join(&dist));
    Ok(Mapping {
        app_dir,
        script: Some("server.js".into()),
        pages,
        mutable,
        assets: vec![assets],
        deployment: deployment_id.filter(|id| !id.is_empty()),
        warnings,
        ..Mapping::of(sources)
    })
}

/// What a server writes while it runs: its caches, and the pages and answers that it makes anew (14 and 15 in place of
/// the built ones, 16 beside them). Not the code that lies among them.
fn rewritten(dist: &Path) -> Vec<String> {
    let dist = globset::escape(&dist.to_string_lossy());
    let parts =
        ["cache", "server/route-cache", "server/app/**/*.{html,rsc,meta,body}", "server/pages/**/*.{html,json}"];
    parts.iter().map(|part| format!("{dist}/{part}")).collect()
}

/// The newest build whose own `distDir` is the folder it lies in: one of another project below `root` is not.
fn find(build: &Build, warnings: &mut Vec<String>) -> Result<Found> {
    let root = &build.root;
    let mut builds = Vec::new();
    let mut strangers = Vec::new();
    let folders = WalkDir::new(root).min_depth(1).max_depth(2).sort_by_file_name().into_iter();
    let skipped = |name: &OsStr| ["node_modules", "standalone", ".git"].iter().any(|skip| name == *skip);
    // A folder that can't be read is not the build's.
    for folder in folders.filter_entry(|entry| !skipped(entry.file_name())).flatten() {
        let mark = folder.path().join(MARK);
        let Ok(made) = fs::metadata(&mark).and_then(|meta| meta.modified()) else { continue };
        let dist = folder.path().strip_prefix(root).unwrap_or(folder.path()).to_owned();
        let description = read(&mark)?;
        match &description.config.dist_dir {
            Some(named) if plain(named).as_ref() != Some(&dist) => strangers.push(dist),
            _ => builds.push(Found { dist, made, description }),
        }
    }
    builds.sort_by_key(|found| found.made);
    if let (Some(newest), true) = (builds.last(), builds.len() > 1) {
        let others: Vec<String> =
            builds[..builds.len() - 1].iter().map(|found| format!("`{}`", shown(&found.dist))).collect();
        warnings.push(format!(
            "took the build in `{}`, the newest; remove {}",
            shown(&newest.dist),
            crate::text::list(&others)
        ));
    }
    builds.pop().ok_or_else(|| match (strangers.first(), &build.command) {
        (Some(other), _) => refused(
            format!("there is no Next.js build of `{}` itself", shown(root)),
            format!(
                "there is one in `{}`: if that project is meant, name its folder in build.root",
                shown(&root.join(other))
            ),
        ),
        (None, Some(command)) => refused(
            format!("there is no Next.js build in `{}`", shown(root)),
            format!("`{command}` should have left one; is build.root the folder of the app?"),
        ),
        (None, None) => refused(
            format!("there is no Next.js build in `{}`", shown(root)),
            "build it first, e.g. command = \"npm ci && npm run build\" under [build]",
        ),
    })
}

fn read(mark: &Path) -> Result<Description> {
    let text = fs::read(mark).map_err(|source| Error::File { path: mark.to_owned(), doing: "read", source })?;
    serde_json::from_slice(&text).map_err(|e| {
        refused(
            format!("`{}` is not what Next.js writes: {e}", shown(mark)),
            "build again; shipit knows Next.js 14 to 16",
        )
    })
}

fn not_standalone(root: &Path, named: Option<String>) -> Error {
    let known = ["js", "mjs", "ts", "mts", "cjs"].map(|end| format!("next.config.{end}"));
    match named.into_iter().chain(known).find(|name| root.join(name).is_file()) {
        Some(file) => refused(
            format!("`{file}` does not say output: 'standalone', so the build holds no server to ship"),
            format!(
                "add `output: 'standalone',` to the config object in `{}` and build again",
                shown(&root.join(file))
            ),
        ),
        None => refused(
            "the Next.js config does not say output: 'standalone', so the build holds no server to ship".into(),
            format!(
                "create `{}` with `export default {{ output: 'standalone' }};` and build again",
                shown(&root.join("next.config.mjs"))
            ),
        ),
    }
}

/// Whether the build's list of Server Actions names any. Without such a list there is nothing to say.
fn has_server_actions(dist: &Path) -> bool {
    let listed = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).ok();
    let list = fs::read(dist.join("server/server-reference-manifest.json")).ok().and_then(listed);
    let named =
        |list: &Value| ["node", "edge"].iter().any(|kind| list[kind].as_object().is_some_and(|ids| !ids.is_empty()));
    list.as_ref().is_some_and(named)
}

/// How the URL of an asset begins; none where assets are served from elsewhere.
fn asset_url(base_path: &str, asset_prefix: &str) -> Option<String> {
    let prefix = if asset_prefix.is_empty() { base_path } else { asset_prefix };
    let elsewhere = prefix.starts_with("//") || prefix.contains("://");
    (!elsewhere).then(|| format!("{}/_next/static/", prefix.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    use serde_json::{Value, json};

    use crate::artifact::Mutable;
    use crate::artifact::fixture::Project;
    use crate::config::{Assets, Preset};

    /// What `next build` leaves of the project in `app`, whose traced root is the temporary folder.
    fn built(app: &str, dist: &str, config: Value) -> Project {
        let mut project = Project::new(Preset::Next);
        project.build.root = project.path(app);
        let (base, up) = if app.is_empty() { (String::new(), "") } else { (format!("{app}/"), app) };
        let mut all = json!({"output": "standalone", "distDir": dist, "basePath": "", "assetPrefix": ""});
        all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let mark = json!({"version": 1, "config": all, "relativeAppDir": up}).to_string();
        let standalone = format!("{base}{dist}/standalone");
        let prefix = all["assetPrefix"].as_str().unwrap();
        let html = format!(r#"<link rel="x" href="{prefix}/_next/static/a.css?dpl=1"/><a href="/">home</a>"#);
        project.file(&format!("{base}{dist}/required-server-files.json"), &mark);
        project.file(&format!("{base}{dist}/static/a.css"), "css").file(&format!("{base}{dist}/cache/x"), "no");
        project.file(&format!("{base}public/hello.txt"), "hello").file(&format!("{base}src/page.js"), "no");
        project.file(&format!("{standalone}/{base}server.js"), "server");
        project.file(&format!("{standalone}/{base}{dist}/required-server-files.json"), &mark);
        project.file(&format!("{standalone}/{base}{dist}/server/app/index.html"), &html);
        project.file(&format!("{standalone}/node_modules/next/index.js"), "next");
        project
    }

    fn paths(project: &Project) -> Vec<String> {
        let artifact = project.collect().unwrap();
        assert_eq!(artifact.script.as_deref(), Some("server.js"));
        let files = artifact.entries.iter().filter(|e| !matches!(e.kind, crate::artifact::EntryKind::Dir));
        files.map(|entry| entry.dest.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_single_project_with_its_assets_and_lockfile() {
        let project = built("", ".next", json!({}));
        project
            .file("package-lock.json", "{}")
            .link(".next/standalone/.next/node_modules/n", "../../node_modules/next");
        assert_eq!(
            paths(&project),
            [
                ".next/node_modules/n",
                ".next/required-server-files.json",
                ".next/server/app/index.html",
                ".next/static/a.css",
                "node_modules/next/index.js",
                "package-lock.json",
                "public/hello.txt",
                "server.js",
            ]
        );
        assert_eq!(project.collect().unwrap().app_dir, "");
    }

    #[test]
    fn in_a_workspace_the_parts_lie_in_the_apps_folder() {
        let mut project = built("apps/web", ".next", json!({}));
        project.file("pnpm-lock.yaml", "x").file("apps/web/content/a.md", "a");
        project.include("content", "content").include("../../pnpm-lock.yaml", "/lock");
        assert_eq!(
            paths(&project),
            [
                "apps/web/.next/required-server-files.json",
                "apps/web/.next/server/app/index.html",
                "apps/web/.next/static/a.css",
                "apps/web/content/a.md",
                "apps/web/public/hello.txt",
                "apps/web/server.js",
                "lock",
                "node_modules/next/index.js",
                "pnpm-lock.yaml",
            ]
        );
        let artifact = project.collect().unwrap();
        assert_eq!(artifact.app_dir, "apps/web");
        let own = Assets { keep: 3, paths: vec!["apps/web/.next/static".into()] };
        assert_eq!(artifact.assets(&Assets { keep: 3, paths: vec![] }), own);
        let named = Assets { keep: 1, paths: vec!["out/_a".into(), "/top".into()] };
        assert_eq!(artifact.assets(&named).paths, ["apps/web/out/_a", "top"]);
        assert_eq!(artifact.assets(&Assets { keep: 0, ..named }), Assets::default());
        let mutable = Mutable::new("apps/web", &Default::default(), &artifact.mutable, &[]);
        for written in [
            "cache/images/x",
            "server/route-cache/x",
            "server/app/a/b.segments/_tree.segment.rsc",
            "server/pages/a.json",
        ] {
            assert!(mutable.names(format!("apps/web/.next/{written}").as_bytes()), "{written}");
        }
        for code in ["server/app/a/page.js", "server/pages/a.js", "static/a.css", "required-server-files.json"] {
            assert!(!mutable.names(format!("apps/web/.next/{code}").as_bytes()), "{code}");
        }
    }

    #[test]
    fn a_stray_lockfile_above_moves_the_app_and_is_not_shipped() {
        let project = built("proj", ".next", json!({}));
        project.file("package-lock.json", "stray").file("proj/yarn.lock", "own");
        let paths = paths(&project);
        assert!(paths.contains(&"proj/yarn.lock".into()) && paths.contains(&"proj/server.js".into()), "{paths:?}");
        assert!(!paths.contains(&"package-lock.json".into()), "{paths:?}");
    }

    #[test]
    fn another_folder_than_dot_next() {
        for dist in ["build", "out/next"] {
            let project = built("", dist, json!({"basePath": "/docs", "assetPrefix": "/docs", "deploymentId": "d1"}));
            let artifact = project.collect().unwrap();
            assert_eq!(artifact.assets, [PathBuf::from(dist).join("static")]);
            assert_eq!(artifact.deployment.as_deref(), Some("d1"));
            let paths = paths(&project);
            assert!(paths.contains(&format!("{dist}/static/a.css")), "{paths:?}");
            fs::remove_file(project.path(&format!("{dist}/static/a.css"))).unwrap();
            assert!(project.refusals()[0].contains("`/docs/_next/static/a.css` in"));
        }
    }

    #[test]
    fn of_two_builds_the_newest_is_meant() {
        let project = built("", "build", json!({}));
        let old = project.path(".next/required-server-files.json");
        project.file(".next/required-server-files.json", r#"{"config": {"distDir": "./.next"}}"#);
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().append(true).open(&old).unwrap().set_modified(long_ago).unwrap();
        assert!(paths(&project).contains(&"build/static/a.css".into()));
        assert_eq!(project.collect().unwrap().warnings, ["took the build in `build`, the newest; remove `.next`"]);
    }

    #[test]
    fn without_a_standalone_build_the_cure_is_named() {
        let config = |output: Value| built("", ".next", json!({ "output": output }));
        let project = config(Value::Null);
        assert!(project.refusals()[0].contains("create `"), "{:?}", project.refusals());
        project.file("next.config.ts", "x");
        let why = project.refusals().remove(0);
        assert!(why.starts_with("`next.config.ts` does not say output: 'standalone'"), "{why}");
        assert!(why.contains("add `output: 'standalone',` to the config object in `/"), "{why}");
        assert!(config(json!("export")).refusals()[0].contains("output = \"out\""));
    }

    #[test]
    fn without_a_build_there_is_nothing_to_ship() {
        let mut project = Project::new(Preset::Next);
        assert!(project.refusals()[0].contains("command = \"npm ci"));
        project.build.command = Some("make it".into());
        assert!(project.refusals()[0].contains("`make it` should have left one"));

        let project = built("", ".next", json!({}));
        fs::remove_file(project.path(".next/standalone/server.js")).unwrap();
        assert!(project.refusals()[0].contains("standalone/server.js`"), "{:?}", project.refusals());
        fs::remove_dir_all(project.path(".next/standalone")).unwrap();
        assert!(project.refusals()[0].contains("did not leave `"), "{:?}", project.refusals());
        project.file(".next/required-server-files.json", "{");
        assert!(project.refusals()[0].contains("not what Next.js writes"), "{:?}", project.refusals());
    }

    #[test]
    fn a_build_of_a_project_further_down_is_not_this_one() {
        let mut project = built("web", ".next", json!({}));
        project.build.root = project.path("");
        assert!(project.refusals()[0].contains("build.root"), "{:?}", project.refusals());
        assert!(project.refusals()[0].contains("web/.next`"), "{:?}", project.refusals());
    }

    #[test]
    fn pages_whose_assets_are_missing_are_refused_unless_they_are_elsewhere() {
        let project = built("apps/web", ".next", json!({}));
        project
            .file("apps/web/.next/standalone/apps/web/.next/server/pages/b.html", "<script src='/_next/static/b.js'>");
        fs::remove_file(project.path("apps/web/.next/static/a.css")).unwrap();
        let why = project.refusals();
        assert!(why.len() == 1 && why[0].contains("`/_next/static/a.css` in apps/web/.next/server/app/index.html"));
        assert!(why[0].contains("`/_next/static/b.js` in apps/web/.next/server/pages/b.html"), "{why:?}");

        let project = built("", ".next", json!({"assetPrefix": "https://cdn.example.com"}));
        fs::remove_file(project.path(".next/static/a.css")).unwrap();
        assert!(project.collect().is_ok());
    }

    #[test]
    fn server_actions_want_a_fixed_key() {
        let mut project = built("", ".next", json!({}));
        let manifest = ".next/server/server-reference-manifest.json";
        project.file(manifest, r#"{"node":{},"edge":{},"encryptionKey":"x"}"#);
        assert_eq!(project.collect().unwrap().warnings, [""; 0]);
        project.file(manifest, r#"{"node":{"4077":{"workers":{}}},"edge":{},"encryptionKey":"x"}"#);
        let warnings = project.collect().unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(super::KEY), "{warnings:?}");
        // `${KEY:-}` of a variable that isn't set fixes nothing.
        project.build.env.insert(super::KEY.into(), String::new());
        assert_eq!(project.collect().unwrap().warnings.len(), 1);
        project.build.env.insert(super::KEY.into(), "key".into());
        assert_eq!(project.collect().unwrap().warnings, [""; 0]);
    }

    #[test]
    fn env_files_of_the_build_stay_here() {
        let mut project = built("", ".next", json!({}));
        project.file(".next/standalone/.env", "secret").file(".env", "secret");
        assert!(!paths(&project).contains(&".env".into()));
        assert!(project.collect().unwrap().warnings[0].contains("`.env`"));
        project.include(".env", ".env");
        assert!(paths(&project).contains(&".env".into()));
    }
}
