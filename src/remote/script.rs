//! A script for a host: sh files joined together, after lines that set its variables. The only place that
//! quotes a value for a shell, and the only thing a transport can run.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};

/// The most a script may measure as it travels: an old `dd` reads it byte by byte on the host.
pub const LARGEST: usize = 64 * 1024;

/// What runs on a host. Values reach it only as `NAME='quoted'` lines, never through a command line.
#[derive(Clone, Debug)]
pub struct Script {
    name: &'static str,
    parts: Vec<&'static str>,
    vars: Vec<(&'static str, String)>,
}

impl Script {
    /// A script called `name` in errors, made of `parts` in this order.
    pub fn new(name: &'static str, parts: &[&'static str]) -> Script {
        Script { name, parts: parts.to_vec(), vars: Vec::new() }
    }

    /// Sets one variable; `name` is a shell identifier.
    pub fn var(mut self, name: &'static str, value: impl Into<String>) -> Script {
        self.vars.push((name, value.into()));
        self
    }

    /// The script as it travels: packed by gzip. Fails where a value holds a NUL or the whole is over [`LARGEST`].
    pub fn packed(&self) -> Result<Vec<u8>> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(self.render()?.as_bytes()).expect("memory takes every write");
        let packed = gzip.finish().expect("memory takes every write");
        if packed.len() > LARGEST {
            return Err(Error::Usage {
                what: format!("the {} script would measure {} bytes, the most is {LARGEST}", self.name, packed.len()),
                hint: "shorten the lists in deploy.toml (env, shared, headers)".into(),
            });
        }
        Ok(packed)
    }

    /// Its text, without comments. Fails where a value holds a NUL.
    pub fn render(&self) -> Result<String> {
        let mut text = String::new();
        for (name, value) in &self.vars {
            text.push_str(name);
            text.push('=');
            text.push_str(&quote(value).ok_or_else(|| Error::Usage {
                what: format!("a value for {name} holds a NUL byte"),
                hint: "no file name, setting or variable can hold one".into(),
            })?);
            text.push('\n');
        }
        for part in &self.parts {
            for line in part.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
                text.push_str(line);
                text.push('\n');
            }
        }
        Ok(text)
    }
}

/// `value` as one shell word, exact in every POSIX shell; none where it holds a NUL.
fn quote(value: &str) -> Option<String> {
    (!value.contains('\0')).then(|| format!("'{}'", value.replace('\'', r"'\''")))
}

/// `NAME='quoted'` lines, as a script's variables travel, for a file that a host script reads in. A NUL, which no
/// shell's variable can hold, is left out.
pub fn assignments(vars: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| {
        quote(&value.replace('\0', "")).map(|quoted| format!("{name}={quoted}\n")).unwrap_or_default()
    };
    vars.iter().map(line).collect()
}

/// An environment as one value of a script: `NAME=VALUE` lines whose backslashes and newlines are escaped, as `line.sh`
/// reads them.
pub fn pairs<'a>(env: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let line = |(name, value): (&str, &str)| format!("{name}={}", value.replace('\\', "\\\\").replace('\n', "\\n"));
    env.into_iter().map(line).collect::<Vec<_>>().join("\n")
}
