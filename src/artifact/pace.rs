//! How tight to pack for a link whose speed nobody knows: judged by how long the packer had to wait for it.
//! Decides levels; compresses nothing and knows no link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much is packed between two judgements, in bytes: what zstd takes as one piece of work at these levels.
const SPAN: u64 = 2 << 20;
/// The levels between which it goes. Above the ninth zstd takes ten times the time of the third, and below one it packs
/// a third worse.
const LEVELS: (u32, u32) = (1, 9);

/// What packer and sender know of each other.
#[derive(Debug, Default)]
pub struct Gauge {
    taken: AtomicU64,
    waited: AtomicU64,
}

impl Gauge {
    /// How much has been packed, in bytes before compression.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The link could not take what was packed for this long.
    pub fn waits(&self, time: Duration) {
        self.waited.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The packer's view of it.
pub(super) struct Pace {
    gauge: Arc<Gauge>,
    is_free: bool,
    since: Instant,
    judged: u64,
    waited: u64,
}

impl Pace {
    /// With `is_free` false only what was taken is counted.
    pub(super) fn new(gauge: Arc<Gauge>, is_free: bool) -> Pace {
        Pace { gauge, is_free, since: Instant::now(), judged: 0, waited: 0 }
    }

    /// After `n` more bytes were packed at this level: another one to go on with.
    pub(super) fn after(&mut self, n: usize, level: u32) -> Option<u32> {
        let taken = self.gauge.taken.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
        if !self.is_free || taken - self.judged < SPAN {
            return None;
        }
        let waited = self.gauge.waited.load(Ordering::Relaxed);
        let share = Duration::from_micros(waited - self.waited).as_secs_f64() / self.since.elapsed().as_secs_f64();
        (self.since, self.judged, self.waited) = (Instant::now(), taken, waited);
        let next = next(level, share);
        (next != level).then_some(next)
    }
}

/// The level after a span of which the packer waited this share: an idle processor can pack tighter; one that is never
/// waited for is what holds up the link.
fn next(level: u32, waited: f64) -> u32 {
    match waited {
        share if share > 0.5 => (level + 1).min(LEVELS.1),
        share if share < 0.1 => (level - 1).max(LEVELS.0),
        _ => level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_packs_tighter_and_who_is_waited_for_looser() {
        assert_eq!([0.0, 0.3, 0.9].map(|share| next(3, share)), [2, 3, 4]);
        assert_eq!((next(1, 0.0), next(9, 1.0)), (1, 9));
    }

    #[test]
    fn it_judges_a_span_at_a_time_and_only_where_it_may() {
        let gauge = Arc::new(Gauge::default());
        let half = SPAN as usize / 2;
        let mut pace = Pace::new(Arc::clone(&gauge), true);
        assert_eq!((pace.after(half, 3), gauge.taken()), (None, SPAN / 2));
        assert_eq!(pace.after(half, 3), Some(2));
        gauge.waits(Duration::from_secs(3600));
        assert_eq!((pace.after(half, 2), pace.after(half, 2)), (None, Some(3)));
        let mut fixed = Pace::new(gauge, false);
        assert_eq!(fixed.after(10 * half, 3), None);
    }
}
