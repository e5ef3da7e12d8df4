//! Events for GitHub Actions: plain lines, folded step by step into groups, with annotations, masks, a summary and
//! outputs. Text from elsewhere never becomes a command to the runner.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::path::Path;

use super::summary::{Files, Summary};
use super::{Look, Plain, safe, told};
use crate::error::Error;
use crate::event::{Event, EventKind};
use crate::secret::Mask;

/// Of a step that was told as it went, the lines that are repeated outside its fold when it fails.
const REPEATED: usize = 30;
/// Of a step that is told at its end, the lines that are kept: the last ones, as everywhere.
const KEPT: usize = 10_000;

type Key = (Option<String>, &'static str);

/// Writes events as a job's log.
pub struct Github<W> {
    out: W,
    mask: Mask,
    plain: Plain<Vec<u8>>,
    /// The step whose group is open; its lines are written as they come.
    open: Option<Key>,
    /// What came from others meanwhile: groups can't be nested or interleaved.
    waiting: String,
    /// Lines of the steps that go on.
    lines: HashMap<Key, VecDeque<String>>,
    files: Files,
    summary: Summary,
}

impl<W: Write> Github<W> {
    /// A reporter that writes the log to `out`, and summary and outputs to `files`. The masks come first.
    pub fn new(mut out: W, look: Look, mask: Mask, files: Files) -> Github<W> {
        for value in mask.values() {
            let _ = writeln!(out, "::add-mask::{}", data(value));
        }
        // What is folded is no burden, and the failed step's lines are told from here.
        let plain = Plain::new(Vec::new(), Look { verbose: false, ..look }, mask.clone());
        let (lines, summary) = (HashMap::new(), Summary::default());
        Github { out, mask, plain, open: None, waiting: String::new(), lines, files, summary }
    }

    /// Writes one event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        self.summary.take(event, |text| safe(&self.mask, text).join("\n"));
        let key = |step: &'static str| (event.host.clone(), step);
        match &event.kind {
            EventKind::StepStarted { step: step @ "build" } => {
                self.open = Some(key(step));
                self.write(&format!("::group::{step}\n"))
            }
            EventKind::Output { step, line } => self.line(key(step), line),
            EventKind::StepNote { step, text } => self.line(key(step), text),
            EventKind::StepFinished { step, .. } => {
                let title = inert(&self.plain.lines(event));
                let lines = self.lines.remove(&key(step)).unwrap_or_default();
                if self.open.as_ref() == Some(&key(step)) {
                    return self.close(&title);
                }
                match lines.is_empty() {
                    true => self.tell(&title),
                    false => self.tell(&format!("::group::{title}{}::endgroup::\n", joined(&lines, 0))),
                }
            }
            EventKind::StepFailed { step, .. } => {
                let lines = self.lines.remove(&key(step)).unwrap_or_default();
                let told = self.open.as_ref() == Some(&key(step));
                let from = if told { lines.len().saturating_sub(REPEATED) } else { 0 };
                let text = format!("{}{}", inert(&self.plain.lines(event)), joined(&lines, from));
                if told { self.close(&text) } else { self.tell(&text) }
            }
            EventKind::Warning { text } => {
                let text = safe(&self.mask, text).join("\n");
                let host = event.host.as_deref().map(|host| format!(" title={}", property(host))).unwrap_or_default();
                self.tell(&format!("::warning{host}::{}\n", data(&text)))
            }
            EventKind::Ended { state, error, .. } => {
                self.close("")?;
                if let Some(error) = error {
                    let title = property(&format!("{}: {}", self.summary.title(), first_line(state)));
                    let error = safe(&self.mask, error).join("\n");
                    self.tell(&format!("::error title={title}::{}\n", data(&error)))?;
                }
                let mut rest = event.clone();
                if let EventKind::Ended { error, .. } = &mut rest.kind {
                    *error = None;
                }
                let text = inert(&self.plain.lines(&rest));
                self.files.append(&self.summary);
                self.tell(&text)
            }
            EventKind::Started { .. }
            | EventKind::Release { .. }
            | EventKind::StepStarted { .. }
            | EventKind::Transfer { .. }
            | EventKind::Progress { .. }
            | EventKind::Log { .. }
            | EventKind::HostEnded { .. } => {
                let text = inert(&self.plain.lines(event));
                self.tell(&text)
            }
        }
    }

    /// A line of a step: written where its group is open, else kept for its end.
    fn line(&mut self, key: Key, text: &str) -> io::Result<()> {
        let line = format!("  {}", safe(&self.mask, text).join(" "));
        let text = inert(&format!("{line}\n"));
        let open = self.open.as_ref() == Some(&key);
        let lines = self.lines.entry(key).or_default();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
        if open { self.write(&text) } else { Ok(()) }
    }

    /// Writes what stands outside any group.
    fn tell(&mut self, text: &str) -> io::Result<()> {
        if self.open.is_some() {
            self.waiting += text;
            return Ok(());
        }
        self.write(text)
    }

    /// Closes the open group and tells `text` and what waited for it.
    fn close(&mut self, text: &str) -> io::Result<()> {
        let end = if self.open.take().is_some() { "::endgroup::\n" } else { "" };
        let all = format!("{end}{}{text}", std::mem::take(&mut self.waiting));
        self.write(&all)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// An error before any run began: an annotation for each problem at its place in the file, or one for the whole.
pub(super) fn annotations(error: &Error, workspace: Option<&Path>) -> String {
    let Error::Config { file, problems } = error else {
        return format!("::error title=shipit::{}\n", data(&told(&error.to_string())));
    };
    let full = std::path::absolute(file).unwrap_or_else(|_| file.clone());
    let name = workspace.and_then(|root| full.strip_prefix(root).ok()).unwrap_or(&full).to_string_lossy();
    let one = |problem: &crate::error::Problem| {
        let at = problem.at.map_or(String::new(), |(line, column)| {
            let end = column + problem.width.saturating_sub(1);
            format!(",line={line},endLine={line},col={column},endColumn={end}")
        });
        let hint = if problem.hint.is_empty() { String::new() } else { format!(" ({})", problem.hint) };
        format!("::error file={}{at}::{}\n", property(&name), data(&told(&format!("{}{hint}", problem.what))))
    };
    problems.iter().map(one).collect()
}

/// Text that the runner takes for nothing else: no line is a command, in either of its two spellings.
pub fn inert(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace("##[", "# #[");
        match line.trim_start().starts_with("::") {
            true => line.replacen("::", ": :", 1),
            false => line,
        }
    };
    let end = if text.ends_with('\n') { "\n" } else { "" };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + end
}

/// A command's value.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of one of a command's properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The lines from the one of this number on.
fn joined(lines: &VecDeque<String>, from: usize) -> String {
    lines.iter().skip(from).map(|line| inert(&format!("{line}\n"))).collect()
}
