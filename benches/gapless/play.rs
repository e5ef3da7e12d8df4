//! One row played: deploys that are good, deploys of every bad kind, and rollbacks, over a real sshd, under the load. Says
//! which run did not end as it must; what it cost the clients is counted by the load.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::fronts::{Behind, Caddy, Nginx};
use crate::kinds::{Way, by};
use crate::load::{Load, Rate};
use crate::rows::Row;
use crate::support::process::{Signal, alive, signal};
use crate::support::{APP, App, Bench, Make, ports};
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

/// Plays so many rounds: in each a good deploy, then one that fails; after every third a rollback.
pub(crate) fn play(row: Row, rounds: usize, rate: Rate) -> Played {
    let mut stage = Stage::new(row);
    stage.deploy("v0", "", true);
    let (ports, fronts) = stage.fronts();
    let load = Load::start(&by(row.ways()), ports, rate);
    while load.look(|tally| tally.releases.is_empty()) {
        std::thread::sleep(Duration::from_millis(20));
    }
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
    let tally = load.finish();
    let of_failed = stage.strays(&runs, &tally);
    let lost = tally.lost.iter().map(|lost| told(lost, &runs)).collect();
    let said = [&fronts, &stage.switched].map(Fronts::said).concat();
    Played { row, tally, runs: count, odd: std::mem::take(&mut stage.odd), of_failed, lost, said }
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
    /// The fronts that the deploy itself needs.
    switched: Fronts,
    odd: Vec<String>,
}

#[derive(Debug, Default)]
struct Fronts {
    nginx: Option<Nginx>,
    caddy: Option<Caddy>,
}

impl Fronts {
    fn ports(&self) -> Vec<(Way, u16)> {
        let nginx = self.nginx.iter().flat_map(|nginx| [(Way::Nginx, nginx.plain), (Way::NginxKept, nginx.kept)]);
        nginx.chain(self.caddy.iter().map(|caddy| (Way::Caddy, caddy.port))).collect()
    }

    fn said(&self) -> String {
        let nginx = self.nginx.as_ref().map(Nginx::said).unwrap_or_default();
        nginx + &self.caddy.as_ref().map(Caddy::said).unwrap_or_default()
    }
}

impl Stage {
    fn new(row: Row) -> Stage {
        let mut bench = row.workers().map_or_else(Make::files, Make::pm2).bench();
        let port = bench.host().port;
        row.configure(&mut bench.config, port);
        let mut stage = Stage { row, bench, switched: Fronts::default(), odd: Vec::new() };
        if let Some((table, file)) = row.proxy() {
            stage.proxy(table, file);
        }
        stage
    }

    /// The proxy that switches, and what the config says of it.
    fn proxy(&mut self, table: &str, file: &str) {
        let account = self.bench.host().account.clone();
        let state = self.bench.site().path.join(".shipit");
        account.make_dir(&state);
        account.make_dir(&state.join("proxy"));
        let file = state.join("proxy").join(file);
        let colours = [ports::free(), ports::free()];
        fs::write(&file, nobody(table, colours)).unwrap();
        account.own(&file);
        let behind = Behind::File(APP, file);
        let dir = self.bench.area.path().join(table);
        let [test, reload] = if table == "nginx" {
            self.switched.nginx.insert(Nginx::start(&dir, &account, &behind)).lines()
        } else {
            self.switched.caddy.insert(Caddy::start(&dir, &account, &behind)).lines()
        };
        let key = |name: &str| format!("proxy.{table}.{name}");
        self.bench
            .config
            .set(&key("ports"), colours.map(i64::from).to_vec())
            .set(&key("test"), test)
            .set(&key("reload"), reload);
    }

    /// The ways to the app, and what has to stand for them.
    fn fronts(&self) -> (BTreeMap<Way, u16>, Fronts) {
        if self.row.proxy().is_some() {
            return (self.switched.ports().into_iter().collect(), Fronts::default());
        }
        let (host, area) = (self.bench.host(), self.bench.area.path());
        let behind = Behind::Port(host.port);
        let nginx = Nginx::start(&area.join("nginx"), &host.account, &behind);
        let caddy = Caddy::start(&area.join("caddy"), &host.account, &behind);
        let fronts = Fronts { nginx: Some(nginx), caddy: Some(caddy) };
        let direct = (Way::Direct, host.port);
        (fronts.ports().into_iter().chain([direct]).collect(), fronts)
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

/// What a proxy reads before anything is live, as its user writes it.
fn nobody(table: &str, [blue, green]: [u16; 2]) -> String {
    if table == "nginx" {
        format!("upstream {APP} {{ server 127.0.0.1:{blue} down; server 127.0.0.1:{green} down; }}\n")
    } else {
        format!("({APP}) {{\n\tto 127.0.0.1:{blue} 127.0.0.1:{green}\n}}\n")
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
