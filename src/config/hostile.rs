//! Config files as accidents and ill will make them: each is read or refused in sentences, and none drives the terminal.
//! Generated; a failure prints its smallest case.

#![cfg(test)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Config, duration, values};
use crate::error::Error;
use crate::secret::Mask;

/// What a file is changed by: keys, tables, values of every kind, and what TOML or a terminal gives a meaning.
const PIECES: [&str; 34] = [
    "[service.pm2]\n",
    "[service.command]\n",
    "[health]\n",
    "[[hosts]]\n",
    "[stages.\"\u{1b}[2J\"]\n",
    "app = \"\"\n",
    "secrets = [\"A\"]\n",
    "hosts = [\"-oProxyCommand=x\"]\n",
    "hosts = [{ address = \"u@h\", name = \"\\u001b[2J\" }]\n",
    "path = \"/../x\"\n",
    "port = 99999999999999999999\n",
    "port = -1\n",
    "within = \"18446744073709551615h\"\n",
    "env = { \"A B\" = \"x\" }\n",
    "\"\\u0000\"",
    "${A}",
    "${",
    "${B:-",
    "$$",
    "=",
    "\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "\\",
    "\u{1b}",
    "\u{202e}",
    "\u{7f}",
    "ü",
    "\r\n",
    "#",
];

const GOOD: &str = r#"app = "blog"
secrets = ["SA_KEY"]
[build]
preset = "node"
env = { KEY = "${SA_KEY}" }
[service.pm2]
port = 3000
instances = 2
[health]
path = "/health"
within = "30s"
headers = { Host = "blog" }
[shared]
dirs = ["uploads"]
[hooks]
before_switch = [{ run = "true", on = "first", timeout = "2m" }]
[stages.production]
hosts = ["deploy@web1", { address = "deploy@web2", name = "b" }]
path = "/srv/blog"
"#;

fn env(name: &str) -> Option<String> {
    match name {
        "SA_KEY" => Some("correct-horse\u{1b}[2J".into()),
        "A" => Some("\u{1b}]0;t\u{7}".into()),
        _ => None,
    }
}

fn drives(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || crate::text::turns(c))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_read_or_refused_in_sentences(
        changes in vec((any::<Index>(), select(&PIECES[..]), 0..12usize), 1..5),
        colour in any::<bool>(),
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        for (at, piece, cut) in changes {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deploy.toml");
        std::fs::write(&file, text.iter().collect::<String>()).unwrap();
        match Config::load(&file, None, &env) {
            Ok(config) => {
                prop_assert!(config.hosts.iter().all(|host| !host.name.is_empty()));
                let climbs = |path: &String| path.split('/').any(|part| part == "..");
                prop_assert!(!config.shared.dirs.iter().chain(&config.shared.files).any(climbs));
                prop_assert!(config.health.longest() <= std::time::Duration::from_secs(3600));
            }
            Err(error) => {
                let said = match &error {
                    Error::Config { file, problems } => {
                        // Colours are the program's own.
                        let shown = crate::error::show_problems(file, problems, colour);
                        ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[1;31m", "\u{1b}[33m", "\u{1b}[32m"]
                            .iter()
                            .fold(shown, |text, code| text.replace(code, ""))
                    }
                    other => other.to_string(),
                };
                prop_assert!(!drives(&(said.clone() + &error.hint())), "{said:?}");
                prop_assert!(!said.contains("correct-horse"), "{said:?}");
            }
        }
    }

    #[test]
    fn values_are_judged_and_never_panic(text in vec(select(&PIECES[..]), 0..6).prop_map(|pieces| pieces.concat())) {
        let _ = (duration(&text), values::address(&text), values::inside(&text), values::percent(&text));
        if let Ok(path) = values::inside(&text) {
            prop_assert!(!path.split('/').any(|part| part == ".."));
        }
        if let Err((what, hint)) = values::expand(&text, &env) {
            prop_assert!(!drives(&(what + &hint)));
        }
    }

    #[test]
    fn no_value_stays_in_a_masked_text(
        values in vec("[a-c*\u{2026}]{8,14}", 1..4),
        around in vec("[a-c* \u{2026}]{0,6}", 5),
        at in any::<Index>(),
    ) {
        let mask = Mask::new(values.clone());
        let text: String =
            around.iter().enumerate().map(|(n, piece)| format!("{piece}{}", values.get(n).map_or("", |v| v))).collect();
        let masked = mask.apply(&text);
        for value in &values {
            // What stars leave may look like a value of stars alone.
            prop_assert!(!masked.contains(value.as_str()) || value.contains("***"), "{text:?} {masked:?}");
        }
        // Wherever a line is cut, no more than two characters of a value are left at its end.
        let line = format!("{}{}", "-".repeat(20), values[0]);
        let cut = 21 + at.index(values[0].chars().count() - 1);
        let cut = mask.apply(&crate::text::clean(&line, cut));
        let left = cut.trim_end_matches('\u{2026}').trim_start_matches('-').replace("***", "");
        prop_assert!(left.chars().count() <= 2 || values[0].contains(['*', '\u{2026}']), "{cut:?}");
    }
}
