//! One row played: deploys that are good, deploys of every bad kind, and rollbacks, over a real sshd, under the load. Says
//! which run did not end as it must; what it cost the clients is counted by the load.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::kinds::{Way, by};
use crate::load::{Load, Rate};
use crate::rows::Row;
use crate::support::asks::ask;
use crate::support::front::{Front, Kind};
use crate::support::process::{Signal, alive, eventually, signal};
use crate::support::{App, Bench, Make};
use crate::tally::{Lost, Phase, Tally};

/// A row and what came of it.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) row: Row,
    pub(crate) tally: Tally,
    /// Runs of each phase.
    pub(crate) runs: BTreeMap<Phase, usize>,
    /// What was not as it must be.
    pub(crate) odd: Vec<String>,
    /// Answers of releases that failed, within their own deploys: those by which they were found out.
    pub(crate) of_failed: u64,
    /// Of the first requests that were lost, when and how.
    pub(crate) lost: Vec<String>,
    /// What the proxies had to say at last.
    pub(crate) said: String,
}

/// What can be wrong with a release, as the app calls it.
const BAD: [&str; 5] = ["exits", "hangs", "deaf", "sick", "crashes"];

/// A run: what was released by it, from when to when, and whether that became the live one.
#[derive(Debug)]
struct Run {
    release: String,
    began: Instant,
    ended: Instant,
    live: bool,
}

/// How often the proxies are reloaded in a round, where that is all that is done.
const RELOADS: usize = 20;
/// So many requests come between two reloads, that connections are kept and idle again.
const BETWEEN: u64 = 100;

/// Plays so many rounds: in each a good deploy, then one that fails; after every third a rollback.
pub(crate) fn play(row: Row, rounds: usize, rate: Rate) -> Played {
    let mut stage = Stage::new(row);
    stage.deploy("v0", "", true);
    let load = Load::start(&by(row.ways()), stage.ways(), rate);
    while load.look(|tally| tally.releases.is_empty()) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (runs, count) = match row {
        Row::Reloads => stage.reloads(&load, rounds * RELOADS),
        _ => play_runs(&mut stage, &load, rounds),
    };
    let tally = load.finish();
    let of_failed = stage.strays(&runs, &tally);
    let lost = tally.lost.iter().map(|lost| told(lost, &runs)).collect();
    let said = stage.fronts.iter().map(Front::said).collect();
    Played { row, tally, runs: count, odd: std::mem::take(&mut stage.odd), of_failed, lost, said }
}

/// The runs of a row.
fn play_runs(stage: &mut Stage, load: &Load, rounds: usize) -> (Vec<Run>, BTreeMap<Phase, usize>) {
    let mut runs = Vec::new();
    let mut count = BTreeMap::new();
    for round in 0..rounds {
        load.enter(Phase::Good);
        runs.push(stage.deploy(&format!("v{}", round + 1), "", true));
        *count.entry(Phase::Good).or_default() += 1;

        let bad = BAD[round % BAD.len()];
        let tried = (round / BAD.len()).is_multiple_of(2);
        let phase = if tried { Phase::Bad } else { Phase::Untried };
        load.enter(phase);
        runs.push(stage.deploy(&format!("{bad}-{round}"), bad, tried));
        *count.entry(phase).or_default() += 1;
        load.look(|tally| eprintln!("  lost so far: {:?}", tally.sum(|_, _| true).failed));

        if round % 3 == 2 {
            load.enter(Phase::Rollback);
            runs.push(stage.rollback());
            *count.entry(Phase::Rollback).or_default() += 1;
        }
    }
    (runs, count)
}

/// When one was lost, by the run that went on then or had gone on last.
fn told(lost: &Lost, runs: &[Run]) -> String {
    let ms = |from: Instant, to: Instant| to.saturating_duration_since(from).as_millis();
    let run = runs.iter().rev().find(|run| run.began <= lost.sent);
    let when = run.map_or(String::new(), |run| {
        let after = if lost.sent > run.ended {
            format!(", after its end by {}", ms(run.ended, lost.sent))
        } else {
            String::new()
        };
        format!("{} ms into {}{after}", ms(run.began, lost.sent), run.release)
    });
    format!("{}: {} after {} ms; {when}", lost.kind, lost.fault, ms(lost.sent, lost.ended))
}

struct Stage {
    row: Row,
    bench: Bench,
    fronts: Vec<Front>,
    odd: Vec<String>,
}

impl Stage {
    fn new(row: Row) -> Stage {
        let mut bench = row.workers().map_or_else(Make::files, Make::pm2).bench();
        let (port, account) = (bench.host().port, bench.host().account.clone());
        row.configure(&mut bench.config, port);
        let kinds = row.proxy().map_or(vec![Kind::Nginx, Kind::Caddy], |kind| vec![kind]);
        let area = bench.area.path();
        let fronts = kinds.into_iter().map(|kind| Front::start(kind, &area.join(format!("{kind:?}")), &account));
        let fronts: Vec<Front> = fronts.collect();
        if row.proxy().is_some() {
            fronts[0].table(&mut bench.config);
        }
        Stage { row, bench, fronts, odd: Vec::new() }
    }

    /// The ways to the app, which is live: each leads there by now.
    fn ways(&self) -> BTreeMap<Way, u16> {
        let port = self.bench.host().port;
        let mut ways = BTreeMap::new();
        for front in &self.fronts {
            match front.kind {
                Kind::Nginx => ways.extend([(Way::Nginx, front.plain), (Way::NginxKept, front.port)]),
                Kind::Caddy => ways.extend([(Way::Caddy, front.port)]),
            }
            match self.row.proxy() {
                Some(_) => front.lead(&self.bench.site().path),
                None => front.lead_to(port),
            }
        }
        if self.row.proxy().is_none() {
            ways.insert(Way::Direct, port);
        }
        for (way, port) in &ways {
            // A front that was told of another config still answers with the old one for a moment.
            eventually(&format!("{way} leads to the app"), Duration::from_secs(20), || {
                (0..50).try_for_each(|_| ask(*port).map(drop))
            });
        }
        ways
    }

    /// Deploys a release that is `bad`, or good where that is empty.
    fn deploy(&mut self, release: &str, bad: &str, tried: bool) -> Run {
        if self.row.workers().is_some() {
            self.bench.config.set("service.pm2.boot_test", tried);
        }
        let text = include_str!("app.js").replace("@RELEASE@", release).replace("@BAD@", bad);
        let began = Instant::now();
        let output = self.bench.deploy(&App::empty().file("server.js", text), &[]);
        let (ended, took) = (Instant::now(), began.elapsed());
        let code = output.code;
        let right = if bad.is_empty() { code == Some(0) } else { matches!(code, Some(1 | 4)) };
        eprintln!("{}: {release}: {code:?} in {:.1} s", self.row.name(), took.as_secs_f64());
        if !right {
            self.odd.push(format!("{release} ended with {code:?}\n{output}"));
        }
        Run { release: release.to_owned(), began, ended, live: code == Some(0) }
    }

    /// So often each proxy is told the config that it has, and takes it.
    fn reloads(&self, load: &Load, times: usize) -> (Vec<Run>, BTreeMap<Phase, usize>) {
        let requests = || load.look(|tally| tally.sum(|_, _| true).requests);
        for front in self.fronts.iter().cycle().take(times * self.fronts.len()) {
            let before = requests();
            while requests() < before + BETWEEN {
                std::thread::sleep(Duration::from_millis(5));
            }
            front.lead_to(self.bench.host().port);
        }
        (Vec::new(), BTreeMap::from([(Phase::Good, times)]))
    }

    fn rollback(&mut self) -> Run {
        let began = Instant::now();
        let output = self.bench.run("rollback", &[]);
        eprintln!("{}: rollback: {:?} in {:.1} s", self.row.name(), output.code, began.elapsed().as_secs_f64());
        if output.code != Some(0) {
            self.odd.push(format!("a rollback ended with {:?}\n{output}", output.code));
        }
        Run { release: "a rollback".to_owned(), began, ended: Instant::now(), live: true }
    }

    /// Answers of failed releases within their runs. One from another time is odd: before its deploy there was no such
    /// release, and after it something else must be live.
    fn strays(&mut self, runs: &[Run], tally: &Tally) -> u64 {
        let mut within = 0;
        for run in runs.iter().filter(|run| !run.live) {
            let Some(heard) = tally.releases.get(&run.release) else { continue };
            within += heard.answers;
            if heard.first < run.began || heard.last > run.ended {
                let late = heard.last.saturating_duration_since(run.ended).as_millis();
                self.odd.push(format!("{} still answered {late} ms after its deploy had ended", run.release));
            }
        }
        within
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What the row `command` runs is nobody's child.
        let file = self.bench.site().dir.join("shared/pid");
        let pid = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| alive(*pid)) {
            signal(pid, Signal::Kill);
        }
    }
}
