//! Events for people at a terminal: one line a host that moves (step, elapsed, what it says), below lines that stay.
//! What has to be read or copied later stays; what only shows that work goes on does not. Decides nothing else.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain::length;
use super::{Look, Plain, safe};
use crate::event::{Event, EventKind, HostState, StepOutcome};
use crate::secret::Mask;
use crate::text::{Paint, bytes, duration};

/// How often a line is drawn though nothing happens, so that its time moves.
const TICK: Duration = Duration::from_millis(200);
/// Steps that took less are not worth a word in a host's last line.
const SHORT: f64 = 0.5;
/// What the line of this machine's own steps is called.
const HERE: &str = "here";

/// Draws events.
pub struct Bars<W> {
    out: W,
    look: Look,
    mask: Mask,
    lines: Plain<Vec<u8>>,
    multi: MultiProgress,
    rows: Vec<Row>,
    /// The width of the names.
    width: usize,
    /// Whether there are several hosts: then a host's finished steps leave no lines of their own.
    several: bool,
    /// Hosts that are not connected yet. Nothing is drawn before they are: ssh may ask for a passphrase.
    connecting: HashSet<String>,
}

/// The line of one host, or of this machine.
struct Row {
    host: Option<String>,
    bar: Option<ProgressBar>,
    step: &'static str,
    began: Instant,
    /// Since when bytes are sent.
    sending: Option<Instant>,
    says: String,
    /// The steps that took their time, for the last line.
    took: Vec<String>,
}

impl<W: Write> Bars<W> {
    /// A reporter that draws on `target` and writes what stays to `out`, which is the same terminal.
    pub fn new(out: W, target: ProgressDrawTarget, look: Look, mask: Mask) -> Bars<W> {
        let lines = Plain::new(Vec::new(), look, mask.clone());
        let multi = MultiProgress::with_draw_target(target);
        Bars {
            out,
            look,
            mask,
            lines,
            multi,
            rows: Vec::new(),
            width: HERE.len(),
            several: false,
            connecting: HashSet::new(),
        }
    }

    /// Draws one event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        self.advance(event);
        let said = self.last_words(event);
        let text = self.lines.lines(&said);
        if !self.stays(event) || text.is_empty() {
            return Ok(());
        }
        let out = &mut self.out;
        self.multi.suspend(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Whether an event leaves a line.
    fn stays(&self, event: &Event) -> bool {
        match &event.kind {
            EventKind::StepFinished { outcome, .. } => {
                *outcome == StepOutcome::Ok && (event.host.is_none() || !self.several)
            }
            EventKind::StepNote { .. } => !self.connecting.is_empty(),
            EventKind::StepStarted { .. } | EventKind::Progress { .. } => false,
            // Where it is not wanted as it comes, there is no text of it.
            EventKind::Output { .. } => true,
            EventKind::Started { .. }
            | EventKind::Release { .. }
            | EventKind::StepFailed { .. }
            | EventKind::Warning { .. }
            | EventKind::Log { .. }
            | EventKind::HostEnded { .. }
            | EventKind::Ended { .. } => true,
        }
    }

    /// The event; a released host's end with what its steps took.
    fn last_words(&self, event: &Event) -> Event {
        let mut event = event.clone();
        if let EventKind::HostEnded { state: HostState::Released, detail } = &mut event.kind
            && let Some(row) = self.rows.iter().find(|row| row.host == event.host)
        {
            *detail = row.took.join(", ");
        }
        event
    }

    fn advance(&mut self, event: &Event) {
        let host = event.host.as_ref();
        match &event.kind {
            EventKind::Started { hosts, .. } => {
                self.several = hosts.len() > 1;
                self.width = hosts.iter().map(|host| host.chars().count()).max().unwrap_or(0).clamp(HERE.len(), 24);
                self.connecting = hosts.iter().cloned().collect();
            }
            EventKind::StepStarted { step } => self.change(host, |row| row.begin(step)),
            EventKind::StepNote { text, .. } => self.say(host, text),
            EventKind::Output { line, .. } if !line.trim().is_empty() && !self.look.verbose => self.say(host, line),
            EventKind::Progress { done, total, .. } => self.change(host, |row| row.sent(*done, *total)),
            EventKind::StepFinished { step, outcome, seconds, .. } => {
                self.change(host, |row| row.finish(step, *outcome, *seconds));
                self.connected(host);
                // The last step of this machine.
                if *step == "package" {
                    self.remove(None);
                }
            }
            EventKind::StepFailed { .. } => {
                self.connected(host);
                match host {
                    Some(_) => self.say(host, "failed"),
                    None => self.remove(None),
                }
            }
            EventKind::HostEnded { .. } => self.hide(host),
            EventKind::Ended { .. } => {
                self.connecting.clear();
                while let Some(row) = self.rows.pop() {
                    self.clear(row.bar);
                }
            }
            EventKind::Output { .. }
            | EventKind::Release { .. }
            | EventKind::Warning { .. }
            | EventKind::Log { .. } => {}
        }
        if self.connecting.is_empty() {
            self.draw();
        }
    }

    fn change(&mut self, host: Option<&String>, how: impl FnOnce(&mut Row)) {
        let at = self.rows.iter().position(|row| row.host.as_ref() == host).unwrap_or_else(|| {
            self.rows.push(Row {
                host: host.cloned(),
                bar: None,
                step: "",
                began: Instant::now(),
                sending: None,
                says: String::new(),
                took: Vec::new(),
            });
            self.rows.len() - 1
        });
        how(&mut self.rows[at]);
    }

    fn say(&mut self, host: Option<&String>, text: &str) {
        let text = safe(&self.mask, text).join(" ");
        self.change(host, |row| row.says = text);
    }

    fn connected(&mut self, host: Option<&String>) {
        if let Some(host) = host {
            self.connecting.remove(host);
        }
    }

    /// Takes a line away; its host has said its last.
    fn hide(&mut self, host: Option<&String>) {
        let row = self.rows.iter_mut().find(|row| row.host.as_ref() == host);
        let bar = row.and_then(|row| row.bar.replace(ProgressBar::hidden()));
        self.clear(bar);
    }

    fn remove(&mut self, host: Option<&String>) {
        if let Some(at) = self.rows.iter().position(|row| row.host.as_ref() == host) {
            let row = self.rows.remove(at);
            self.clear(row.bar);
        }
    }

    fn clear(&self, bar: Option<ProgressBar>) {
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    /// Brings every line to what its row says.
    fn draw(&mut self) {
        for row in &mut self.rows {
            let fresh = row.bar.is_none();
            let bar = row.bar.get_or_insert_with(|| {
                let bar = ProgressBar::new_spinner().with_style(style());
                // This machine's own line stands above those of the hosts.
                match row.host {
                    None => self.multi.insert(0, bar),
                    Some(_) => self.multi.add(bar),
                }
            });
            let name = safe(&self.mask, row.host.as_deref().unwrap_or(HERE)).join(" ");
            let name: String = name.chars().take(self.width).collect();
            let name = Paint::Strong.over(self.look.color, &format!("{name:width$}", width = self.width));
            bar.set_prefix(format!("{name}  {:10}", row.step));
            bar.set_message(row.says.clone());
            if fresh {
                bar.enable_steady_tick(TICK);
            }
            if bar.elapsed().abs_diff(row.began.elapsed()) > TICK {
                *bar = bar.clone().with_elapsed(row.began.elapsed());
            }
        }
    }
}

impl Row {
    fn begin(&mut self, step: &'static str) {
        (self.step, self.began, self.sending) = (step, Instant::now(), None);
        self.says.clear();
    }

    fn sent(&mut self, done: u64, total: u64) {
        let began = *self.sending.get_or_insert(self.began);
        let rate = done as f64 / began.elapsed().as_secs_f64().max(0.001);
        self.says = format!("{} of {}, {}/s", bytes(done), bytes(total), bytes(rate as u64));
    }

    fn finish(&mut self, step: &'static str, outcome: StepOutcome, seconds: f64) {
        self.says = "ok".into();
        if outcome == StepOutcome::Ok && seconds >= SHORT {
            self.took.push(format!("{step} {}", duration(length(seconds))));
        }
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{spinner} {prefix} {took:>4}  {wide_msg}");
    let style = style.expect("the template is well-formed");
    let took = |state: &indicatif::ProgressState, to: &mut dyn std::fmt::Write| {
        // Whole seconds: tenths would only flicker.
        let _ = to.write_str(&duration(Duration::from_secs(state.elapsed().as_secs())));
    };
    style.tick_chars(r"-\|/ ").with_key("took", took)
}
