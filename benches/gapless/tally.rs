//! What became of the requests, counted by what went on meanwhile and by kind of client. Judges nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kinds::Kind;
use crate::wire::Fault;

/// What goes on while a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Good,
    /// A deploy that fails, as shipit is meant to be used: a bad release is tried before it is switched to.
    Bad,
    /// The same with `boot_test = false`.
    Untried,
    Rollback,
}

impl Phase {
    pub(crate) const ALL: [Phase; 4] = [Phase::Good, Phase::Bad, Phase::Untried, Phase::Rollback];
}

/// Requests and what became of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    /// Not answered rightly, by reason; those that hung included.
    pub(crate) failed: BTreeMap<Fault, u64>,
    /// Of the failed: a kept connection was closed instead of an answer, and a new one answered, as browsers try it.
    pub(crate) resent: u64,
    /// The longest time without a right answer.
    pub(crate) gap: Duration,
}

/// When a release was heard, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) answers: u64,
    pub(crate) first: Instant,
    pub(crate) last: Instant,
}

/// All of a row.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: BTreeMap<(Phase, Kind), Count>,
    pub(crate) releases: BTreeMap<String, Heard>,
    /// The first that were lost.
    pub(crate) lost: Vec<Lost>,
    answered: BTreeMap<Kind, Instant>,
}

/// So many are told one by one.
const TOLD: usize = 40;

/// One that was lost.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    pub(crate) kind: Kind,
    pub(crate) fault: Fault,
}

/// What became of one request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The release that answered, or what went wrong.
    pub(crate) answer: Result<String, Fault>,
    /// Whether the same over a new connection was answered.
    pub(crate) resent: bool,
}

impl Tally {
    /// Counts a request that was sent in `phase` and is over now.
    pub(crate) fn add(&mut self, phase: Phase, kind: Kind, sent: Instant, outcome: Outcome) {
        let now = Instant::now();
        let count = self.counts.entry((phase, kind)).or_default();
        count.requests += 1;
        if let Some(before) = self.answered.get(&kind) {
            count.gap = count.gap.max(now - *before);
        }
        match outcome.answer {
            Ok(release) => {
                let heard = self.releases.entry(release).or_insert(Heard { answers: 0, first: now, last: now });
                heard.answers += 1;
                heard.last = now;
                self.answered.insert(kind, now);
            }
            Err(fault) => {
                if self.lost.len() < TOLD {
                    self.lost.push(Lost { sent, ended: now, kind, fault: fault.clone() });
                }
                *count.failed.entry(fault).or_default() += 1;
                count.resent += u64::from(outcome.resent);
            }
        }
    }

    /// All counts that are asked for, as one.
    pub(crate) fn sum(&self, wanted: impl Fn(Phase, Kind) -> bool) -> Count {
        let mut sum = Count::default();
        for (_, count) in self.counts.iter().filter(|((phase, kind), _)| wanted(*phase, *kind)) {
            sum.requests += count.requests;
            sum.resent += count.resent;
            sum.gap = sum.gap.max(count.gap);
            for (fault, n) in &count.failed {
                *sum.failed.entry(fault.clone()).or_default() += n;
            }
        }
        sum
    }
}

impl Count {
    pub(crate) fn failed(&self) -> u64 {
        self.failed.values().sum()
    }

    pub(crate) fn hung(&self) -> u64 {
        self.failed.get(&Fault::Hung).copied().unwrap_or(0)
    }
}
