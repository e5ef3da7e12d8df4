//! The rules of the house, held against the files themselves: layers, sizes, headers, words that don't belong,
//! and shell that every shell can read. Each rule lists all of its breaches at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use walkdir::WalkDir;

/// No file is longer.
const LONGEST: usize = 500;

/// What is not ours or was made by a tool.
const FOREIGN: [&str; 4] = ["target", "node_modules", ".next", ".git"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` with one of these endings, as paths relative to the root, with their text.
fn files(folder: &str, endings: &[&str]) -> Vec<(PathBuf, String)> {
    let walk = WalkDir::new(root().join(folder)).sort_by_file_name().into_iter();
    let ours = walk.filter_entry(|entry| !FOREIGN.iter().any(|name| entry.file_name() == *name));
    ours.map(|entry| entry.expect("the tree is readable").into_path())
        .filter(|path| path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("our files are UTF-8");
            (path.strip_prefix(root()).expect("below it").to_owned(), text)
        })
        .collect()
}

#[track_caller]
fn none(rule: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

/// The part of a source file that ends up in the program: no comments, no item behind `#[cfg(test)]`, and nothing of a file
/// that says `#![cfg(test)]` of itself.
fn product_code(text: &str) -> String {
    if text.lines().any(|line| line == "#![cfg(test)]") {
        return String::new();
    }
    let mut code = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // rustfmt ends an item in the column in which it begins: where a line ends it, or a brace of its own.
            let ends = ["}", "};"].map(|end| line.replace("#[cfg(test)]", end));
            let first = lines.next().unwrap_or("");
            if !first.ends_with([';', '}']) {
                lines.by_ref().find(|line| ends.iter().any(|end| end == line));
            }
        } else if !line.trim_start().starts_with("//") {
            code.push(line);
        }
    }
    code.join("\n")
}

/// The top-level modules in the order of `src/lib.rs`, lowest layer first.
fn layers() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("the map");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.split(';').next());
    modules.map(str::to_owned).collect()
}

/// The names that follow `crate::`, also in a group.
fn used_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                        _ if depth == 0 => name.push(c),
                        _ => {}
                    }
                }
                names.push(name);
            }
            None => names.push(rest.chars().take_while(|c| is_name(*c)).collect()),
        }
    }
    let first = |name: &String| name.trim().split("::").next().unwrap_or("").trim().to_owned();
    names.iter().map(first).filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_use_only_layers_below_them() {
    let layers = layers();
    let place = |name: &str| layers.iter().position(|layer| layer == name);
    let mut breaches = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        let top = path.components().nth(1).expect("below src").as_os_str().to_string_lossy().into_owned();
        let module = top.trim_end_matches(".rs");
        if module == "main" || module == "lib" {
            continue;
        }
        let Some(own) = place(module) else {
            breaches.push(format!("{} is no module of src/lib.rs", path.display()));
            continue;
        };
        for used in used_modules(&product_code(&text)) {
            if place(&used).is_some_and(|used| used > own) {
                breaches.push(format!("{}: {module} uses {used}, which is above it", path.display()));
            }
        }
    }
    assert!(layers.len() > 5, "the map is read: {layers:?}");
    none("a module may not use one that is listed after it in src/lib.rs", breaches);
}

#[test]
fn only_items_of_the_tests_are_passed_over() {
    let declared = "a\n#[cfg(test)]\nmod tests;\n// why\nb\n#[cfg(test)]\nuse x::{\n    y,\n};\n";
    let inside = "impl c {\n    #[cfg(test)]\n    fn d() {\n        {\n        }\n    }\n}\n";
    let text = format!("{declared}{inside}#[cfg(test)]\nmod more {{\n    e\n}}\nf\n");
    assert_eq!(product_code(&text), "a\nb\nimpl c {\n}\nf");
    assert_eq!(product_code("//! Of the tests.\n\n#![cfg(test)]\n\nfn a() {}\n"), "");
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut breaches = Vec::new();
    let mut all = files("src", &["rs", "sh", "cjs"]);
    all.extend(files("action", &["sh"]));
    for folder in ["tests", "benches"] {
        all.extend(files(folder, &["rs", "sh", "cjs", "mjs", "js"]));
    }
    for (path, text) in &all {
        let lines = text.lines().count();
        if lines > LONGEST {
            breaches.push(format!("{}: {lines} lines", path.display()));
        }
        let header = match path.extension().and_then(|e| e.to_str()) {
            Some("rs") => "//! ",
            Some("sh") => "# ",
            _ => "// ",
        };
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or("");
        if !first.starts_with(header) {
            breaches.push(format!("{}: does not begin with a `{}` comment", path.display(), header.trim()));
        }
    }
    assert!(all.len() > 20, "files are found");
    none(&format!("at most {LONGEST} lines, and a header"), breaches);
}

#[test]
fn no_word_of_unfinished_work() {
    // In pieces, so that this file does not hold them.
    let words = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["HA", "CK"]].map(|halves| halves.concat());
    let calls = ["dbg", "todo", "unimplemented"].map(|name| format!("{name}!("));
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut breaches = Vec::new();
    let endings = ["rs", "sh", "cjs", "mjs", "js", "toml", "md"];
    let mut all = files("src", &endings);
    for folder in
        ["tests", "benches", "examples", "templates"].into_iter().filter(|folder| root().join(folder).is_dir())
    {
        all.extend(files(folder, &endings));
    }
    for (path, text) in all {
        for (n, line) in text.lines().enumerate() {
            let found = line.split(|c| !is_word(c)).any(|word| words.iter().any(|bad| bad == word));
            if found || calls.iter().any(|call| line.contains(call.as_str())) {
                breaches.push(format!("{}:{}: {}", path.display(), n + 1, line.trim()));
            }
        }
    }
    none("unfinished work belongs in an issue", breaches);
}

#[test]
fn the_program_does_not_panic_on_purpose() {
    let unwraps = |line: &str| [".unwrap()", "::unwrap)"].iter().any(|call| line.contains(call));
    none("`unwrap` in the program", lines_of_product(|_, line| unwraps(line)));
}

#[test]
fn only_the_top_layers_print() {
    let allowed = ["src/main.rs", "src/report", "src/command"];
    let printing = |path: &Path, line: &str| {
        !allowed.iter().any(|prefix| path.starts_with(prefix))
            && ["println!", "eprintln!", "print!(", "eprint!("].iter().any(|call| line.contains(call))
    };
    none("output belongs to main.rs, report/ and command/", lines_of_product(printing));
}

#[test]
fn shell_is_written_in_sh_files() {
    // The bootstrap that every channel runs, and the user's own build command.
    let allowed = |path: &Path| path.starts_with("src/transport") || path == Path::new("src/engine/here.rs");
    let glue = ["\"sh\"", "\"bash\"", "sh -c", "\"-c\"", "set -e", "/bin/sh"];
    let shell = |path: &Path, line: &str| !allowed(path) && glue.iter().any(|text| line.contains(text));
    none("shell text in Rust", lines_of_product(shell));
}

fn lines_of_product(breach: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        for line in product_code(&text).lines().filter(|line| breach(&path, line)) {
            found.push(format!("{}: {}", path.display(), line.trim()));
        }
    }
    found
}

/// What runs on hosts, and in a GitHub job before the program does.
fn scripts() -> Vec<(PathBuf, String)> {
    let mut all = files("src", &["sh"]);
    all.extend(files("action", &["sh"]));
    all
}

#[test]
fn every_shell_can_read_the_host_scripts() {
    let shells: [&[&str]; 3] = [&["dash", "-n"], &["bash", "--posix", "-n"], &["busybox", "sh", "-n"]];
    let mut breaches = Vec::new();
    let scripts = scripts();
    assert!(!scripts.is_empty(), "there are scripts");
    for (path, _) in &scripts {
        for shell in shells {
            let output = Command::new(shell[0]).args(&shell[1..]).arg(root().join(path)).stdin(Stdio::null()).output();
            let output = output.unwrap_or_else(|error| panic!("{}: {error}: use tests/run", shell[0]));
            if !output.status.success() {
                breaches.push(format!("{}: {}", shell[0], String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
    }
    none("scripts that a shell can't parse", breaches);
}

#[test]
fn shellcheck_finds_nothing_in_the_host_scripts() {
    let mut command = Command::new("shellcheck");
    command.args(["-s", "sh", "-f", "gcc"]).current_dir(root());
    command.args(scripts().into_iter().map(|(path, _)| path));
    let output = command.output().expect("tests/run installs shellcheck");
    let found = String::from_utf8_lossy(&output.stdout);
    none("shellcheck -s sh", found.lines().map(str::to_owned).collect());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn exceptions_from_shellcheck_are_named_one_by_one() {
    let blanket = |line: &str| line.contains("shellcheck disable=all") || line.contains("shellcheck source=/dev/null");
    let breaches = scripts().into_iter().filter(|(_, text)| text.lines().any(blanket));
    none("a blanket exception", breaches.map(|(path, _)| path.display().to_string()).collect());
}

#[test]
fn the_test_command_names_every_suite() {
    let run = fs::read_to_string(root().join("tests/run")).expect("the test command");
    let entries = fs::read_dir(root().join("tests")).expect("the suites");
    let names = entries.map(|entry| entry.expect("readable").path()).filter_map(|path| {
        let suite = path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists();
        suite.then(|| path.file_stem().expect("it has a name").to_string_lossy().into_owned())
    });
    let missing =
        names.filter(|name| !run.split_whitespace().collect::<Vec<_>>().windows(2).any(|w| w == ["--test", name]));
    none("suites that tests/run leaves out", missing.collect());
}
