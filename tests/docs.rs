//! README and CONTRIBUTING against the program: exit codes, config keys, the plan, paths. Judges facts, not prose.
#![allow(clippy::unwrap_used)]

/// The matrix is data: the suite plays it, README shows it.
#[allow(dead_code, unused_imports)]
#[path = "faults/matrix/mod.rs"]
mod matrix;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// What `shipit` prints, in `folder`.
fn shipit(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_shipit")).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The first two cells of each row of the table whose head begins with `head`.
fn table(text: &str, head: &str) -> Vec<(String, String)> {
    let rows = text.lines().skip_while(|line| !line.starts_with(&format!("| {head} |"))).skip(2);
    let rows = rows.map_while(|line| line.strip_prefix("| "));
    let cells = |row: &str| {
        let mut cells = row.split(" | ").map(|cell| cell.trim_end_matches(" |").to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    };
    rows.map(cells).collect()
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = shipit(Path::new("."), &["--help"]);
    let lines = help.lines().skip_while(|line| !line.starts_with("Exit codes")).skip(1);
    let codes: Vec<(String, String)> = lines
        .map_while(|line| line.strip_prefix("  ")?.split_once(' '))
        .map(|(code, meaning)| (code.to_owned(), meaning.trim().to_owned()))
        .collect();
    assert!(codes.len() > 5, "{help}");
    assert_eq!(table(&read("README.md"), "Code"), codes);
}

#[test]
fn every_config_key_has_its_row_and_no_other_has_one() {
    let source = read("src/config/keys.rs");
    let list = source.split("KEYS: &[&str] = &[").nth(1).unwrap().split("];").next().unwrap();
    let keys: Vec<String> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .map(|key| key.replace("stages.*.", "stages.NAME.").replace("[]", "").trim_end_matches(".*").to_owned())
        .collect();
    let cells = table(&read("README.md"), "Key");
    let rows: BTreeSet<&str> =
        cells.iter().flat_map(|(names, _)| names.split(", ")).map(|name| name.trim_matches('`')).collect();
    assert!(keys.len() > 40 && rows.len() > 40, "both lists are read");
    // A row may stand for the keys of a small inline table, as `health.expect` does.
    let stands_for = |row: &str, key: &str| key.strip_prefix(row).is_some_and(|rest| rest.starts_with('.'));
    for key in &keys {
        assert!(
            rows.contains(key.as_str()) || rows.iter().any(|row| stands_for(row, key)),
            "README has no row for {key}"
        );
    }
    for row in &rows {
        assert!(keys.iter().any(|key| key == *row || stands_for(row, key)), "{row} in README is no key");
    }
}

#[test]
fn the_plan_in_the_readme_is_the_one_that_its_config_has() {
    let readme = read("README.md");
    let config = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("deploy.toml"), config).unwrap();
    let plan = shipit(folder.path(), &["deploy", "production", "--dry-run", "--offline"]);
    let here = folder.path().canonicalize().unwrap();
    let plan = plan.replace(here.to_str().unwrap(), "/home/ann/blog");
    let shown = readme.split("```\n").find(|block| block.contains("\n 1  connect ")).expect("the plan is shown");
    assert_eq!(shown, plan);
}

#[test]
fn the_table_of_faults_is_that_of_the_matrix() {
    let readme = read("README.md");
    let shown = readme.split("<!-- faults -->\n").nth(1).and_then(|rest| rest.split("<!-- /faults -->").next());
    assert_eq!(shown, Some(matrix::table().as_str()), "tests/run faults --table prints it");
}

#[test]
fn every_path_that_is_named_exists() {
    let mut missing = Vec::new();
    let mut count = 0;
    for file in ["README.md", "CONTRIBUTING.md"] {
        let text = read(file);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
        let ends = |c: char| c.is_whitespace() || "`()[],:;|".contains(c);
        let inside = |word: &&str| ["src/", "tests/", "examples/", ".ci/"].iter().any(|top| word.starts_with(top));
        let words = text.split(ends).filter(inside).map(|word| word.trim_end_matches('.'));
        for path in links.chain(words) {
            count += 1;
            if !Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists() {
                missing.push(format!("{file}: {path}"));
            }
        }
    }
    assert!(count > 40, "paths are found");
    assert!(missing.is_empty(), "{missing:#?}");
}
