//! Next.js as its sources show it: the config's `output`, the router, a health route that is there already.
//! The config is code and is not run: what can't be read from its text is left to the build to tell.

use std::path::Path;

use super::files::{Package, code, read, script, setting};
use super::shape::{Built, Route, Runs, Shape, lacks};

/// Where projects put an answer that is made for machines.
pub(super) const ROUTES: [&str; 6] = ["api/health", "api/healthz", "health", "healthz", "api/healthcheck", "api/ping"];

pub(super) fn look(folder: &Path, package: &Package) -> Option<Shape> {
    if !package.needs("next") {
        return None;
    }
    let file = script(folder, "next.config");
    let config = file.as_ref().and_then(|file| read(file)).map(|text| code(&text)).unwrap_or_default();
    if setting(&config, "output").as_deref() == Some("export") {
        let output = setting(&config, "distDir").unwrap_or_else(|| "out".into());
        let what = "Next.js, a static export".into();
        return Some(Shape {
            what,
            preset: "static",
            output: Some(output),
            built: Built::By("next build"),
            ..Shape::default()
        });
    }
    let mut missing = Vec::new();
    // `output` may be put together by code: any mention of the word is believed here, and the build decides.
    if !config.contains("standalone") {
        let place = match &file {
            Some(file) => {
                format!("add it to the config object in {}", file.file_name().unwrap_or_default().to_string_lossy())
            }
            None => "write it into next.config.mjs: export default { output: 'standalone' };".into(),
        };
        missing.push(lacks("the Next.js config does not set output: 'standalone', which a release is made of", place));
    }
    let app = ["app", "src/app"].into_iter().find(|inner| folder.join(inner).is_dir());
    let pages = ["pages", "src/pages"].into_iter().find(|inner| folder.join(inner).is_dir());
    let base = setting(&config, "basePath").unwrap_or_default();
    let health = health(folder, app, pages).map(|route| format!("{base}{route}"));
    let language = if folder.join("tsconfig.json").is_file() { "ts" } else { "js" };
    let route = match (app, pages) {
        (Some(app), _) => Some((format!("{app}/api/health/route.{language}"), true)),
        (None, Some(pages)) => Some((format!("{pages}/api/health.{language}"), false)),
        (None, None) => None,
    };
    let route = route.filter(|_| health.is_none());
    let route = route.map(|(file, app_router)| Route { file, path: format!("{base}/api/health"), app_router });
    if route.is_some() {
        missing.push(lacks(
            "there is no health route: a deploy would look at a page, or only at the processes",
            "shipit init --health adds /api/health",
        ));
    }
    let router = match (app, pages) {
        (Some(_), _) => " with the App Router",
        (None, Some(_)) => " with the Pages Router",
        (None, None) => "",
    };
    let health = health.or_else(|| front(folder, app, pages).map(|()| if base.is_empty() { "/".into() } else { base }));
    Some(Shape {
        what: format!("Next.js{router}"),
        preset: "next",
        built: Built::By("next build"),
        runs: Some(Runs { script: None, port: 3000, instances: 2, max_memory: None }),
        health,
        route,
        missing,
        ..Shape::default()
    })
}

/// The path of a health route that exists.
fn health(folder: &Path, app: Option<&str>, pages: Option<&str>) -> Option<String> {
    let found = ROUTES.into_iter().find(|route| {
        let in_app = app.is_some_and(|app| script(&folder.join(app).join(route), "route").is_some());
        let in_pages = pages.filter(|_| route.starts_with("api/")).is_some_and(|pages| {
            let inner = folder.join(pages);
            script(&inner, route).is_some() || script(&inner.join(route), "index").is_some()
        });
        in_app || in_pages
    });
    found.map(|route| format!("/{route}"))
}

/// Whether `/` is a page that nothing is seen to redirect.
fn front(folder: &Path, app: Option<&str>, pages: Option<&str>) -> Option<()> {
    let outside = ["middleware", "proxy", "src/middleware", "src/proxy"];
    if outside.into_iter().any(|stem| script(folder, stem).is_some()) {
        return None;
    }
    let page = app.and_then(|app| script(&folder.join(app), "page"));
    let page = page.or_else(|| pages.and_then(|pages| script(&folder.join(pages), "index")))?;
    (!read(&page)?.contains("redirect")).then_some(())
}
