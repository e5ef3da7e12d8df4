//! Events for people at a terminal: one line a host that moves (step, elapsed, what it says), below lines that stay.
//! What has to be read or copied later stays; what only shows that work goes on does not. Decides nothing else.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::plain::{length, sends};
use super::screen::{Screen, fitted};
use super::{Look, Plain, safe};
use crate::event::{Event, EventKind, HostState, StepOutcome};
use crate::secret::Mask;
use crate::text::{Paint, bytes, duration};

/// Steps that took less are not worth a word in a host's last line.
const SHORT: f64 = 0.5;
/// What the line of this machine's own steps is called.
const HERE: &str = "here";
/// No name takes more of a line than this.
const LONGEST_NAME: usize = 24;

/// Draws events.
pub struct Bars<W> {
    screen: Screen<W>,
    look: Look,
    mask: Mask,
    lines: Plain<Vec<u8>>,
    rows: Vec<Row>,
    /// The width of the names.
    width: usize,
    /// Whether there are several hosts: then a host's finished steps leave no lines of their own.
    several: bool,
    /// Hosts that are not connected yet. Nothing is drawn before they are: ssh may ask for a passphrase.
    connecting: HashSet<String>,
    /// How often it was drawn, for the sign of life.
    turns: usize,
}

/// The line of one host, or of this machine.
struct Row {
    host: Option<String>,
    step: &'static str,
    began: Instant,
    says: String,
    /// The steps that took their time, for the last line.
    took: Vec<String>,
    /// Its host has said its last.
    over: bool,
}

impl<W: Write> Bars<W> {
    /// A reporter for the terminal that `out` writes to and `size` tells columns and rows of.
    pub fn new(out: W, size: fn() -> (usize, usize), look: Look, mask: Mask) -> Bars<W> {
        let lines = Plain::new(Vec::new(), look, mask.clone());
        Bars {
            screen: Screen::new(out, size),
            look,
            mask,
            lines,
            rows: Vec::new(),
            width: HERE.len(),
            several: false,
            connecting: HashSet::new(),
            turns: 0,
        }
    }

    /// Draws one event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        self.advance(event);
        let said = self.last_words(event);
        let text = self.lines.lines(&said);
        let text = if self.stays(event) { text } else { String::new() };
        let rows = self.shown();
        self.screen.draw(&text, &rows)
    }

    /// Draws again though nothing happened, so that times move.
    pub fn tick(&mut self) -> io::Result<()> {
        self.turns += 1;
        let rows = self.shown();
        self.screen.draw("", &rows)
    }

    /// Whether an event leaves a line.
    fn stays(&self, event: &Event) -> bool {
        match &event.kind {
            EventKind::StepFinished { outcome, .. } => {
                *outcome == StepOutcome::Ok && (event.host.is_none() || !self.several)
            }
            EventKind::Transfer { .. } => false,
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
                self.width =
                    hosts.iter().map(|host| host.chars().count()).max().unwrap_or(0).clamp(HERE.len(), LONGEST_NAME);
                self.connecting = hosts.iter().cloned().collect();
            }
            EventKind::StepStarted { step } => self.change(host, |row| row.begin(step)),
            EventKind::StepNote { text, .. } => self.say(host, text),
            EventKind::Transfer { transfer, .. } => {
                if let Some(text) = sends(transfer) {
                    self.say(host, &text);
                }
            }
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
            EventKind::HostEnded { .. } => self.change(host, |row| row.over = true),
            EventKind::Ended { .. } => self.rows.clear(),
            EventKind::Output { .. }
            | EventKind::Release { .. }
            | EventKind::Warning { .. }
            | EventKind::Log { .. } => {}
        }
    }

    fn change(&mut self, host: Option<&String>, how: impl FnOnce(&mut Row)) {
        let at = self.rows.iter().position(|row| row.host.as_ref() == host).unwrap_or_else(|| {
            self.rows.push(Row {
                host: host.cloned(),
                step: "",
                began: Instant::now(),
                says: String::new(),
                took: Vec::new(),
                over: false,
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

    /// Takes the line away.
    fn remove(&mut self, host: Option<&String>) {
        self.rows.retain(|row| row.host.as_ref() != host);
    }

    /// What moves: this machine's own line first.
    fn shown(&self) -> Vec<String> {
        if !self.connecting.is_empty() {
            return Vec::new();
        }
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| !row.over).collect();
        rows.sort_by_key(|row| row.host.is_some());
        rows.into_iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &Row) -> String {
        const TURNS: [char; 4] = ['-', '\\', '|', '/'];
        let sign = TURNS[self.turns % TURNS.len()];
        let name = fitted(&safe(&self.mask, row.host.as_deref().unwrap_or(HERE)).join(" "), self.width);
        let pad = " ".repeat(self.width.saturating_sub(name.chars().count()));
        // Whole seconds: tenths would only flicker.
        let took = duration(Duration::from_secs(row.began.elapsed().as_secs()));
        let rest = format!("{pad}  {:10} {took:>4}  {}", row.step, row.says);
        // The name is the only part with a colour, and the line is cut to the terminal's width without it.
        let columns = self.screen.columns().saturating_sub(2);
        let name = fitted(&name, columns);
        let rest = fitted(&rest, columns.saturating_sub(name.chars().count()));
        format!("{sign} {}{rest}", Paint::Strong.over(self.look.color, &name))
    }
}

impl Row {
    fn begin(&mut self, step: &'static str) {
        (self.step, self.began) = (step, Instant::now());
        self.says.clear();
    }

    fn sent(&mut self, done: u64, total: u64) {
        let rate = done as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        self.says = format!("{} of {}, {}/s", bytes(done), bytes(total), bytes(rate as u64));
    }

    fn finish(&mut self, step: &'static str, outcome: StepOutcome, seconds: f64) {
        self.says = "ok".into();
        if outcome == StepOutcome::Ok && seconds >= SHORT {
            self.took.push(format!("{step} {}", duration(length(seconds))));
        }
    }
}
