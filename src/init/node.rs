//! A plain Node app: which file its start script runs, which port that file listens on, where it tells its health.
//! Looks at the entry's text for what it can't be asked; a guess that may be wrong is told as such.

use std::path::Path;

use super::files::{Package, code, first, read};
use super::shape::{Built, Runs, Shape, lacks};

/// Scripts that start a server, those made for production first.
const STARTS: [&str; 4] = ["start:prod", "start:production", "serve:prod", "start"];
/// What entries are called where nothing says it.
const USUAL: [&str; 8] =
    ["server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs", "src/index.js", "src/server.js"];

/// An app whose start script runs a file.
pub(super) fn started(folder: &Path, package: &Package) -> Option<Shape> {
    let entry = STARTS.iter().find_map(|name| entry(package.scripts.get(*name)?))?;
    Some(shape(folder, package, &entry))
}

/// An app that only `main`, or the name of a file, shows to be one.
pub(super) fn unsaid(folder: &Path, package: &Package) -> Option<Shape> {
    let main = package.main.as_deref().filter(|main| folder.join(main).is_file());
    let usual = || USUAL.into_iter().find(|name| folder.join(name).is_file());
    let entry = main.or_else(usual)?;
    // A library has an entry as well; a server listens.
    let listens = read(&folder.join(entry)).is_some_and(|text| code(&text).contains("listen"));
    listens.then(|| shape(folder, package, entry.trim_start_matches("./")))
}

/// The file in `NODE_ENV=production node --flag FILE`.
fn entry(command: &str) -> Option<String> {
    let last = command.rsplit("&&").next().unwrap_or_default();
    let mut words = last.split_whitespace().skip_while(|word| word.contains('=') || *word == "cross-env");
    if words.next()? != "node" {
        return None;
    }
    let file = words.find(|word| !word.starts_with('-'))?.trim_start_matches("./").trim_matches(['"', '\'']);
    let named =
        Path::new(file).extension().is_some_and(|ending| ["js", "mjs", "cjs"].iter().any(|known| ending == *known));
    Some(if named { file.to_owned() } else { format!("{file}.js") })
}

fn shape(folder: &Path, package: &Package, entry: &str) -> Shape {
    let source = source(folder, entry);
    let mut missing = Vec::new();
    if let Some(text) = &source
        && !text.contains("PORT")
    {
        missing.push(lacks(
            format!("{entry} does not seem to read process.env.PORT, by which it is told where to listen"),
            "let it listen on process.env.PORT; the boot test starts each release on a spare port first",
        ));
    }
    let source = source.unwrap_or_default();
    let health = super::next::ROUTES.into_iter().map(|route| format!("/{route}"));
    let health =
        health.into_iter().find(|path| ['\'', '"', '`'].iter().any(|q| source.contains(&format!("{q}{path}{q}"))));
    if health.is_none() {
        missing.push(lacks(
            "no health route was found: a deploy would look at the processes only",
            "answer 200 at a path such as /health and name it as health.path",
        ));
    }
    let built = if package.scripts.contains_key("build") || !package.dependencies.is_empty() {
        Built::Lean
    } else {
        Built::Not
    };
    Shape {
        what: format!("Node, {entry}"),
        preset: "node",
        exclude: vec!["deploy.toml", ".github", ".gitignore"],
        built,
        runs: Some(Runs {
            script: Some(entry.to_owned()),
            port: port(&source).unwrap_or(3000),
            instances: 1,
            max_memory: None,
        }),
        health,
        missing,
        ..Shape::default()
    }
}

/// The entry's text; of a compiled one, that of its TypeScript source.
fn source(folder: &Path, entry: &str) -> Option<String> {
    let stem = entry.rsplit_once('.').map_or(entry, |(stem, _)| stem);
    let inner = stem.split_once('/').map_or(stem, |(_, inner)| inner);
    let candidates = [entry.to_owned(), format!("src/{inner}.ts"), format!("{inner}.ts"), format!("{stem}.ts")];
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    first(folder, &names).and_then(|file| read(&file)).map(|text| code(&text))
}

/// The number in `process.env.PORT || 8080`.
fn port(source: &str) -> Option<u16> {
    source.match_indices("PORT").find_map(|(at, found)| {
        let rest = source[at + found.len()..].trim_start_matches([')', ' ', ']', '\'', '"', ',']);
        let rest = rest.strip_prefix("||").or_else(|| rest.strip_prefix("??")).unwrap_or(rest);
        let digits: String =
            rest.trim_start_matches([' ', '\'', '"']).chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|port| *port >= 80)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_start_script_is_found() {
        let found = |command: &str| entry(command);
        assert_eq!(found("node server.js").as_deref(), Some("server.js"));
        assert_eq!(found("NODE_ENV=production node --enable-source-maps ./dist/main").as_deref(), Some("dist/main.js"));
        assert_eq!(found("npm run migrate && cross-env A=b node \"index.mjs\"").as_deref(), Some("index.mjs"));
        for other in ["next start", "nest start", "tsx src/index.ts", "vite preview", "node"] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn the_port_stands_beside_its_variable() {
        assert_eq!(port("listen(process.env.PORT || 8080)"), Some(8080));
        assert_eq!(port("Number(process.env.PORT) ?? 4000"), Some(4000));
        assert_eq!(port("const PORT = process.env['PORT'] || '5000'"), Some(5000));
        assert_eq!(port("listen(process.env.PORT)"), None);
    }
}
