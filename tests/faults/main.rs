//! The fault matrix: for each service, verb, place in a run and fault the invariant holds, the exit code tells the truth,
//! and the next deploy just works. A harness of its own: cases are data, and the table in README is made of them.
//!
//!   tests/run faults             the daily set, and others by chance until twelve minutes are over
//!   tests/run faults --full      every case
//!   tests/run faults WORD...     the cases whose name has all the words; with `--daily` those of the daily set
//!
//! `--list` names them, `--table` prints README's table, `--jobs N` plays so many at once, `--sample N` only so many by
//! chance; `--seed N` is that chance again.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod case;
mod colours;
mod disk;
mod ground;
mod judge;
mod made;
mod matrix;
mod service;
mod spot;

/// The same eyes and hands as in the end-to-end tests. Each suite uses its own part of them.
#[path = "../e2e/support"]
#[allow(dead_code)]
mod support {
    pub(crate) mod account;
    pub(crate) mod apps;
    pub(crate) mod area;
    pub(crate) mod asks;
    pub(crate) mod config;
    pub(crate) mod front;
    pub(crate) mod pm2;
    pub(crate) mod ports;
    pub(crate) mod process;
    pub(crate) mod proxy;
    pub(crate) mod shipit;
    pub(crate) mod site;
    pub(crate) mod sshd;
    pub(crate) mod tree;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ground::Ground;
use matrix::{Case, cases, daily, left_over};

/// So many cases are played every day that are not of the daily set, whatever they are.
const BY_CHANCE: usize = 12;

/// So long after the start the light ones of the others go on being begun: with the last of them it is twelve minutes.
const ROOM: Duration = Duration::from_secs(690);

fn main() -> ExitCode {
    let mut words = Vec::new();
    // So many that two cores have work while limits, silences and PM2 are waited for.
    let mut jobs = 8;
    let (mut list, mut full, mut by_day) = (false, false, false);
    let mut sample = usize::MAX;
    let mut seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => list = true,
            "--table" => {
                print!("{}", matrix::table());
                return ExitCode::SUCCESS;
            }
            "--jobs" => jobs = args.next().and_then(|n| n.parse().ok()).expect("--jobs takes a number"),
            "--sample" => sample = args.next().and_then(|n| n.parse().ok()).expect("--sample takes a number"),
            "--seed" => seed = args.next().and_then(|n| n.parse().ok()).expect("--seed takes a number"),
            "--full" => full = true,
            "--daily" => by_day = true,
            word => words.push(word.to_owned()),
        }
    }
    // Who names cases means all that have the name.
    let mut others = Vec::new();
    let all = if full || !(words.is_empty() || by_day) {
        cases()
    } else {
        let mut all = daily();
        others = left_over(&all);
        shuffle(&mut others, seed);
        println!("{} cases, and {BY_CHANCE} others by chance: --seed {seed}", all.len());
        all.extend(others.drain(..BY_CHANCE));
        others.retain(|case| case.is_light() && !by_day);
        all
    };
    let mut chosen: Vec<Case> =
        all.into_iter().filter(|case| words.iter().all(|word| case.to_string().contains(word))).collect();
    if sample < chosen.len() {
        println!("a sample of {sample} of {} cases, seed {seed}", chosen.len());
        shuffle(&mut chosen, seed);
        chosen.truncate(sample);
        others.clear();
    }
    if list {
        chosen.iter().for_each(|case| println!("{case}"));
        return ExitCode::SUCCESS;
    }
    // What waits is played beside what works, and what waits longest begins first.
    shuffle(&mut chosen, seed);
    chosen.sort_by_key(|case| !case.is_slow());
    let failed = play_all(&chosen, &others, jobs);
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Any order does, as long as the seed gives it again.
fn shuffle(cases: &mut [Case], seed: u64) {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for last in (1..cases.len()).rev() {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        cases.swap(last, (x % (last as u64 + 1)) as usize);
    }
}

/// Plays the cases, so many at once, and of the others those that there is room for; those that failed.
fn play_all(chosen: &[Case], others: &[Case], jobs: usize) -> Vec<(Case, String)> {
    // What a case panics with is told once, at its end.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let ground = Ground::new();
    let (next, played) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let other = || others.get(number - chosen.len()).filter(|_| began.elapsed() < ROOM);
                    let Some(case) = chosen.get(number).or_else(other) else { return };
                    played.fetch_add(1, Ordering::SeqCst);
                    let start = Instant::now();
                    let result = catch_unwind(AssertUnwindSafe(|| case::play(&ground, number, case)));
                    let seconds = start.elapsed().as_secs_f64();
                    match result.unwrap_or_else(|panic| Err(said(&*panic))) {
                        Ok(()) => println!("ok      {seconds:5.1} s  {case}"),
                        Err(why) => {
                            println!("FAILED  {seconds:5.1} s  {case}\n{why}\n");
                            failed.lock().unwrap().push((*case, why));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} cases in {:.0} s, {} failed", played.into_inner(), began.elapsed().as_secs_f64(), failed.len());
    failed.iter().for_each(|(case, _)| println!("  failed: {case}"));
    failed
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "it panicked".into())
}
