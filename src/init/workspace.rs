//! The packages of a monorepo: npm's, Yarn's and Bun's `workspaces`, pnpm's `pnpm-workspace.yaml`.
//! Finds folders only; whether one of them is an app is judged elsewhere.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::WalkDir;

use super::files::{Package, read};

/// No workspace lays its packages deeper.
const DEEPEST: usize = 4;

/// The packages below `folder`, relative to it, in order; none where it is no workspace.
pub(super) fn packages(folder: &Path) -> Vec<String> {
    let globs = globs(folder);
    if globs.is_empty() {
        return Vec::new();
    }
    let (wanted, unwanted) = (set(globs.iter().filter(|glob| !glob.starts_with('!'))), {
        set(globs.iter().filter_map(|glob| glob.strip_prefix('!').map(str::to_owned)).collect::<Vec<_>>().iter())
    });
    let hidden = |name: &str| name == "node_modules" || name.starts_with('.');
    let walk = WalkDir::new(folder).min_depth(1).max_depth(DEEPEST).sort_by_file_name().into_iter();
    walk.filter_entry(|entry| entry.file_type().is_dir() && !hidden(&entry.file_name().to_string_lossy()))
        .flatten()
        .filter(|entry| entry.path().join("package.json").is_file())
        .filter_map(|entry| Some(entry.path().strip_prefix(folder).ok()?.to_str()?.to_owned()))
        .filter(|path| wanted.is_match(path) && !unwanted.is_match(path))
        .collect()
}

/// The folder above `app` (itself included, nothing above `top`) whose workspace holds it.
pub(super) fn root_of<'p>(app: &'p Path, top: &Path) -> Option<&'p Path> {
    let above = app.ancestors().skip(1).take_while(|folder| folder.starts_with(top));
    above.into_iter().find(|folder| {
        let relative = app.strip_prefix(folder).ok().and_then(Path::to_str).unwrap_or_default();
        packages(folder).iter().any(|package| package == relative)
    })
}

fn set<'g>(globs: impl Iterator<Item = &'g String>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        // A pattern that can't be read names no package.
        if let Ok(glob) =
            GlobBuilder::new(glob.trim_start_matches("./").trim_end_matches('/')).literal_separator(true).build()
        {
            set.add(glob);
        }
    }
    set.build().unwrap_or_default()
}

fn globs(folder: &Path) -> Vec<String> {
    if let Some(text) = read(&folder.join("pnpm-workspace.yaml")) {
        return yaml_list(&text, "packages");
    }
    Package::read(folder).ok().flatten().map(|package| package.workspaces().to_vec()).unwrap_or_default()
}

/// The top-level list `name` of a YAML file, in either of its two forms. Knows no more of YAML than that.
fn yaml_list(text: &str, name: &str) -> Vec<String> {
    let bare = |item: &str| {
        let item = item.split(" #").next().unwrap_or_default().trim();
        item.trim_matches(['\'', '"']).to_owned()
    };
    let mut lines = text.lines().skip_while(|line| line.split(':').next() != Some(name));
    let Some((_, rest)) = lines.next().and_then(|line| line.split_once(':')) else { return Vec::new() };
    let rest = rest.split(" #").next().unwrap_or_default().trim();
    if rest.starts_with('[') {
        let mut inline = rest.to_owned();
        while !inline.contains(']') {
            let Some(line) = lines.next() else { break };
            inline += line;
        }
        let inner = inline.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned();
        return inner.split(',').map(bare).filter(|item| !item.is_empty()).collect();
    }
    let blank = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let items = lines.filter(|line| !blank(line)).map_while(|line| line.trim_start().strip_prefix("- ").map(bare));
    items.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_yaml_list_are_read() {
        let block =
            "# a\npackages:\n  # apps\n  - 'apps/*'\n\n  - \"packages/**\" # all\n  - '!**/test/**'\ncatalog:\n  - x\n";
        assert_eq!(yaml_list(block, "packages"), ["apps/*", "packages/**", "!**/test/**"]);
        assert_eq!(yaml_list("packages: [apps/*, 'packages/*']\nother: [x]\n", "packages"), ["apps/*", "packages/*"]);
        assert_eq!(yaml_list("packages: [\n  apps/*,\n  'libs/*'\n]\n", "packages"), ["apps/*", "libs/*"]);
        assert!(yaml_list("onlyBuiltDependencies: [sharp]\n", "packages").is_empty());
    }
}
