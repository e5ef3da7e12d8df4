//! Astro as its config shows it: static pages, or a server by which adapter. The config is not run.

use std::path::Path;

use super::files::{Package, code, read, script, setting};
use super::shape::{Built, Runs, Shape, lacks};

pub(super) fn look(folder: &Path, package: &Package) -> Option<Shape> {
    if !package.needs("astro") {
        return None;
    }
    let file = script(folder, "astro.config");
    let config = file.as_ref().and_then(|file| read(file)).map(|text| code(&text)).unwrap_or_default();
    let output = setting(&config, "outDir").map(|dir| dir.trim_start_matches("./").trim_end_matches('/').to_owned());
    let mut shape = Shape {
        what: "Astro, static".into(),
        preset: "astro",
        output: output.filter(|dir| !dir.is_empty() && dir != "dist"),
        built: Built::By("astro build"),
        ..Shape::default()
    };
    let asks = matches!(setting(&config, "output").as_deref(), Some("server" | "hybrid"));
    if !asks && !config.contains("adapter") {
        return Some(shape);
    }
    shape.what = "Astro, a server".into();
    if !package.needs("@astrojs/node") {
        shape.missing.push(lacks(
            "Astro's server needs the adapter @astrojs/node to run on a server of yours",
            "npx astro add node, and mode: 'standalone' in its options",
        ));
    } else if setting(&config, "mode").as_deref() == Some("middleware") {
        shape.missing.push(lacks(
            "the adapter @astrojs/node is in mode 'middleware', which listens on nothing",
            "set mode: 'standalone' in the Astro config, or deploy the server that uses it with the preset node",
        ));
    }
    shape.runs = Some(Runs { script: None, port: 4321, instances: 2, max_memory: None });
    let pages = folder.join("src/pages");
    let routed = super::next::ROUTES
        .into_iter()
        .find(|route| script(&pages, route).is_some() || script(&pages.join(route), "index").is_some());
    let front = || {
        let page = read(&pages.join("index.astro"))?;
        let plain = !page.contains("redirect") && script(folder, "src/middleware").is_none();
        plain.then(|| "/".to_owned())
    };
    shape.health = routed.map(|route| format!("/{route}")).or_else(front);
    Some(shape)
}
