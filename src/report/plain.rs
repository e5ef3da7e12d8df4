//! Events for people: one line for each thing, no cursor moves, fit for a terminal, a CI log and a file. Every line
//! stands alone, since those of several hosts interleave.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::time::Duration;

use super::safe;
use crate::event::{Event, EventKind, HostState, StepOutcome, Transfer};
use crate::secret::Mask;
use crate::text::{Paint, bytes, count, duration, list};

/// Output lines kept of each step, to be shown if it fails.
const KEPT: usize = 40;
/// The same for a build, which is shown whole: its cause often stands far from its end.
const KEPT_OF_BUILD: usize = 10_000;
/// The width of the step column.
const STEP: usize = 13;

/// How much is shown, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Also what commands print, as it comes.
    pub verbose: bool,
    /// Only warnings, failures and the end.
    pub quiet: bool,
    /// With colours. They only repeat what the words say.
    pub color: bool,
}

/// Writes events as lines of text.
pub struct Plain<W> {
    out: W,
    look: Look,
    mask: Mask,
    /// The width of the host column; none with a single host.
    width: Option<usize>,
    kept: HashMap<(Option<String>, &'static str), VecDeque<String>>,
    /// Logs of a host that explain a failure which is still to be told.
    logs: HashMap<Option<String>, Vec<String>>,
}

impl<W: Write> Plain<W> {
    /// A reporter that writes to `out`.
    pub fn new(out: W, look: Look, mask: Mask) -> Plain<W> {
        Plain { out, look, mask, width: None, kept: HashMap::new(), logs: HashMap::new() }
    }

    /// Writes one event: no line, one, or several.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        let host = event.host.as_deref();
        let mut lines = Vec::new();
        match &event.kind {
            EventKind::Started { verb, app, stage, hosts } => {
                if hosts.len() > 1 {
                    self.width = hosts.iter().map(|host| host.chars().count()).max();
                }
                let title = self.one_line(&format!("{verb} {app} ({stage}) on {}", list(hosts)));
                lines.push(self.paint(Paint::Strong, &title));
            }
            EventKind::Release { release, .. } => lines.push(format!("release {}", self.one_line(release))),
            EventKind::StepStarted { step } if self.look.verbose => {
                lines.push(format!("{step:STEP$} {}", self.paint(Paint::Dim, "...")));
            }
            EventKind::StepStarted { .. } | EventKind::Progress { .. } => {}
            EventKind::Transfer { step, transfer } => {
                lines.extend(sends(transfer).map(|text| format!("{step:STEP$}   {text}")))
            }
            EventKind::StepNote { step, text } => lines.push(format!("{step:STEP$}   {}", self.one_line(text))),
            EventKind::Output { step, line } => {
                let line = self.one_line(line);
                if self.look.verbose {
                    lines.push(self.paint(Paint::Dim, &format!("{step:STEP$}   | {line}")));
                } else {
                    let kept = self.kept.entry((event.host.clone(), step)).or_default();
                    kept.push_back(line);
                    if kept.len() > if *step == "build" { KEPT_OF_BUILD } else { KEPT } {
                        kept.pop_front();
                    }
                }
            }
            EventKind::StepFinished { step, outcome, detail, seconds } => {
                self.kept.remove(&(event.host.clone(), *step));
                let word = match outcome {
                    StepOutcome::Ok => self.paint(Paint::Good, "ok"),
                    StepOutcome::Skipped => self.paint(Paint::Dim, "skipped"),
                };
                let detail = with_time(self.one_line(detail), *seconds);
                lines.push(format!("{step:STEP$} {word}  {detail}").trim_end().to_owned());
            }
            EventKind::StepFailed { step, message, seconds } => {
                let after = duration(length(*seconds));
                let failed = format!("{step:STEP$} {}  after {after}", self.paint(Paint::Bad, "failed"));
                // With one host the error at the end says why.
                if self.width.is_some() {
                    let message = safe(&self.mask, message);
                    let first = message.first().map(String::as_str).unwrap_or_default();
                    lines.push(format!("{failed}: {first}"));
                    lines.extend(message.iter().skip(1).map(|line| format!("  {line}")));
                } else {
                    lines.push(failed);
                }
                let mut kept = self.kept.remove(&(event.host.clone(), *step)).unwrap_or_default();
                // A log that is told below need not be told twice.
                let logs = self.logs.get(&event.host);
                kept.retain(|line| {
                    !logs.is_some_and(|logs| logs.iter().any(|told| told.starts_with(&format!("    {line}"))))
                });
                if !kept.is_empty() {
                    lines.push(match *step {
                        "build" => "  what the build printed:".to_owned(),
                        _ => format!("  the last lines of {step}:"),
                    });
                    lines.extend(kept.iter().map(|line| format!("    {line}")));
                }
                lines.extend(self.logs.remove(&event.host).unwrap_or_default());
            }
            EventKind::Warning { text } => {
                let text = safe(&self.mask, text).join("\n  ");
                lines.extend(format!("{} {text}", self.paint(Paint::Warn, "warning:")).lines().map(str::to_owned));
            }
            EventKind::Log { title, lines: log } => {
                let mut text = vec![format!("  {}:", self.one_line(title))];
                let lines = log.iter().flat_map(|line| safe(&self.mask, line)).map(|line| format!("    {line}"));
                text.extend(folded(lines.collect()));
                self.logs.entry(event.host.clone()).or_default().extend(text);
            }
            EventKind::HostEnded { state, detail } => {
                lines.extend(self.logs.remove(&event.host).unwrap_or_default());
                let (word, paint) = match state {
                    HostState::Released => ("released", Paint::Good),
                    HostState::Untouched => ("untouched", Paint::Strong),
                    HostState::Reverted => ("reverted", Paint::Strong),
                    HostState::Unknown => ("unknown", Paint::Bad),
                };
                // With one host the last line says the same.
                if self.width.is_some() || *state == HostState::Unknown {
                    lines.push(format!("{}  {}", self.paint(paint, word), self.one_line(detail)).trim_end().to_owned());
                }
            }
            EventKind::Ended { code, state, error, hint, seconds, .. } => {
                self.end(*code, state, error.as_deref(), hint.as_deref(), *seconds, &mut lines);
            }
        }
        if self.look.quiet && !matters(&event.kind) {
            return Ok(());
        }
        self.write(host, matches!(event.kind, EventKind::Started { .. } | EventKind::Ended { .. }), &lines)
    }

    fn end(
        &self,
        code: u8,
        state: &str,
        error: Option<&str>,
        hint: Option<&str>,
        seconds: f64,
        lines: &mut Vec<String>,
    ) {
        let mut titled = |paint: Paint, title: &str, text: &str| {
            for (i, line) in safe(&self.mask, text).into_iter().enumerate() {
                lines.push(match i {
                    0 => format!("{} {line}", self.paint(paint, title)),
                    _ => format!("  {line}"),
                });
            }
        };
        let good = code == 0;
        if let Some(error) = error {
            titled(Paint::Bad, "error:", error);
        }
        let took = duration(length(seconds));
        match good {
            true => titled(Paint::Good, "done:", &format!("{state} ({took})")),
            false => titled(Paint::Strong, "now:", state),
        }
        if let Some(hint) = hint {
            titled(Paint::Strong, "next:", hint);
        }
    }

    fn write(&mut self, host: Option<&str>, whole_run: bool, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let prefix = match self.width {
            Some(width) if !whole_run => {
                let name = self.one_line(host.unwrap_or_default());
                self.paint(Paint::Strong, &format!("{name:width$}")) + "  "
            }
            _ => String::new(),
        };
        let text: String = lines.iter().map(|line| format!("{prefix}{line}\n")).collect();
        // One write for the whole, so that nobody else's line falls in between.
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn one_line(&self, text: &str) -> String {
        safe(&self.mask, text).join(" ")
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        paint.over(self.look.color, text)
    }
}

impl Plain<Vec<u8>> {
    /// The lines of one event, for a reporter that puts them elsewhere.
    pub(super) fn lines(&mut self, event: &Event) -> String {
        // Writing to memory does not fail.
        let _ = self.event(event);
        String::from_utf8_lossy(&std::mem::take(&mut self.out)).into_owned()
    }
}

/// What crashes again and again says the same again and again: once, with how often.
fn folded(lines: Vec<String>) -> Vec<String> {
    let same = lines.chunk_by(|a, b| a == b);
    same.map(|same| match same.len() {
        1 => same[0].clone(),
        n => format!("{}  ({n} times)", same[0]),
    })
    .collect()
}

/// Whether an event is shown with `--quiet`.
fn matters(kind: &EventKind) -> bool {
    match kind {
        EventKind::StepFailed { .. } | EventKind::Warning { .. } | EventKind::Log { .. } | EventKind::Ended { .. } => {
            true
        }
        EventKind::HostEnded { state, .. } => *state != HostState::Released,
        EventKind::Started { .. }
        | EventKind::Release { .. }
        | EventKind::StepStarted { .. }
        | EventKind::StepNote { .. }
        | EventKind::Output { .. }
        | EventKind::Transfer { .. }
        | EventKind::Progress { .. }
        | EventKind::StepFinished { .. } => false,
    }
}

/// What a host is going to be sent where it has a part already: `sends 3 of 45 files (157 KB), 42 are there (4.0 MB)`.
pub(super) fn sends(transfer: &Transfer) -> Option<String> {
    let Transfer { sent, reused, wire, .. } = transfer;
    let all = count(sent.files + reused.files, "file");
    let text = format!(
        "sends {} of {all} ({}), {} are there ({})",
        sent.files,
        bytes(sent.bytes),
        reused.files,
        bytes(reused.bytes)
    );
    (reused.files > 0 && wire.is_none()).then_some(text)
}

/// `detail in 2.1s`; no time where it is too short to matter.
pub(super) fn with_time(detail: String, seconds: f64) -> String {
    let time = length(seconds);
    if time < Duration::from_millis(50) {
        return detail;
    }
    match detail.is_empty() {
        true => duration(time),
        false => format!("{detail} in {}", duration(time)),
    }
}

pub(super) fn length(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
