//! What happened, in the order it happened: flat, serialisable, free of formatting. Work sends events; only
//! a reporter turns them into text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// One thing that happened, on one host or (without `host`) here.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When, by the client's clock.
    pub at: DateTime<Utc>,
    /// The host's name, as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kinds of event. `step` is a plan step's word.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A run began.
    Started {
        /// `deploy`, `rollback`, ...
        verb: &'static str,
        /// The app's name.
        app: String,
        /// The stage's name.
        stage: String,
        /// The selected hosts.
        hosts: Vec<String>,
    },
    /// The release of this run is decided.
    Release {
        /// Its id.
        release: String,
        /// The git commit it is made from, where one is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
    },
    /// A step began.
    StepStarted {
        /// The step.
        step: &'static str,
    },
    /// A step tells how far it is, in words.
    StepNote {
        /// The step.
        step: &'static str,
        /// One clean line.
        text: String,
    },
    /// A line that a build command or a host's tool printed.
    Output {
        /// The step.
        step: &'static str,
        /// One clean, masked line.
        line: String,
    },
    /// What a host is sent of the release, and what it has already; told before the first byte, and again, with `wire`,
    /// after the last.
    Transfer {
        /// The step.
        step: &'static str,
        /// The figures.
        #[serde(flatten)]
        transfer: Transfer,
    },
    /// Bytes sent so far, of those in the files that travel. Throttled at the source.
    Progress {
        /// The step.
        step: &'static str,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A step ended well, or had nothing to do.
    StepFinished {
        /// The step.
        step: &'static str,
        /// Whether it did anything.
        outcome: StepOutcome,
        /// What it did, or why it had nothing to do, in a few words.
        detail: String,
        /// How long it took.
        seconds: f64,
    },
    /// A step failed. What follows is the way back.
    StepFailed {
        /// The step.
        step: &'static str,
        /// Why.
        message: String,
        /// How long it took.
        seconds: f64,
    },
    /// Something the user should know that stops nothing.
    Warning {
        /// One sentence.
        text: String,
    },
    /// The last lines of a log that explains a failure.
    Log {
        /// Whose log.
        title: String,
        /// Clean, masked lines.
        lines: Vec<String>,
    },
    /// What this host runs at the end of the run.
    HostEnded {
        /// In one word.
        state: HostState,
        /// In a sentence.
        detail: String,
    },
    /// The run ended.
    Ended {
        /// The exit code.
        code: u8,
        /// What production is like now, in a sentence.
        state: String,
        /// The release of this run, where one was made or chosen.
        #[serde(skip_serializing_if = "Option::is_none")]
        release: Option<String>,
        /// What was live before.
        #[serde(skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
        /// What failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What to do next.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// How long the run took.
        seconds: f64,
    },
}

/// How a host came by the files of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Files that travelled.
    pub sent: Amount,
    /// Files that it had, under whatever name.
    pub reused: Amount,
    /// Assets of earlier releases that it had and keeps; known at the end.
    #[serde(default, skip_serializing_if = "Amount::is_none")]
    pub assets: Amount,
    /// Bytes that crossed the wire for it: packed, with all that goes along. None: not yet known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<u64>,
}

/// Files and the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub files: usize,
    /// Bytes in them.
    pub bytes: u64,
}

impl Amount {
    /// Whether it is nothing.
    pub fn is_none(&self) -> bool {
        self.files == 0
    }

    /// One more file.
    pub fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl Transfer {
    /// `42 of 45 files reused`; none where no file was.
    pub fn reuse(&self) -> Option<String> {
        let reused = self.reused.files + self.assets.files;
        let all = crate::text::count(self.sent.files + reused, "file");
        (reused > 0).then(|| format!("{reused} of {all} reused"))
    }
}

/// Whether a finished step did anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It did its work.
    Ok,
    /// There was nothing to do.
    Skipped,
}

/// What a host runs when a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// The new release, committed.
    Released,
    /// What was live before; the switch was never begun.
    Untouched,
    /// What was live before; the switch was taken back and that is proved.
    Reverted,
    /// Not known, or neither: a human must look.
    Unknown,
}

/// How many bytes of output lines may wait for a reporter: the pipe that it writes to may stand still while a command
/// prints on and on.
const BACKLOG: usize = 32 * 1024 * 1024;
/// What an event takes beside its text.
const EACH: usize = 256;

/// Where events go. Cheap to clone; never blocks, never fails: without a listener events are dropped.
#[derive(Clone, Debug)]
pub struct Events {
    to: mpsc::UnboundedSender<Event>,
    host: Option<String>,
    waiting: Arc<Waiting>,
}

/// The other end.
#[derive(Debug)]
pub struct Listener {
    from: mpsc::UnboundedReceiver<Event>,
    waiting: Arc<Waiting>,
}

/// What of the output lines is not read yet, and how many lines were left out for it.
#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    left_out: AtomicUsize,
}

/// What an event counts in the backlog: only output is without bounds.
fn weight(kind: &EventKind) -> usize {
    match kind {
        EventKind::Output { line, .. } => line.len() + EACH,
        _ => 0,
    }
}

impl Events {
    /// A sender and the end to read from.
    pub fn channel() -> (Events, Listener) {
        let (to, from) = mpsc::unbounded_channel();
        let waiting = Arc::<Waiting>::default();
        (Events { to, host: None, waiting: Arc::clone(&waiting) }, Listener { from, waiting })
    }

    /// The same sender, speaking for one host.
    pub fn of(&self, host: &str) -> Events {
        Events { host: Some(host.to_owned()), ..self.clone() }
    }

    /// Sends one event, stamped now. A line of output that comes faster than such lines are written is left out, and
    /// how many were is told before the next one.
    pub fn send(&self, kind: EventKind) {
        let weight = weight(&kind);
        if weight > 0 && self.waiting.bytes.load(Ordering::Relaxed) + weight > BACKLOG {
            self.waiting.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let EventKind::Output { step, .. } = &kind
            && self.waiting.left_out.load(Ordering::Relaxed) > 0
        {
            let n = self.waiting.left_out.swap(0, Ordering::Relaxed);
            let line =
                format!("({} left out here: they came faster than they were written)", crate::text::count(n, "line"));
            self.post(EventKind::Output { step, line });
        }
        self.post(kind);
    }

    fn post(&self, kind: EventKind) {
        self.waiting.bytes.fetch_add(weight(&kind), Ordering::Relaxed);
        // A reporter that is gone must not stop a deploy.
        let _ = self.to.send(Event { at: Utc::now(), host: self.host.clone(), kind });
    }

    /// Sends a warning.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(EventKind::Warning { text: text.into() });
    }
}

impl Listener {
    /// The next event; none when all senders are gone.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.from.recv().await;
        self.taken(event)
    }

    /// The same, for a thread that is no task.
    pub fn blocking_next(&mut self) -> Option<Event> {
        let event = self.from.blocking_recv();
        self.taken(event)
    }

    fn taken(&self, event: Option<Event>) -> Option<Event> {
        let weight = event.as_ref().map_or(0, |event| weight(&event.kind));
        self.waiting.bytes.fetch_sub(weight, Ordering::Relaxed);
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_nobody_reads_is_left_out_and_that_is_told() {
        let (events, mut listener) = Events::channel();
        let output = |line: String| EventKind::Output { step: "build", line };
        for _ in 0..50_000 {
            events.send(output("x".repeat(2000)));
        }
        events.warn("still told");
        let mut lines = 0;
        let mut warned = false;
        while !warned {
            match listener.blocking_next().unwrap().kind {
                EventKind::Output { .. } => lines += 1,
                kind => warned = matches!(kind, EventKind::Warning { .. }),
            }
        }
        assert_eq!(lines, BACKLOG / (2000 + EACH));
        events.send(output("last".into()));
        let mut next = || match listener.blocking_next().unwrap().kind {
            EventKind::Output { line, .. } => line,
            kind => panic!("{kind:?}"),
        };
        assert!(next().starts_with(&format!("({} lines left out", 50_000 - lines)));
        assert_eq!(next(), "last");
    }
}
