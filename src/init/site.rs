//! Files for a web server: what a site generator leaves, or plain HTML as it lies there.

use std::path::Path;

use super::files::Package;
use super::shape::{Built, Shape};

/// Generators by their package: what people call them, their program, the folder they fill.
const GENERATORS: [(&str, &str, &str, &str); 6] = [
    ("@docusaurus/core", "Docusaurus", "docusaurus build", "build"),
    ("@11ty/eleventy", "Eleventy", "eleventy", "_site"),
    ("gatsby", "Gatsby", "gatsby build", "public"),
    ("react-scripts", "Create React App", "react-scripts build", "build"),
    ("vitepress", "VitePress", "vitepress build", ".vitepress/dist"),
    ("vite", "Vite", "vite build", "dist"),
];
/// Frameworks that bring a server along; their `vite` makes no site.
const SERVERS: [&str; 5] = ["nuxt", "@sveltejs/kit", "@remix-run/node", "@react-router/node", "@solidjs/start"];
/// Where plain pages lie, the project's folder last.
const FOLDERS: [&str; 6] = ["public", "site", "dist", "www", "html", ""];

/// A site that a known generator builds.
pub(super) fn built(_folder: &Path, package: &Package) -> Option<Shape> {
    if SERVERS.iter().any(|server| package.needs(server)) {
        return None;
    }
    let (_, name, program, output) = GENERATORS.into_iter().find(|(needs, ..)| package.needs(needs))?;
    let what = format!("a static site by {name}");
    Some(Shape { what, preset: "static", output: Some(output.into()), built: Built::By(program), ..Shape::default() })
}

/// Pages that lie there ready.
pub(super) fn plain(folder: &Path) -> Option<Shape> {
    let inner = FOLDERS.into_iter().find(|inner| folder.join(inner).join("index.html").is_file())?;
    let mut shape = Shape { what: "plain HTML".into(), preset: "static", built: Built::By(""), ..Shape::default() };
    shape.output = Some(if inner.is_empty() { ".".into() } else { inner.to_owned() });
    if inner.is_empty() {
        shape.exclude = vec!["deploy.toml", ".github", ".gitignore", ".shipit-local", "node_modules", "package.json"];
    }
    Some(shape)
}
