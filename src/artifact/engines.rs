//! Which node an app asks for, by its `package.json`, and whether a version is one of those. Reads the range as npm
//! means it; one that can't be understood asks for nothing.

use std::path::Path;

use super::{Artifact, EntryKind, place};

/// A range of versions and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The file, in the release.
    pub file: String,
    /// As it stands there, e.g. `>=20.9`.
    pub range: String,
}

/// What the app itself and Next.js ask for.
pub fn engines(artifact: &Artifact) -> Vec<Engine> {
    let own = place(&artifact.app_dir, "package.json").into_iter().collect::<Vec<_>>();
    let next = Path::new("node_modules/next/package.json");
    let asks = artifact.entries.iter().filter(|entry| own.contains(&entry.dest) || entry.dest.ends_with(next));
    asks.filter_map(|entry| {
        let EntryKind::File { source, .. } = &entry.kind else { return None };
        let about: serde_json::Value = serde_json::from_slice(&source.read().ok()?).ok()?;
        let range = about.get("engines")?.get("node")?.as_str()?.to_owned();
        Some(Engine { file: entry.dest.to_string_lossy().into_owned(), range })
    })
    .collect()
}

/// Files in which a project names its node.
pub(super) const PINS: [&str; 2] = [".nvmrc", ".node-version"];

/// The major version that the project's own `.nvmrc` or `.node-version` names, and the file.
pub fn pinned(root: &Path) -> Option<(&'static str, u32)> {
    PINS.into_iter().find_map(|name| {
        let text = std::fs::read_to_string(root.join(name)).ok()?;
        Some((name, major(text.trim())?))
    })
}

/// The first number of a version such as `v20.20.2`.
pub fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

type Version = [u64; 3];

/// Whether `version` is in `range`; true where either can't be read.
pub fn satisfies(version: &str, range: &str) -> bool {
    let Some((version, 3)) = numbers(version) else { return true };
    let mut understood = false;
    for set in range.split("||") {
        match comparators(set) {
            Some(all) if all.iter().all(|(from, to)| version >= *from && version < *to) => return true,
            Some(_) => understood = true,
            None => return true,
        }
    }
    !understood
}

const END: Version = [u64::MAX; 3];

/// The bounds that a set of comparators asks for: from the first, up to and without the second.
fn comparators(set: &str) -> Option<Vec<(Version, Version)>> {
    if let Some((low, high)) = set.split_once(" - ") {
        let ((low, _), (high, parts)) = (numbers(low.trim())?, numbers(high.trim())?);
        return Some(vec![(low, after(high, parts))]);
    }
    // An operator may stand apart from its version.
    let mut joined = String::new();
    for word in set.split_whitespace() {
        joined.push_str(word);
        if !word.ends_with(['<', '>', '=', '^', '~']) {
            joined.push(' ');
        }
    }
    joined.split_whitespace().map(comparator).collect()
}

fn comparator(word: &str) -> Option<(Version, Version)> {
    let version = word.trim_start_matches(['<', '>', '=', '^', '~']);
    let operator = &word[..word.len() - version.len()];
    let (at, parts) = numbers(version)?;
    Some(match operator {
        ">=" => (at, END),
        ">" => (after(at, parts), END),
        "<" => ([0; 3], at),
        "<=" => ([0; 3], after(at, parts)),
        "" | "=" => (at, after(at, parts)),
        "~" => (at, after(at, parts.min(2))),
        "^" => (at, after(at, if at[0] > 0 || parts < 2 { parts.min(1) } else { 2 })),
        _ => return None,
    })
}

/// A version and how many of its parts are given: `20`, `20.x`, `*`.
fn numbers(text: &str) -> Option<(Version, usize)> {
    let text = text.trim_start_matches('v');
    let text = text.split(['-', '+']).next()?;
    let mut version = [0; 3];
    let mut given = 0;
    for part in text.split('.').take_while(|part| !matches!(*part, "x" | "X" | "*" | "")) {
        *version.get_mut(given)? = part.parse().ok()?;
        given += 1;
    }
    Some((version, given))
}

/// The first version that is no longer `at`, of which `parts` parts are given.
fn after(at: Version, parts: usize) -> Version {
    match parts {
        0 => END,
        1 => [at[0] + 1, 0, 0],
        2 => [at[0], at[1] + 1, 0],
        _ => [at[0], at[1], at[2] + 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_npm_means_it() {
        for (range, inside, outside) in [
            (">=20", "v20.0.0", "v18.20.4"),
            (">= 18.18.0", "v18.18.0", "v18.17.9"),
            ("^18.18.0 || ^19.8.0 || >= 20.0.0", "v21.1.0", "v19.7.0"),
            ("^18.18.0 || ^19.8.0 || >= 20.0.0", "v18.19.0", "v18.17.0"),
            ("20.x", "v20.20.2", "v21.0.0"),
            ("22", "v22.1.0", "v20.1.0"),
            ("~20.9", "v20.9.5", "v20.10.0"),
            ("^20.9.0", "v20.20.2", "v21.0.0"),
            (">=18 <21", "v20.1.0", "v21.0.0"),
            (">18", "v19.0.0", "v18.5.0"),
            ("18 - 20", "v20.5.0", "v21.0.0"),
            ("<=20", "v20.5.0", "v21.0.0"),
            ("20.9.0", "v20.9.0", "v20.9.1"),
        ] {
            assert!(satisfies(inside, range), "{inside} in {range}");
            assert!(!satisfies(outside, range), "{outside} not in {range}");
        }
        for range in ["*", "", "lts/iron", "latest", ">=", "x"] {
            assert!(satisfies("v20.1.0", range), "{range}");
        }
    }

    #[test]
    fn the_file_that_pins_a_version_is_read_where_it_names_a_number() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pinned(folder.path()), None);
        std::fs::write(folder.path().join(".node-version"), "v22.3.0\n").unwrap();
        assert_eq!(pinned(folder.path()), Some((".node-version", 22)));
        std::fs::write(folder.path().join(".nvmrc"), "lts/iron\n").unwrap();
        assert_eq!(pinned(folder.path()), Some((".node-version", 22)), "a name tells no number");
    }
}
