//! Events made into text for people or programs. The only place that prints during a run. A reporter never stops
//! a run: what can't be written is dropped, and a reader that stands still holds up nothing but its own lines.

pub mod bars;
pub mod github;
pub mod json;
pub mod plain;
mod screen;
mod summary;
mod tests;

use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::error::{Error, show_problems};
use crate::event::{Event, Listener};
use crate::secret::Mask;
use crate::text::{Paint, clean};

pub use bars::Bars;
pub use github::Github;
pub use json::Json;
pub use plain::{Look, Plain};
pub use summary::Files;

/// How often what moves is drawn though nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// The most characters of one line from elsewhere.
const LONGEST: usize = 2000;

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// People: lines on stderr.
    Plain(Look),
    /// People at a terminal: lines on stderr, and below them one for each host that moves.
    Bars(Look),
    /// A job of GitHub Actions: lines on stderr, summary and outputs in the files that it names.
    Github(Look),
    /// Programs: one JSON object a line on stdout.
    Json,
}

/// Writes each event until all senders are gone; wait for the handle before the program ends. On a thread of its
/// own: a full pipe must not hold up the pings that keep the hosts from reverting.
pub fn spawn(kind: Kind, mask: Mask, events: Listener) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || match kind {
        Kind::Plain(look) => {
            let mut plain = Plain::new(io::stderr(), look, mask);
            drain(events, |event| plain.event(event));
        }
        Kind::Bars(look) => {
            let mut bars = Bars::new(io::stderr(), size, look, mask);
            drain_ticking(events, |event| match event {
                Some(event) => bars.event(event),
                None => bars.tick(),
            });
        }
        Kind::Github(look) => {
            let mut github = Github::new(io::stderr(), look, mask, Files::find(&env));
            drain(events, |event| github.event(event));
        }
        Kind::Json => {
            let mut json = Json::new(io::stdout(), mask);
            drain(events, |event| json.event(event));
        }
    })
}

/// Hands over every event; after the first that could not be written, drops them.
fn drain(mut events: Listener, mut write: impl FnMut(&Event) -> io::Result<()>) {
    let mut open = true;
    while let Some(event) = events.blocking_next() {
        open = open && write(&event).is_ok();
    }
}

/// The same, and none whenever nothing has happened for a moment.
fn drain_ticking(mut events: Listener, mut write: impl FnMut(Option<&Event>) -> io::Result<()>) {
    let runtime = tokio::runtime::Handle::current();
    let mut open = true;
    loop {
        match runtime.block_on(async { tokio::time::timeout(TICK, events.next()).await }) {
            Ok(Some(event)) => open = open && write(Some(&event)).is_ok(),
            Ok(None) => return,
            Err(_) => open = open && write(None).is_ok(),
        }
    }
}

/// Columns and rows of the terminal at stderr.
fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or((80, 24), |(columns, rows)| (columns.0.into(), rows.0.into()))
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether this is a job of GitHub Actions.
pub fn on_github() -> bool {
    env("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Lines that no run's events tell, as they may be shown.
pub fn told(text: &str) -> String {
    let mask = Mask::known();
    let whole = mask.apply(text);
    whole.split('\n').map(|line| mask.apply(&clean(line, usize::MAX))).collect::<Vec<_>>().join("\n")
}

/// An error that no run's events tell, of a host in a listing.
pub fn error(error: &Error) {
    let text = failure(error, false);
    eprint!("{}", if on_github() { github::inert(&text) } else { text });
}

/// The error that ended the program before any run began.
pub fn refused(kind: Kind, error: &Error) {
    let color = matches!(kind, Kind::Plain(look) | Kind::Bars(look) if look.color);
    let text = failure(error, color);
    match kind {
        Kind::Plain(_) | Kind::Bars(_) => eprint!("{text}"),
        Kind::Github(_) => {
            let workspace = env("GITHUB_WORKSPACE").map(std::path::PathBuf::from);
            eprint!("{}{}", github::inert(&text), github::annotations(error, workspace.as_deref()));
            Files::find(&env).append(&summary::Summary::refused(&text));
        }
        Kind::Json => {
            let mut value = serde_json::json!({
                "event": "ended", "code": error.exit_code(), "error": error.to_string(), "hint": error.hint(),
            });
            if let Error::Config { file, problems } = error {
                value["file"] = file.to_string_lossy().into();
                value["problems"] = problems.iter().map(as_json).collect();
            }
            println!("{}", json::clean(&Mask::known(), &value));
            eprint!("{text}");
        }
    }
}

fn as_json(problem: &crate::error::Problem) -> serde_json::Value {
    let (line, column) = problem.at.unzip();
    serde_json::json!({
        "line": line, "column": column, "key": problem.key, "what": problem.what, "hint": problem.hint,
    })
}

/// The lines of an error: what, and what to do.
fn failure(error: &Error, color: bool) -> String {
    let what = match error {
        // Coloured where it stands, of a file that was read as text.
        Error::Config { file, problems } => Mask::known().apply(&show_problems(file, problems, color)),
        other => told(&other.to_string()),
    };
    let hint = told(&error.hint());
    let gap = if matches!(error, Error::Config { .. }) { "\n" } else { "" };
    let hint = match hint.is_empty() {
        true => String::new(),
        false => format!("{gap} {} {hint}\n", Paint::Strong.over(color, "hint:")),
    };
    format!("{} {what}\n{hint}", Paint::Bad.over(color, "error:"))
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
