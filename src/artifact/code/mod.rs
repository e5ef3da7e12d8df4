//! Whether all that an app's code imports ships with it: a package that the host would miss is found here, before
//! anything is sent. Follows the app's own files from the one that is started; what lies in `node_modules` is trusted
//! as soon as it is there. Runs nothing.

mod imports;
mod lex;
mod resolve;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use self::imports::{Need, imports};
use self::resolve::{Place, Resolver};
use super::package::Package;
use super::shown;
use super::tree::{Node, Source, Tree, path};
use crate::error::{Error, Finding, Result};
use crate::text::count;

/// How many places a message names.
const NAMED: usize = 10;

/// What a preset says of the code that a service will run.
pub(super) struct Code {
    /// The file that is started, relative to the release root.
    pub(super) entry: PathBuf,
    /// Whether files that are only loaded later belong to the app as much as the others, as a build's pages do.
    pub(super) whole: bool,
    /// The installed packages, which ship only where the code imports one.
    pub(super) modules: Option<Source>,
}

/// An import of a package, or of a file that isn't there.
struct Use {
    /// The path in the release of the file that imports it.
    file: Vec<u8>,
    line: usize,
    name: String,
    /// None: a file is meant.
    package: Option<String>,
    found: bool,
    need: Need,
}

/// All that the code imports from outside of its own files.
pub(super) struct Uses(Vec<Use>);

/// Reads the code, from the file that is started onwards.
pub(super) fn read(tree: &Tree, stops: &[Vec<u8>], code: &Code) -> Result<Uses> {
    let resolver = Resolver { tree, stops };
    let mut uses = Vec::new();
    let Place::File(entry) = resolver.file(code.entry.as_os_str().as_encoded_bytes()) else { return Ok(Uses(uses)) };
    // A file that is reached in several ways counts by the most certain of them, so those go first.
    let mut waiting: BTreeMap<Need, VecDeque<Vec<u8>>> = BTreeMap::from([(Need::Always, [entry].into())]);
    let mut seen = BTreeSet::new();
    while let Some((need, file)) = waiting.iter_mut().rev().find_map(|(need, files)| Some((*need, files.pop_front()?)))
    {
        if !seen.insert(file.clone()) {
            continue;
        }
        for import in imports(&source(tree, &file)?) {
            let by_file = match import.need {
                Need::Late if code.whole => need,
                own => own.min(need),
            };
            let by_package = import.need.min(need);
            let (package, found, need) = match resolver.import(&file, &import.name)? {
                Place::File(next) => {
                    waiting.entry(by_file).or_default().push_back(next);
                    continue;
                }
                Place::Elsewhere => continue,
                Place::NoFile => (None, false, by_file),
                Place::Package(name) => (Some(name), true, by_package),
                Place::NoPackage(name) => (Some(name), false, by_package),
            };
            uses.push(Use { file: file.clone(), line: import.line, name: import.name, package, found, need });
        }
    }
    Ok(Uses(uses))
}

/// The text of a file of the release; empty where it is no JavaScript.
fn source(tree: &Tree, file: &[u8]) -> Result<String> {
    let name = file.rsplit(|&b| b == b'/').next().unwrap_or(file);
    let code = [&b".js"[..], b".mjs", b".cjs"].iter().any(|end| name.ends_with(end)) || !name.contains(&b'.');
    match tree.get(file) {
        Some(Node::File { source, .. }) if code => match fs::read(source) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) => Err(Error::File { path: source.clone(), doing: "read", source: e }),
        },
        _ => Ok(String::new()),
    }
}

impl Uses {
    /// Whether the packages of `modules` must ship: something that isn't there yet is installed, and needed.
    pub(super) fn want(&self, modules: &Source, package: &Package) -> bool {
        self.0.iter().filter(|used| !used.found).any(|used| {
            let Some(name) = &used.package else { return false };
            let needed = used.need == Need::Always || package.depends_on(name);
            needed && modules.from.join(name).exists()
        })
    }

    /// What is missing and stops the app; each reason once, with all places it is the reason for.
    pub(super) fn findings(&self, root: &Path, package: &Package) -> Vec<Finding> {
        let mut by_cure: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for used in first_of_each(self.missing(Need::Always)) {
            let cure = match &used.package {
                Some(name) => package.cure(root, name),
                None => "build again; is it left out by build.exclude, or outside of what build.output ships?".into(),
            };
            by_cure.entry(cure).or_default().push(used.text());
        }
        by_cure
            .into_iter()
            .map(|(cure, lines)| Finding {
                what: format!("the app imports what is not in the release:\n  {}", shortened(lines)),
                cure,
            })
            .collect()
    }

    /// What is missing, and may never be needed.
    pub(super) fn warning(&self) -> Option<String> {
        let late: Vec<String> = first_of_each(self.missing(Need::Late)).into_iter().map(Use::text).collect();
        let text = "the app would fail when it gets to an import of what is not in the release:\n  ";
        (!late.is_empty()).then(|| format!("{text}{}", shortened(late)))
    }

    fn missing(&self, need: Need) -> impl Iterator<Item = &Use> {
        self.0.iter().filter(move |used| !used.found && used.need == need)
    }
}

impl Use {
    fn text(&self) -> String {
        let name = self.package.as_ref().unwrap_or(&self.name);
        format!("`{}` in {}:{}", shown(Path::new(name)), shown(&path(self.file.clone())), self.line)
    }
}

fn first_of_each<'a>(uses: impl Iterator<Item = &'a Use>) -> Vec<&'a Use> {
    let mut seen = BTreeSet::new();
    uses.filter(|used| match &used.package {
        Some(name) => seen.insert((name, None)),
        None => seen.insert((&used.name, Some(&used.file))),
    })
    .collect()
}

fn shortened(mut lines: Vec<String>) -> String {
    if lines.len() > NAMED {
        let more = count(lines.len() - NAMED, "more import");
        lines.truncate(NAMED);
        lines.push(format!("and {more}"));
    }
    lines.join("\n  ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::artifact::fixture::Project;
    use crate::config::{Preset, Shared};

    /// A project that runs `a.js`, with this text.
    fn project(text: &str) -> Project {
        let project = Project::new(Preset::Node).with_pm2(Some("a.js"));
        project.file("package.json", r#"{"name":"own","dependencies":{"dep":"1"},"devDependencies":{"dev":"1"}}"#);
        project.file("a.js", text).file("node_modules/there/package.json", "{}");
        project
    }

    #[track_caller]
    fn good(project: &Project) {
        assert_eq!(project.collect().unwrap().warnings, [""; 0]);
    }

    #[test]
    fn what_leads_to_something_is_no_matter() {
        let project = project(
            "import 'node:fs'; import 'fs/promises'; import 'worker_threads'; import 'there/deep'; import 'own/x';\n\
             import './b'; import '../app/c.json'; require('./dir'); import './pack'; import '#in'; import './q.js?v=1';\n\
             import 'data:text/javascript,1'; import '#unknown'; const x = require('/etc/x'); import(`./${name}.js`);",
        );
        project.file("b.mjs", "import './sub/d.cjs'").file("dir/index.js", "").file("pack/package.json", "{}");
        project.file("sub/d.cjs", "require('nested'); require('there')").file("sub/node_modules/nested/x", "");
        project.file("in.js", "").file("q.js", "");
        project.file("package.json", r##"{"name":"own","imports":{"#in":{"browser":"./no.js","default":"./in.js"}}}"##);
        let why = project.refusals();
        // `..` of the release's top is outside of it.
        assert!(why.len() == 1 && why[0].contains("`../app/c.json` in a.js:2"), "{why:?}");
        let text = fs::read_to_string(project.path("a.js")).unwrap().replace("import '../app/c.json';", "");
        project.file("a.js", &text);
        good(&project);
    }

    #[test]
    fn each_absence_has_its_cure() {
        let project =
            project("import 'dep';\nimport '@un/known/x';\nimport 'dev';\nimport './gone.js';\nimport 'dep/again';");
        project.file("yarn.lock", "");
        let why = project.refusals();
        assert_eq!(why.len(), 4, "{why:#?}");
        let cured = |place: &str, cure: &str| {
            assert!(why.iter().any(|why| why.contains(place) && why.contains(cure)), "{place}: {why:#?}");
        };
        cured("`dep` in a.js:1", "not installed: add `yarn install --production --frozen-lockfile`");
        cured("`@un/known` in a.js:2", "package.json does not name it");
        cured("`dev` in a.js:3", "move it to dependencies");
        cured("`./gone.js` in a.js:4", "build.exclude");
    }

    #[test]
    fn an_excluded_package_and_one_that_a_workspace_keeps_say_so() {
        let mut project = project("import 'dep'");
        project.file("node_modules/dep/index.js", "");
        good(&project);
        project.build.exclude = vec!["node_modules/dep".into()];
        assert!(project.refusals()[0].contains("take it out of build.exclude"), "{:?}", project.refusals());

        project.file("apps/web/package.json", "{}").file("apps/web/a.js", "import 'dep'");
        project.build.root = project.path("apps/web");
        assert!(project.refusals()[0].contains("a workspace keeps it"), "{:?}", project.refusals());
    }

    #[test]
    fn what_may_never_be_needed_warns_and_what_is_tried_does_not() {
        let project =
            project("if (dev) require('./dev'); try { require('fast') } catch {}\nconst f = () => import('slow');");
        project.file("dev.js", "require('dev')");
        let warnings = project.collect().unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("`slow` in a.js:2") && warnings[0].contains("`dev` in dev.js:1"), "{warnings:?}");
        assert!(!warnings[0].contains("fast"), "{warnings:?}");
    }

    #[test]
    fn packages_for_development_that_ship_are_named() {
        let project = project("");
        project.file("node_modules/dev/index.js", "");
        let warnings = project.collect().unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("devDependencies too: `dev`"), "{warnings:?}");
    }

    #[test]
    fn links_are_followed_and_shared_places_are_the_hosts_matter() {
        let mut project = project("import './lib/x.js'; import './conf/y.js'");
        project.file("real/x.js", "import 'linked'").link("lib", "real").link("node_modules/linked", "../real");
        project.shared = Shared { dirs: vec!["conf".into()], files: vec![] };
        good(&project);
        project.file("real/x.js", "import 'gone'");
        assert!(project.refusals()[0].contains("`gone` in real/x.js:1"), "{:?}", project.refusals());
    }

    #[test]
    fn many_absences_are_one_message_of_bounded_length() {
        let text: String = (1..=30).map(|n| format!("import 'p{n}';\n")).collect();
        let why = project(&text).refusals();
        assert!(
            why.len() == 1 && why[0].contains("`p10` in a.js:10") && why[0].contains("and 20 more imports"),
            "{why:?}"
        );
    }
}
