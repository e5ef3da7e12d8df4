//! Events made into text for people or programs. The only place that prints during a run. A reporter never stops
//! a run: what can't be written is dropped, and a reader that stands still holds up nothing but its own lines.

pub mod json;
pub mod plain;
#[cfg(test)]
mod tests;

use std::io;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::event::Event;
use crate::secret::Mask;
use crate::text::clean;

pub use json::Json;
pub use plain::{Look, Plain};

/// The most characters of one line from elsewhere.
const LONGEST: usize = 2000;

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// People: lines on stderr.
    Plain(Look),
    /// Programs: one JSON object a line on stdout.
    Json,
}

/// Writes each event until all senders are gone; wait for the handle before the program ends. On a thread of its
/// own: a full pipe must not hold up the pings that keep the hosts from reverting.
pub fn spawn(kind: Kind, mask: Mask, events: UnboundedReceiver<Event>) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || match kind {
        Kind::Plain(look) => {
            let mut plain = Plain::new(io::stderr(), look, mask);
            drain(events, |event| plain.event(event));
        }
        Kind::Json => {
            let mut json = Json::new(io::stdout(), mask);
            drain(events, |event| json.event(event));
        }
    })
}

/// Hands over every event; after the first that could not be written, drops them.
fn drain(mut events: UnboundedReceiver<Event>, mut write: impl FnMut(&Event) -> io::Result<()>) {
    let mut open = true;
    while let Some(event) = events.blocking_recv() {
        open = open && write(&event).is_ok();
    }
}

/// An error that no run's events tell: before any began, or of a host in a listing.
pub fn error(error: &Error) {
    eprintln!("error: {error}");
    let hint = error.hint();
    if !hint.is_empty() {
        eprintln!(" hint: {hint}");
    }
}

/// Whether to colour: what `--color` says (`None`: auto), else only on a terminal that wants it.
pub fn colored(always: Option<bool>, terminal: bool, env: &dyn Fn(&str) -> Option<String>) -> bool {
    let unwanted =
        || env("NO_COLOR").is_some_and(|value| !value.is_empty()) || env("TERM").is_some_and(|value| value == "dumb");
    always.unwrap_or_else(|| terminal && !unwanted())
}

/// Text from elsewhere, line by line, without secrets and control characters. Masked before and after cleaning:
/// what is dropped may have stood inside a secret.
fn safe(mask: &Mask, text: &str) -> Vec<String> {
    let lines = |text: String| text.lines().map(|line| mask.apply(&clean(line, LONGEST))).collect();
    lines(mask.apply(text))
}
