//! The benchmark: shipit against other ways to deploy, all in one run and in turns, over the same private sshd.
//! Started by `tests/run bench`, which installs the others. Judges nothing: it measures and prints.
//!
//!   --rounds N        how often each thing is measured; the median counts. 5 unless given
//!   --only WORD       app, large or hosts: only that part; links: a first deploy over links of other speeds, which is
//!                     no part of the whole
//!   --pair OLD NEW    two folders, such as two real builds, instead of the made app
//!   --readme          also replaces the table in the README
//!   --smoke           a few files, once, over the slow link only: whether all of this still works

#![allow(clippy::unwrap_used, missing_docs)]

mod artifact;
mod served;
#[path = "../../tests/e2e/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;
mod table;
mod targets;
mod world;

use std::path::Path;

use artifact::{LARGE, NEXT, Pair, SMALL};
use support::area::Area;
use table::Table;
use world::{Act, Tool, World};

/// Hosts that are deployed to at once.
const HOSTS: usize = 20;

/// What is done.
const FIRST: &str = "first deploy";
const CHANGED: &str = "redeploy, one line changed";
const SAME: &str = "redeploy, nothing changed";
const ROLLBACK: &str = "rollback";
const LARGE_CHANGED: &str = "20,000 files, 500 MB, 1 % changed";
const ONE_HOST: &str = "redeploy to 1 host";
const TWENTY_HOSTS: &str = "redeploy to 20 hosts";

struct Options {
    rounds: usize,
    smoke: bool,
    only: Option<String>,
    pair: Option<(String, String)>,
    readme: bool,
}

impl Options {
    fn read() -> Options {
        let mut options = Options { rounds: 5, smoke: false, only: None, pair: None, readme: false };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} wants a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = value().parse().expect("--rounds wants a number"),
                "--only" => options.only = Some(value()),
                "--pair" => options.pair = Some((value(), value())),
                "--smoke" => options = Options { rounds: 1, smoke: true, only: Some("app".into()), ..options },
                "--readme" => options.readme = true,
                // cargo says so to every benchmark.
                "--bench" => {}
                _ => panic!("{arg} is no option; the head of benches/peers/main.rs lists them"),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() {
    let options = Options::read();
    let area = Area::new();
    let mut table = Table::default();
    let mut app = options.wants("app").then(|| App::new(&area, &options));
    let mut large = options.wants("large").then(|| Large::new(&area));
    let mut hosts = options.wants("hosts").then(|| Hosts::new(&area, &options));
    let mut links = (options.only.as_deref() == Some("links")).then(|| Links::new(&area, &options));
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        app.iter_mut().for_each(|part| part.round(round, &mut table));
        large.iter_mut().for_each(|part| part.round(round, &mut table));
        hosts.iter_mut().for_each(|part| part.round(round, &mut table));
        links.iter_mut().for_each(|part| part.round(round, &mut table));
    }
    if options.smoke {
        return;
    }
    let changed = app.as_ref().map(|app| app.pair.changed());
    let markdown = format!("{}\n{}", table.markdown(), targets::text(&table, changed));
    println!("{}\n{markdown}", table.text());
    if options.readme {
        put_in_readme(&markdown);
    }
}

/// A deploy's life: first, changed, unchanged, taken back.
struct App {
    pair: Pair,
    worlds: Vec<World>,
}

impl App {
    fn new(area: &Area, options: &Options) -> App {
        let worlds = if options.smoke { vec![World::far()] } else { vec![World::near(), World::far()] };
        App { pair: app(area, options), worlds }
    }

    fn round(&mut self, round: usize, table: &mut Table) {
        for world in &mut self.worlds {
            world.clear("app");
            for (task, act, build) in [
                (FIRST, Act::Deploy, 0),
                (CHANGED, Act::Deploy, 1),
                (SAME, Act::Deploy, 1),
                (ROLLBACK, Act::Rollback, 1),
            ] {
                if act == Act::Deploy {
                    self.pair.lay(build, &world.artifact());
                }
                for tool in in_turn(&Tool::ALL, round) {
                    table.add(world.link, task, tool, world.run(tool, act, "app"));
                }
            }
        }
    }
}

/// Many files, of which few change.
struct Large {
    pair: Pair,
    worlds: [World; 2],
}

impl Large {
    const TOOLS: [Tool; 2] = [Tool::Shipit, Tool::Rsync];

    fn new(area: &Area) -> Large {
        let mut large = Large { pair: Pair::make(&area.dir("large"), &LARGE), worlds: [World::near(), World::far()] };
        for world in &mut large.worlds {
            world.clear("large");
            large.pair.lay(0, &world.artifact());
            for tool in Large::TOOLS {
                world.run(tool, Act::Deploy, "large");
            }
        }
        large
    }

    fn round(&mut self, round: usize, table: &mut Table) {
        for world in &mut self.worlds {
            self.pair.lay((round + 1) % 2, &world.artifact());
            for tool in in_turn(&Large::TOOLS, round) {
                let sample = world.run(tool, Act::Deploy, "large");
                table.add(world.link, LARGE_CHANGED, tool, sample);
            }
        }
    }
}

/// One host against many: one more machine than `HOSTS`, so that the one is no part of the many.
struct Hosts {
    pair: Pair,
    world: World,
}

impl Hosts {
    fn new(area: &Area, options: &Options) -> Hosts {
        let mut hosts = Hosts { pair: app(area, options), world: World::many(1 + HOSTS) };
        hosts.pair.lay(0, &hosts.world.artifact());
        hosts.world.run_on(0..1 + HOSTS);
        hosts
    }

    fn round(&mut self, round: usize, table: &mut Table) {
        self.pair.lay((round + 1) % 2, &self.world.artifact());
        for (task, which) in [(ONE_HOST, 0..1), (TWENTY_HOSTS, 1..1 + HOSTS)] {
            let sample = self.world.run_on(which);
            table.add(self.world.link, task, Tool::Shipit, sample);
        }
    }
}

/// What a link's speed does to what is sent.
struct Links {
    pair: Pair,
    worlds: [World; 3],
}

impl Links {
    fn new(area: &Area, options: &Options) -> Links {
        let worlds = [("over 10 Mbit/s", 10), ("over 50 Mbit/s", 50), ("over 500 Mbit/s", 500)];
        Links { pair: app(area, options), worlds: worlds.map(|(link, mbit)| World::over(link, mbit)) }
    }

    fn round(&mut self, round: usize, table: &mut Table) {
        for world in &mut self.worlds {
            world.clear("links");
            self.pair.lay(0, &world.artifact());
            for tool in in_turn(&[Tool::Shipit, Tool::Tar], round) {
                table.add(world.link, FIRST, tool, world.run(tool, Act::Deploy, "links"));
            }
        }
    }
}

fn app(area: &Area, options: &Options) -> Pair {
    match &options.pair {
        Some((old, new)) => Pair::given(old, new),
        None if options.smoke => Pair::make(&area.dir("app"), &SMALL),
        None => Pair::make(&area.dir("app"), &NEXT),
    }
}

/// Another contestant begins in each round.
fn in_turn(tools: &[Tool], round: usize) -> Vec<Tool> {
    let mut tools = tools.to_vec();
    let first = round % tools.len();
    tools.rotate_left(first);
    tools
}

/// Between the two markers.
fn put_in_readme(markdown: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&file).expect("the README is there");
    let (before, rest) = text.split_once("<!-- benchmark -->\n").expect("the README has the first marker");
    let (_, after) = rest.split_once("<!-- end of benchmark -->").expect("the README has the second marker");
    let text = format!("{before}<!-- benchmark -->\n{markdown}\n<!-- end of benchmark -->{after}");
    std::fs::write(&file, text).expect("the README is writable");
}
