//! Whether sharp's compiled part ships, where what is shipped is seen to use it. Without it Next.js sends every image as it
//! is and says nothing, so no health check finds that out. Which machine a build is for is natives.rs's business.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::Value;

use super::{Artifact, Entry, EntryKind, place, shown};

/// The largest script that is looked into.
const LARGEST: u64 = 16 << 20;

/// What uses sharp in an artifact that holds no compiled part of it; none: nothing is seen to, or there is one.
pub fn sharp(artifact: &Artifact) -> Option<String> {
    if artifact.entries.iter().any(|entry| is_build(&entry.dest)) {
        return None;
    }
    optimised_images(artifact).or_else(|| dependency(artifact))
}

/// `sharp-linux-x64.node` and its like, the form that needs no machine, and what Next.js had before it asked for sharp.
fn is_build(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.starts_with(b"sharp") && name.ends_with(b".node")
        || path.components().any(|part| part.as_os_str() == "sharp-wasm32")
        || path.ends_with("server/lib/squoosh/main.js")
}

/// A script for browsers that holds the address of Next.js's own optimiser: `next/image` puts it there, nothing else does.
fn optimised_images(artifact: &Artifact) -> Option<String> {
    let mark = artifact.entries.iter().find(|entry| is_mark(artifact, &entry.dest))?;
    let about: Value = serde_json::from_slice(&content(mark)?).ok()?;
    let images = &about["config"]["images"];
    if images["loader"] != "default" || images["unoptimized"] != false {
        return None;
    }
    let address = format!("\"{}\"", images["path"].as_str()?);
    let script = |entry: &&Entry| {
        entry.dest.extension() == Some(OsStr::new("js")) && artifact.assets.iter().any(|at| entry.dest.starts_with(at))
    };
    let holds = |entry: &&Entry| {
        content(entry).is_some_and(|text| text.windows(address.len()).any(|window| window == address.as_bytes()))
    };
    let user = artifact.entries.iter().filter(script).find(holds)?;
    Some(format!("pages use next/image (`{}`)", shown(&user.dest)))
}

/// What the server reads of its own build, which lies beside the assets.
fn is_mark(artifact: &Artifact, path: &Path) -> bool {
    path.file_name() == Some(OsStr::new("required-server-files.json"))
        && artifact.assets.iter().any(|assets| assets.parent() == path.parent())
}

/// The app's own wish, where the package itself ships: then its code may be reached.
fn dependency(artifact: &Artifact) -> Option<String> {
    let own = place(&artifact.app_dir, "package.json")?;
    let about = content(artifact.entries.iter().find(|entry| entry.dest == own)?)?;
    let about: Value = serde_json::from_slice(&about).ok()?;
    about["dependencies"].get("sharp")?;
    let ships = artifact.entries.iter().any(|entry| entry.dest.ends_with("node_modules/sharp/package.json"));
    ships.then(|| format!("`{}` asks for sharp", shown(&own)))
}

fn content(entry: &Entry) -> Option<Vec<u8>> {
    match &entry.kind {
        EntryKind::File { source, size, .. } if *size <= LARGEST => source.read().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::artifact::fixture::Project;
    use crate::config::Preset;

    use super::*;

    /// What a build leaves whose pages show images, with these settings; `script` is what its browsers get.
    fn next(images: &str, script: &str) -> Project {
        let project = Project::new(Preset::Next);
        let mark = format!(r#"{{"config":{{"output":"standalone","distDir":".next","images":{images}}}}}"#);
        project.file(".next/required-server-files.json", &mark).file(".next/static/chunks/a.js", script);
        project.file(".next/standalone/.next/required-server-files.json", &mark);
        project.file(".next/standalone/server.js", "").file(".next/static/chunks/b.css", "\"/_next/image\"");
        project
    }

    const IMAGES: &str = r#"{"loader":"default","unoptimized":false,"path":"/_next/image"}"#;
    const USES: &str = r#"let o={qualities:[75],path:"/_next/image",loader:"default"}"#;

    fn user(project: &Project) -> Option<String> {
        sharp(&project.collect().unwrap())
    }

    #[test]
    fn pages_with_images_need_it() {
        let project = next(IMAGES, USES);
        assert_eq!(user(&project).as_deref(), Some("pages use next/image (`.next/static/chunks/a.js`)"));
        let builds = [
            "node_modules/@img/sharp-darwin-arm64/lib/sharp-darwin-arm64-0.35.5.node",
            "node_modules/@img/sharp-wasm32/lib/sharp.js",
            "node_modules/next/dist/server/lib/squoosh/main.js",
        ];
        for build in builds {
            let project = next(IMAGES, USES);
            project.file(&format!(".next/standalone/{build}"), "");
            assert_eq!(user(&project), None, "{build}");
        }
    }

    #[test]
    fn pages_without_images_or_with_a_loader_of_their_own_do_not() {
        assert_eq!(user(&next(IMAGES, "let o={}")), None);
        assert_eq!(user(&next(&IMAGES.replace("false", "true"), USES)), None);
        assert_eq!(user(&next(&IMAGES.replace("default", "custom"), USES)), None);
        assert_eq!(user(&next(&IMAGES.replace("/_next", "/docs/_next"), USES)), None);
        assert_eq!(user(&next("null", USES)), None, "an older Next.js tells nothing");
    }

    #[test]
    fn an_app_that_asks_for_it_needs_it() {
        let app = |asks: &str| {
            let project = Project::new(Preset::Node).with_pm2(Some("server.js"));
            project.file("server.js", "").file("package.json", &format!(r#"{{"{asks}":{{"sharp":"1"}}}}"#));
            project.file("node_modules/sharp/package.json", "{}");
            project
        };
        assert_eq!(user(&app("dependencies")).as_deref(), Some("`package.json` asks for sharp"));
        assert_eq!(user(&app("devDependencies")), None);
    }
}
