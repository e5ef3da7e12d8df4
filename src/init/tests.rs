//! `init` on real-looking trees: what is found, and that what is written is a config that the loader takes.

#![cfg(test)]

use std::fs;
use std::path::Path;

use super::{Answers, Ecosystem, Project, Stage, Tool, apps, beside, deploy_toml, look};
use crate::config::{Config, Preset, Service};
use crate::error::Error;

/// A folder with these files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("my app").tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

#[track_caller]
fn found(files: &[(&str, &str)]) -> Project {
    look(tree(files).path(), "").unwrap()
}

fn answers() -> Answers {
    let hosts = vec!["deploy@web1".to_owned()];
    let stage = Stage { name: "production".into(), hosts, path: "/srv/blog".into(), ..Stage::default() };
    Answers { app: "blog".into(), stages: vec![stage], ..Answers::default() }
}

/// The config that the real loader makes of what is written.
#[track_caller]
fn config(project: &Project, answers: &Answers) -> Config {
    let text = deploy_toml(project, answers);
    let folder = tree(&[("deploy.toml", &text)]);
    Config::load(&folder.path().join("deploy.toml"), None, &|_| None).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const NEXT: &str =
    r#"{ "name": "@acme/blog", "scripts": { "build": "next build" }, "dependencies": { "next": "16.4.6" } }"#;
const STANDALONE: &str = "export default { output: 'standalone' };";

#[test]
fn next_with_all_that_it_needs() {
    let project = found(&[
        ("package.json", NEXT),
        ("package-lock.json", "{}"),
        (
            "next.config.ts",
            "import type { NextConfig } from 'next';\nconst c: NextConfig = { output: \"standalone\" };\nexport default c;",
        ),
        ("src/app/page.tsx", "export default function Page() { return null }"),
        ("src/app/api/healthz/route.ts", "export const GET = () => new Response()"),
    ]);
    assert_eq!((project.name.as_str(), project.shape.preset), ("blog", "next"));
    assert_eq!(project.command.as_deref(), Some("npm ci && npm run build"));
    assert!(project.shape.missing.is_empty(), "{:?}", project.shape.missing);
    let config = config(&project, &answers());
    assert_eq!(config.build.preset, Preset::Next);
    assert_eq!(config.health.path.as_deref(), Some("/api/healthz"));
    let Service::Pm2(pm2) = config.service else { panic!() };
    assert_eq!((pm2.port, pm2.instances, pm2.script), (Some(3000), Some(2), None));
}

#[test]
fn next_without_standalone_and_health_is_told() {
    let project = found(&[
        ("package.json", NEXT),
        ("next.config.mjs", "// output: 'standalone' one day\nexport default { basePath: '/docs' };"),
        ("pages/index.js", ""),
        ("tsconfig.json", "{}"),
    ]);
    let missing: Vec<&str> = project.shape.missing.iter().map(|finding| finding.what.as_str()).collect();
    assert!(missing.len() == 2 && missing[0].contains("output: 'standalone'") && missing[1].contains("health route"));
    assert!(project.shape.missing[0].cure.contains("next.config.mjs"));
    assert_eq!(project.command.as_deref(), Some("npm install && npm run build"));
    // The front page until there is a route; under the base path both.
    assert_eq!(project.shape.health.as_deref(), Some("/docs"));
    let route = project.shape.route.as_ref().unwrap();
    assert_eq!((route.file.as_str(), route.path.as_str()), ("pages/api/health.ts", "/docs/api/health"));
    let answers = answers();
    let file = beside(&project, &answers).route().unwrap();
    assert!(file.text.contains("NextApiRequest") && file.text.contains("//   try {"), "{}", file.text);
    assert!(!file.text.contains("#if") && !file.text.contains("#end"));
}

#[test]
fn a_front_page_that_may_redirect_is_not_asked() {
    let page = ("app/page.js", "import { redirect } from 'next/navigation';\nexport default () => redirect('/en');");
    assert_eq!(found(&[("package.json", NEXT), page]).shape.health, None);
    let quiet = ("app/page.js", "export default () => null;");
    assert_eq!(found(&[("package.json", NEXT), quiet]).shape.health.as_deref(), Some("/"));
    assert_eq!(found(&[("package.json", NEXT), quiet, ("middleware.ts", "")]).shape.health, None);
}

#[test]
fn a_next_export_is_a_static_site() {
    let project = found(&[("package.json", NEXT), ("next.config.js", "module.exports = { output: 'export' }")]);
    assert_eq!((project.shape.preset, project.shape.output.as_deref()), ("static", Some("out")));
    assert_eq!(config(&project, &answers()).service, Service::None);
}

#[test]
fn package_managers_by_field_and_lockfile() {
    let tool = |files: &[(&str, &str)]| {
        let mut all = vec![("next.config.js", STANDALONE)];
        all.extend(files);
        let project = found(&all);
        (project.manager.unwrap().tool, project.command.unwrap())
    };
    let pinned = NEXT.replacen('{', r#"{ "packageManager": "pnpm@10.1.0+sha512.ab","#, 1);
    assert_eq!(tool(&[("package.json", &pinned), ("yarn.lock", "")]).0, Tool::Pnpm);
    let (found, command) = tool(&[("package.json", NEXT), ("pnpm-lock.yaml", "")]);
    assert_eq!((found, command.as_str()), (Tool::Pnpm, "pnpm install --frozen-lockfile && pnpm run build"));
    let (found, command) = tool(&[("package.json", NEXT), ("yarn.lock", "# yarn lockfile v1\n")]);
    assert_eq!((found, command.as_str()), (Tool::Yarn, "yarn install --frozen-lockfile && yarn run build"));
    let (found, command) = tool(&[("package.json", NEXT), ("yarn.lock", "# x\n\n__metadata:\n  version: 8\n")]);
    assert_eq!((found, command.as_str()), (Tool::Berry, "yarn install --immutable && yarn run build"));
    let (found, command) = tool(&[("package.json", NEXT), ("bun.lock", "")]);
    assert_eq!((found, command.as_str()), (Tool::Bun, "bun install --frozen-lockfile && bun run build"));
    let scriptless = r#"{ "dependencies": { "next": "16" } }"#;
    assert_eq!(tool(&[("package.json", scriptless), ("package-lock.json", "")]).1, "npm ci && npx next build");
}

#[test]
fn the_apps_of_a_workspace() {
    let needs = r#"{ "name": "web", "scripts": { "build": "next build" }, "dependencies": { "next": "16", "words": "workspace:*" } }"#;
    let folder = tree(&[
        (".git/config", ""),
        ("package.json", r#"{ "name": "all", "private": true }"#),
        ("pnpm-workspace.yaml", "packages:\n  - 'apps/*'\n  - packages/*\n"),
        ("pnpm-lock.yaml", ""),
        ("apps/web/package.json", needs),
        ("apps/web/app/page.js", "export default 1"),
        ("packages/words/package.json", r#"{ "name": "words", "main": "index.js" }"#),
        ("packages/words/index.js", "export const word = 1;"),
    ]);
    assert_eq!(apps(folder.path()), ["apps/web"]);
    let project = look(folder.path(), "apps/web").unwrap();
    assert!(project.workspace);
    assert_eq!(project.command.as_deref(), Some("pnpm install --frozen-lockfile && pnpm --filter 'web...' run build"));
    assert!(deploy_toml(&project, &answers()).contains("root = \"apps/web\""));
    config(&project, &answers());

    // npm does not look for the lockfile above.
    let npm = tree(&[
        (".git/config", ""),
        ("package.json", r#"{ "workspaces": { "packages": ["apps/*"] } }"#),
        ("package-lock.json", "{}"),
        ("apps/a/package.json", NEXT),
        ("apps/b/package.json", NEXT),
    ]);
    assert_eq!(apps(npm.path()), ["apps/a", "apps/b"]);
    let project = look(npm.path(), "apps/b").unwrap();
    assert_eq!(project.command.as_deref(), Some("npm ci --prefix ../.. && npm run build"));
}

#[test]
fn astro_static_and_server() {
    let package = r#"{ "name": "site", "scripts": { "build": "astro build" }, "dependencies": { "astro": "5", "@astrojs/node": "9" } }"#;
    let site = found(&[("package.json", package), ("astro.config.mjs", "export default defineConfig({});")]);
    assert!(site.shape.runs.is_none());
    assert_eq!((site.shape.preset, site.shape.output.as_deref()), ("astro", None));
    let server =
        "export default defineConfig({ output: 'server', outDir: './build', adapter: node({ mode: 'standalone' }) });";
    let server = found(&[("package.json", package), ("astro.config.mjs", server), ("src/pages/index.astro", "<p/>")]);
    assert_eq!(server.shape.output.as_deref(), Some("build"));
    config(&server, &answers());
    assert_eq!(server.shape.health.as_deref(), Some("/"));
    assert!(server.shape.missing.is_empty());
    let middleware = "export default { adapter: node({ mode: 'middleware' }) }";
    let middleware = found(&[("package.json", package), ("astro.config.ts", middleware)]);
    assert!(middleware.shape.missing[0].what.contains("middleware"));
}

#[test]
fn plain_node() {
    let package = r#"{ "name": "api", "scripts": { "start": "node server.js" }, "dependencies": { "fastify": "5" } }"#;
    let server = "app.get('/health', ok); app.listen({ port: process.env.PORT || 8080 })";
    let project = found(&[("package.json", package), ("package-lock.json", "{}"), ("server.js", server)]);
    assert_eq!((project.shape.preset, project.command.as_deref()), ("node", Some("npm ci --omit=dev")));
    assert_eq!(project.shape.health.as_deref(), Some("/health"));
    assert_eq!(project.shape.runs.as_ref().unwrap().port, 8080);
    assert!(project.shape.missing.is_empty(), "{:?}", project.shape.missing);

    // Compiled: the entry is not there yet, and what only the build needs does not ship.
    let nest = r#"{ "scripts": { "build": "nest build", "start": "nest start", "start:prod": "node dist/main" },
        "dependencies": { "@nestjs/core": "11" } }"#;
    let nest = found(&[("package.json", nest), ("pnpm-lock.yaml", ""), ("src/main.ts", "app.listen(3000)")]);
    assert_eq!(nest.shape.runs.as_ref().unwrap().script.as_deref(), Some("dist/main.js"));
    assert_eq!(
        nest.command.as_deref(),
        Some("pnpm install --frozen-lockfile && pnpm run build && CI=true pnpm prune --prod")
    );
    assert!(nest.shape.missing[0].what.contains("process.env.PORT"), "{:?}", nest.shape.missing);
}

#[test]
fn sites() {
    let vite = r#"{ "scripts": { "build": "vite build" }, "devDependencies": { "vite": "7" } }"#;
    let vite = found(&[("package.json", vite), ("index.html", ""), ("yarn.lock", "")]);
    assert_eq!((vite.shape.preset, vite.shape.output.as_deref()), ("static", Some("dist")));
    let html = found(&[("index.html", ""), ("style.css", "")]);
    assert_eq!((html.shape.output.as_deref(), html.command), (Some("."), None));
    assert!(html.name.starts_with("my-app"), "a folder's name with a space: {}", html.name);
    let inner = found(&[("public/index.html", ""), ("README.md", "")]);
    assert_eq!(inner.shape.output.as_deref(), Some("public"));
    let project = inner;
    assert_eq!(config(&project, &answers()).build.preset, Preset::Static);
}

#[test]
fn what_is_no_app_is_refused_in_a_sentence() {
    let said = |files: &[(&str, &str)]| match look(tree(files).path(), "") {
        Err(Error::Usage { what, hint }) if !hint.is_empty() => what,
        other => panic!("{other:?}"),
    };
    assert!(said(&[]).contains("nothing to deploy"));
    assert!(said(&[("package.json", "{ broken")]).contains("can't be read"));
    assert!(
        said(&[("package.json", r#"{ "main": "index.js" }"#), ("index.js", "exports.a = 1")]).contains("nothing says")
    );
    assert!(look(Path::new("/nowhere"), "apps/web").is_err());
}

#[test]
fn odd_values_survive_the_loader() {
    let mut answers = answers();
    answers.app = "it's \"odd\" ${HOME} é".into();
    answers.stages[0].name = "staging.eu".into();
    answers.stages[0].path = "/srv/a $HOME b".into();
    answers.stages[0].identity = Some("/keys/a b".into());
    answers.env_file = true;
    let project = found(&[("index.html", "")]);
    let config = config(&project, &answers);
    assert_eq!((config.app, config.stage), (answers.app, "staging.eu".to_owned()));
    assert_eq!(config.path, "/srv/a $HOME b");
    assert_eq!(config.ssh.identity_file.as_deref(), Some("/keys/a b"));
}

#[test]
fn an_ecosystem_file_is_run_by_node() {
    let text = "console.log('noise'); const name = 'sh' + 'op';\nmodule.exports = { apps: [{ name, script: 'server.js' }],\n\
        deploy: { production: { user: 'node', host: ['h1', 'h2'], ref: 'origin/main', path: '/srv/shop' } } };";
    let folder = tree(&[("ecosystem.config.js", text)]);
    let found = Ecosystem::find(folder.path()).unwrap().unwrap();
    assert_eq!((found.name.as_deref(), found.stages.len()), (Some("shop"), 1));
    assert_eq!(found.stages[0].hosts, ["node@h1", "node@h2"]);
    let module = tree(&[("ecosystem.config.mjs", "export default { apps: [{ name: 'm', script: 'a.js' }] };")]);
    assert_eq!(Ecosystem::find(module.path()).unwrap().unwrap().name.as_deref(), Some("m"));
    let broken = tree(&[("ecosystem.config.cjs", "throw new Error('no DATABASE_URL');")]);
    assert!(Ecosystem::find(broken.path()).unwrap().unwrap_err().contains("no DATABASE_URL"));
    assert!(Ecosystem::find(tree(&[]).path()).is_none());
}

#[test]
fn the_templates_leave_no_mark() {
    for lock in ["package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "none"] {
        let project = found(&[("package.json", NEXT), (lock, ""), ("app/page.js", "")]);
        let answers = answers();
        let templates = beside(&project, &answers);
        for file in [templates.workflow("apps/web"), templates.ecosystem().unwrap(), templates.route().unwrap()] {
            assert!(!file.text.contains("#if") && !file.text.contains("#end"), "{}", file.text);
            let words = file.text.split('@').skip(1).step_by(2);
            assert!(words.clone().all(|word| word.bytes().any(|b| !b.is_ascii_uppercase())), "{}", file.text);
        }
        assert!(templates.workflow("").text.contains("cancel-in-progress: false"));
    }
}
