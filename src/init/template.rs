//! The files that `init` can add beside `deploy.toml`, from `templates/`: where each goes and what is filled in.
//! Fills in words and keeps or drops marked lines; writes nothing.

use super::manager::Tool;
use super::shape::Project;
use super::write::Answers;
use crate::error::{Error, Result};

/// A file to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Its place, relative to the folder that its kind belongs to.
    pub path: String,
    /// What goes into it.
    pub text: String,
}

const WORKFLOW: &str = include_str!("../../templates/github-deploy.yml");
const ECOSYSTEM: &str = include_str!("../../templates/ecosystem.config.cjs");
const APP_ROUTE: &str = include_str!("../../templates/health-app-router.ts");
const PAGES_ROUTE: &str = include_str!("../../templates/health-pages-router.ts");

/// Makes them for one project.
#[derive(Clone, Copy, Debug)]
pub struct Templates<'a> {
    project: &'a Project,
    answers: &'a Answers,
}

/// The templates, filled in for `project`.
pub fn beside<'a>(project: &'a Project, answers: &'a Answers) -> Templates<'a> {
    Templates { project, answers }
}

impl Templates<'_> {
    /// The workflow, relative to the repository's root; `folder` is where `deploy.toml` lies in it.
    pub fn workflow(&self, folder: &str) -> Beside {
        let stage = self.answers.stages.first();
        let manager = self.project.manager.as_ref();
        let tool = manager.map(|manager| manager.tool);
        let locked = manager.is_some_and(|manager| manager.locked);
        let mut flags = Vec::new();
        match tool {
            Some(Tool::Npm) => flags.push("npm"),
            Some(Tool::Pnpm) => flags.push("pnpm"),
            Some(Tool::Yarn | Tool::Berry) => flags.push("yarn"),
            Some(Tool::Bun) => flags.push("bun"),
            None => {}
        }
        flags.extend(manager.map(|_| "node"));
        flags.extend(locked.then_some("locked"));
        flags.push(if manager.is_some_and(|manager| manager.pinned) { "pinned" } else { "unpinned" });
        flags.extend((!folder.is_empty()).then_some("folder"));
        let above = match (folder, self.project.root.as_str()) {
            ("", root) => root.to_owned(),
            (folder, "") => folder.to_owned(),
            (folder, root) => format!("{folder}/{root}"),
        };
        let lock = manager.map_or("", |manager| manager.up.as_str());
        let words = [
            ("STAGE", stage.map_or("production", |stage| stage.name.as_str())),
            ("BRANCH", stage.and_then(|stage| stage.branch.as_deref()).unwrap_or("main")),
            ("FOLDER", folder),
            ("LOCKS", &lock_folder(&above, lock)),
            ("ACTION", &action()),
        ];
        Beside { path: ".github/workflows/deploy.yml".into(), text: fill(WORKFLOW, &words, &flags) }
    }

    /// PM2's file, relative to the app's folder.
    pub fn ecosystem(&self) -> Result<Beside> {
        let Some(runs) = &self.project.shape.runs else {
            return Err(Error::Usage {
                what: format!(
                    "{} is not run by PM2, so there is nothing for an ecosystem file to say",
                    self.project.shape.what
                ),
                hint: "leave --ecosystem away".into(),
            });
        };
        let script = runs.script.as_deref().or(preset_script(self.project.shape.preset)).unwrap_or("server.js");
        let instances = match runs.instances {
            0 => "'max'".to_owned(),
            n => n.to_string(),
        };
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let port = runs.port.to_string();
        let words = [
            ("NAME", quoted(&self.answers.app)),
            ("SCRIPT", quoted(script)),
            ("INSTANCES", instances),
            ("PORT", port),
            ("ENV", if self.project.shape.preset == "astro" { ", HOST: '127.0.0.1'".into() } else { String::new() }),
        ];
        let words = words.each_ref().map(|(name, value)| (*name, value.as_str()));
        Ok(Beside { path: "ecosystem.config.cjs".into(), text: fill(ECOSYSTEM, &words, &[]) })
    }

    /// The health route, relative to the app's folder; none where there is no place for one.
    pub fn route(&self) -> Option<Beside> {
        let route = self.project.shape.route.as_ref()?;
        let typed = route.file.ends_with(".ts");
        let template = if route.app_router { APP_ROUTE } else { PAGES_ROUTE };
        let flags = if typed { ["ts"] } else { ["js"] };
        Some(Beside { path: route.file.clone(), text: fill(template, &[], &flags) })
    }
}

/// The script that a preset runs where none is given.
fn preset_script(preset: &str) -> Option<&'static str> {
    match preset {
        "next" => Some("server.js"),
        "astro" => Some("dist/server/entry.mjs"),
        _ => None,
    }
}

/// The action of this version. Where its repository is not known, a word that says so.
fn action() -> String {
    let repository = env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com/").trim_end_matches('/');
    let repository = if repository.is_empty() { "OWNER/shipit" } else { repository };
    format!("{repository}@v{}", env!("CARGO_PKG_VERSION"))
}

/// `folder` after going `up`, with a slash at its end unless it is the root.
fn lock_folder(folder: &str, up: &str) -> String {
    let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let down = parts.len().saturating_sub(up.split('/').filter(|part| !part.is_empty()).count());
    parts[..down].iter().map(|part| format!("{part}/")).collect()
}

/// The template with `@WORD@` replaced. Lines between `#if A B` and `#end` (behind the file's own comment sign) are
/// kept where one of these flags is set.
fn fill(template: &str, words: &[(&str, &str)], flags: &[&str]) -> String {
    let mut out = String::new();
    let mut kept = vec![true];
    for line in template.lines() {
        let mark = line.trim_start().trim_start_matches("//");
        if let Some(wanted) = mark.strip_prefix("#if ") {
            let outer = kept.iter().all(|kept| *kept);
            kept.push(outer && wanted.split_whitespace().any(|flag| flags.contains(&flag)));
        } else if mark == "#end" {
            kept.pop();
        } else if kept.iter().all(|kept| *kept) {
            let mut line = line.to_owned();
            for (name, value) in words {
                line = line.replace(&format!("@{name}@"), value);
            }
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_lines_are_kept_by_their_flags() {
        let text = "a @X@\n#if one two\nb\n#if three\nc\n#end\n#end\n  //#if three\nd\n//#end\ne\n";
        assert_eq!(fill(text, &[("X", "1")], &["two"]), "a 1\nb\ne\n");
        assert_eq!(fill(text, &[("X", "1")], &["one", "three"]), "a 1\nb\nc\nd\ne\n");
    }

    #[test]
    fn the_lockfile_is_named_from_the_repository() {
        assert_eq!(lock_folder("apps/web", "../.."), "");
        assert_eq!(lock_folder("front/apps/web", "../.."), "front/");
        assert_eq!(lock_folder("web", ""), "web/");
    }
}
