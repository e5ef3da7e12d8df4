//! The measurement behind "no request fails": ways to run an app, each under load of every kind of client at once, during
//! good deploys, failing ones and rollbacks, over a real sshd. Started by `tests/run gapless`, which installs what it needs.
//! First the client itself is proved.
//!
//!   --rounds N     good deploys a row, with a failing one each, and a rollback after every third; 10 unless given
//!   --row WORD     only the rows whose name has the word; may be given again
//!   --readme       also replaces the table in the README
//!   --smoke        the client's proof, and one round of one row: whether all of this still works
//!
//! Fails when a row loses requests that must lose none.

#![allow(clippy::unwrap_used, missing_docs)]

mod kinds;
mod load;
mod play;
mod proof;
mod rows;
#[path = "../../tests/e2e/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;
mod table;
mod tally;
mod wire;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::Rate;
use play::Played;
use rows::Row;
use tally::Phase;

/// Each client asks about 12 times a second, where it does not ask for three seconds.
const RATE: Rate = Rate { clients: 48, pause: 80, limit: Duration::from_secs(15), slow: 3000 };

struct Options {
    rounds: usize,
    rows: Vec<String>,
    readme: bool,
    smoke: bool,
}

impl Options {
    fn read() -> Options {
        let mut options = Options { rounds: 10, rows: Vec::new(), readme: false, smoke: false };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} wants a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = value().parse().expect("--rounds wants a number"),
                "--row" => options.rows.push(value()),
                "--readme" => options.readme = true,
                "--smoke" => options = Options { rounds: 1, smoke: true, rows: vec!["with drain".into()], ..options },
                // cargo says so to every benchmark.
                "--bench" => {}
                _ => panic!("{arg} is no option; the head of benches/gapless/main.rs lists them"),
            }
        }
        options
    }

    fn wants(&self, row: Row) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|word| row.name().contains(word.as_str()))
    }
}

fn main() -> ExitCode {
    let options = Options::read();
    proof::prove();
    let began = Instant::now();
    let mut rows: Vec<Row> = Row::ALL.into_iter().filter(|row| options.wants(*row)).collect();
    if options.smoke {
        rows.truncate(1);
    }
    let mut all = Vec::new();
    for row in rows {
        let played = play::play(row, options.rounds, RATE);
        println!("{}", table::text(&played));
        all.push(played);
    }
    let requests: u64 = all.iter().map(|played| played.tally.sum(|_, _| true).requests).sum();
    let markdown = table::markdown(&all);
    println!("{markdown}\n{requests} requests in {:.0} s", began.elapsed().as_secs_f64());
    if options.readme {
        put_in_readme(&markdown);
    }
    if all.iter().all(is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every run ended as it must, and a row that must lose nothing lost nothing. What a release loses that nobody tried
/// before it was switched to is told, not judged.
fn is_well(played: &Played) -> bool {
    let lost = played.tally.sum(|phase, _| phase != Phase::Untried).failed();
    played.odd.is_empty() && (lost == 0 || !played.row.is_gapless())
}

/// Replaces what stands between the marks.
fn put_in_readme(markdown: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&file).expect("the README");
    let (start, end) = ("<!-- gapless -->\n", "<!-- /gapless -->");
    let (before, rest) = text.split_once(start).expect("the README has the mark");
    let (_, after) = rest.split_once(end).expect("the README has the end mark");
    std::fs::write(&file, format!("{before}{start}{markdown}{end}{after}")).expect("the README is writable");
}
