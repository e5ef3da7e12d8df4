//! A project's files as `init` reads them: `package.json`, sources without their comments, the folder's own name.
//! Reads only; what can't be read counts as absent, since nothing here is required.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Longer files are no configs and no entry points that anybody wrote by hand.
const LONGEST: u64 = 1 << 20;

/// The parts of a `package.json` that say how a project is built and started.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Package {
    pub(super) name: Option<String>,
    pub(super) main: Option<String>,
    pub(super) package_manager: Option<String>,
    pub(super) scripts: BTreeMap<String, String>,
    pub(super) dependencies: BTreeMap<String, String>,
    pub(super) dev_dependencies: BTreeMap<String, String>,
    workspaces: Option<Workspaces>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Workspaces {
    List(Vec<String>),
    Table { packages: Vec<String> },
}

impl Package {
    /// The one in `folder`. A file that is no JSON is a mistake to be told: it would look like an empty folder.
    pub(super) fn read(folder: &Path) -> Result<Option<Package>, String> {
        let Some(text) = read(&folder.join("package.json")) else { return Ok(None) };
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map(Some).map_err(|error| error.to_string())
    }

    /// Whether it needs `name`, at run time or to be built.
    pub(super) fn needs(&self, name: &str) -> bool {
        self.dependencies.contains_key(name) || self.dev_dependencies.contains_key(name)
    }

    /// The globs of its workspace; none where it is none.
    pub(super) fn workspaces(&self) -> &[String] {
        match &self.workspaces {
            Some(Workspaces::List(globs) | Workspaces::Table { packages: globs }) => globs,
            None => &[],
        }
    }

    /// Its name without the scope.
    pub(super) fn short_name(&self) -> Option<&str> {
        self.name.as_deref()?.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

/// The file's text.
pub(super) fn read(file: &Path) -> Option<String> {
    let meta = fs::metadata(file).ok()?;
    (meta.is_file() && meta.len() <= LONGEST).then(|| fs::read_to_string(file).ok()).flatten()
}

/// The first of `names` that is a file in `folder`.
pub(super) fn first(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// `stem` with each ending that a script may have.
pub(super) fn script(folder: &Path, stem: &str) -> Option<PathBuf> {
    let endings = ["ts", "js", "mjs", "cjs", "mts", "tsx", "jsx"];
    endings.iter().map(|ending| folder.join(format!("{stem}.{ending}"))).find(|file| file.is_file())
}

/// JavaScript without its comments. Knows strings, so that `https://` in one is none; knows no regular expressions.
pub(super) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                out.push(c);
                out.extend(chars.next());
                continue;
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '/') if chars.peek() == Some(&'/') => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            (None, '/') if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                chars.next();
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
                continue;
            }
            (None, _) => {}
        }
        out.push(c);
    }
    out
}

/// The text that `name` is set to, as `name: 'text'`, in code without comments.
pub(super) fn setting(code: &str, name: &str) -> Option<String> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    code.match_indices(name).find_map(|(at, _)| {
        if code[..at].ends_with(part) {
            return None;
        }
        let rest = code[at + name.len()..].trim_start_matches(['\'', '"']).trim_start();
        let rest = rest.strip_prefix(':')?.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
        rest[1..].split(quote).next().filter(|text| !text.contains("${")).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_past_comments_and_longer_names() {
        let text = "/* output: 'export' */ const a = { // output: 'export'\n url: 'https://x/*',\n myoutput: 'no', output : \"standalone\" }";
        assert_eq!(setting(&code(text), "output").as_deref(), Some("standalone"));
        assert_eq!(setting(&code("{ output: process.env.X }"), "output"), None);
        assert_eq!(setting(&code("{ 'output': `${x}` }"), "output"), None);
        assert_eq!(setting(&code("{ 'output': 'export' }"), "output").as_deref(), Some("export"));
    }
}
