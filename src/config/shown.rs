//! Every kind of mistake in a config file, as it is shown, held against `tests/golden/config-errors.txt`.
//! `UPDATE_GOLDEN=1` rewrites it.

#![cfg(test)]

use super::*;
use crate::error::{Error, show_problems};

/// The least that a config with a service needs.
pub(super) const GOOD: &str = r#"app = "blog"

[build]
preset = "next"

[service.pm2]
port = 3000

[stages.production]
hosts = ["deploy@web1"]
path = "/srv/blog"
"#;

/// A title, and what is changed in `GOOD`: text, and what stands there instead.
const CASES: &[(&str, &[(&str, &str)])] = &[
    ("a typo in a key", &[("port =", "prot =")]),
    ("a typo in a table", &[("[service.pm2]", "[servce.pm2]")]),
    ("a key in another table's place", &[("preset =", "port = 3000\npreset =")]),
    ("a typo in default_stage", &[("app =", "default_stage = \"prodcution\"\napp =")]),
    ("a typo in a word", &[("\"next\"", "\"nest\"")]),
    ("a wrong type", &[("3000", "\"3000\""), ("[\"deploy@web1\"]", "\"deploy@web1\"")]),
    ("a table where a value belongs, and a value where a table does", &[("port = 3000", "port = {}\nenv = \"A\"")]),
    ("an unset variable", &[("/srv/blog", "/srv/${FOLDER}")]),
    ("a service that is not known", &[("[service.pm2]", "[service.systemd]")]),
    ("two services", &[("[stages", "[service.command]\nstart = \"up\"\nrevert = \"up\"\n\n[stages")]),
    ("a command service without its way back", &[("[service.pm2]", "[service.command]\nstart = \"up\"")]),
    (
        "two stages with one app name on one host",
        &[
            ("app", "default_stage = \"staging\"\napp"),
            (
                "path = \"/srv/blog\"",
                "path = \"/srv/blog\"\n\n[stages.staging]\nhosts = [\"deploy@web1\"]\npath = \"/srv/staging\"",
            ),
        ],
    ),
    (
        "two stages with one path on one host",
        &[
            ("app", "default_stage = \"staging\"\napp"),
            (
                "path = \"/srv/blog\"",
                "path = \"/srv/blog\"\n\n[stages.staging]\napp = \"next\"\nhosts = [\"web2\", { address = \"deploy@web1\" }]\npath = \"/srv/blog/\"",
            ),
        ],
    ),
    ("nothing there", &[(GOOD, "")]),
    ("not TOML", &[("[build]", "[build"), ("3000", "")]),
    ("a key twice", &[("path =", "hosts = []\npath =")]),
    (
        "a line that is long",
        &[(
            "[\"deploy@web1\"]",
            "[\"deploy@web1\", \"deploy@web2\", \"deploy@web3\", \"deploy@web4\", \"deploy@web5\", \"web 6\", \"deploy@web7\", \"deploy@web8\", \"deploy@web9\"]",
        )],
    ),
    (
        "many at once",
        &[
            ("app = \"blog\"", "ap = \"blog\""),
            ("port = 3000", "port = 70000\ninstances = \"all\"\nkill_timeout = 8"),
            ("path = \"/srv/blog\"", "path = \"~/blog\"\nask = \"no\""),
        ],
    ),
];

fn shown(changes: &[(&str, &str)], color: bool) -> String {
    let text = changes.iter().fold(GOOD.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old} is in the file");
        text.replacen(old, new, 1)
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    std::fs::write(&file, text).unwrap();
    match Config::load(&file, None, &|_| None) {
        Err(Error::Config { problems, .. }) => show_problems(FILE.as_ref(), &problems, color),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_mistake_is_underlined_where_it_stands() {
    let all: Vec<String> =
        CASES.iter().map(|(title, changes)| format!("## {title}\n\n{}\n", shown(changes, false))).collect();
    let text = all.join("\n");
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config-errors.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == expected, "{} differs; UPDATE_GOLDEN=1 rewrites it. Now:\n{text}", file.display());
}

#[test]
fn colours_only_repeat_what_the_words_say() {
    let colored = shown(CASES[0].1, true);
    assert!(colored.contains("\u{1b}[1;31m^^^^\u{1b}[0m"), "{colored:?}");
    let bare: String = colored
        .split('\u{1b}')
        .enumerate()
        .map(|(n, part)| part.split_once('m').filter(|_| n > 0).map_or(part, |(_, rest)| rest))
        .collect();
    assert_eq!(bare, shown(CASES[0].1, false));
}

#[test]
fn a_secret_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    std::fs::write(&file, format!("secrets = [\"KEY\"]\n{}", GOOD.replace("\"next\"", "\"${KEY}\""))).unwrap();
    let error = Config::load(&file, None, &|name| (name == "KEY").then(|| "correct horse".into())).unwrap_err();
    assert!(error.to_string().contains("is \"***\"") && !error.to_string().contains("correct"), "{error}");
}
