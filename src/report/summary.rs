//! What GitHub keeps of a run: a page for people in the step's summary, words for later steps in its outputs. Takes in
//! events; writes only at the end.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use super::plain::length;
use crate::event::{Event, EventKind, HostState, StepOutcome};
use crate::text::duration;

/// The files that GitHub names to a step.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `GITHUB_STEP_SUMMARY`
    pub summary: Option<PathBuf>,
    /// `GITHUB_OUTPUT`
    pub output: Option<PathBuf>,
}

impl Files {
    /// As the environment names them.
    pub fn find(env: &dyn Fn(&str) -> Option<String>) -> Files {
        let file = |name: &str| env(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Files { summary: file("GITHUB_STEP_SUMMARY"), output: file("GITHUB_OUTPUT") }
    }

    /// Adds to both. A file that can't be written must not stop a run that has ended.
    pub(super) fn append(&self, summary: &Summary) {
        for (file, text) in [(&self.summary, summary.page()), (&self.output, summary.outputs())] {
            let file = file.as_ref().map(|path| OpenOptions::new().append(true).create(true).open(path));
            let _ = file.map(|file| file.and_then(|mut file| file.write_all(text.as_bytes())));
        }
    }
}

/// A run so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    what: String,
    release: Option<String>,
    commit: Option<String>,
    previous: Option<String>,
    /// Steps in the order of their ends.
    steps: Vec<&'static str>,
    /// Where, and each step's cell.
    rows: Vec<(String, Vec<(&'static str, String)>)>,
    states: Vec<HostState>,
    logs: String,
    end: String,
}

impl Summary {
    /// A run that ended before it began.
    pub(super) fn refused(text: &str) -> Summary {
        let end = format!("\n**Nothing was done.** No host was changed.\n\n{}", fenced(text));
        Summary { what: "shipit".into(), states: vec![HostState::Untouched], end, ..Summary::default() }
    }

    /// `deploy blog (production)`
    pub(super) fn title(&self) -> &str {
        &self.what
    }

    /// Takes in an event; `clean` masks and cleans what comes from elsewhere.
    pub(super) fn take(&mut self, event: &Event, clean: impl Fn(&str) -> String) {
        match &event.kind {
            EventKind::Started { verb, app, stage, .. } => self.what = clean(&format!("{verb} {app} ({stage})")),
            EventKind::Release { release, commit } => {
                (self.release, self.commit) = (Some(clean(release)), commit.as_deref().map(clean));
            }
            EventKind::StepFinished { step, outcome, seconds, .. } => {
                let text = match outcome {
                    StepOutcome::Ok if *seconds < 0.05 => "ok".into(),
                    StepOutcome::Ok => duration(length(*seconds)),
                    StepOutcome::Skipped => "skipped".into(),
                };
                self.cell(event.host.as_deref(), step, text);
            }
            EventKind::StepFailed { step, seconds, .. } => {
                let text = format!("**failed** after {}", duration(length(*seconds)));
                self.cell(event.host.as_deref(), step, text);
            }
            EventKind::Log { title, lines } => {
                let lines: Vec<String> = lines.iter().map(|line| clean(line)).collect();
                let _ = write!(self.logs, "\n{}:\n\n{}", escaped(&clean(title)), fenced(&lines.join("\n")));
            }
            EventKind::HostEnded { state, .. } => self.states.push(*state),
            EventKind::Ended { code, state, error, hint, seconds, previous, .. } => {
                self.previous = previous.as_deref().map(&clean);
                let (mark, took) = (if *code == 0 { "" } else { "**Failed.** " }, duration(length(*seconds)));
                let _ = write!(self.end, "\n{mark}{} ({took}, exit code {code})\n", escaped(&clean(state)));
                if let Some(error) = error {
                    let _ = write!(self.end, "\n{}", fenced(&clean(error)));
                }
                if let Some(hint) = hint {
                    let _ = write!(self.end, "\nNext:\n\n{}", fenced(&clean(hint)));
                }
            }
            EventKind::StepStarted { .. }
            | EventKind::StepNote { .. }
            | EventKind::Output { .. }
            | EventKind::Transfer { .. }
            | EventKind::Progress { .. }
            | EventKind::Warning { .. } => {}
        }
    }

    fn cell(&mut self, host: Option<&str>, step: &'static str, text: String) {
        let place = host.unwrap_or("here");
        if !self.steps.contains(&step) {
            self.steps.push(step);
        }
        let at = self.rows.iter().position(|(name, _)| name == place).unwrap_or_else(|| {
            self.rows.push((place.to_owned(), Vec::new()));
            self.rows.len() - 1
        });
        self.rows[at].1.push((step, text));
    }

    fn page(&self) -> String {
        let mut page = format!("### {}\n", escaped(&self.what));
        let facts = [("release", &self.release), ("commit", &self.commit), ("before", &self.previous)];
        for (name, value) in facts {
            if let Some(value) = value {
                let _ = writeln!(page, "- {name} `{}`", value.replace('`', ""));
            }
        }
        page += &self.end;
        page += &self.logs;
        if !self.rows.is_empty() {
            let row = |first: &str, cells: Vec<&str>| format!("| {first} | {} |\n", cells.join(" | "));
            page += "\n";
            page += &row("", self.steps.clone());
            page += &row("---", vec!["---"; self.steps.len()]);
            for (place, cells) in &self.rows {
                let cell = |step: &&str| cells.iter().find(|(name, _)| name == step).map_or("", |(_, text)| text);
                page += &row(&escaped(place), self.steps.iter().map(cell).collect());
            }
        }
        page + "\n"
    }

    /// `state`: what production runs, in one word for all hosts, or `mixed`.
    fn outputs(&self) -> String {
        let state = match self.states.first() {
            None => "untouched",
            Some(first) if self.states.iter().any(|state| state != first) => "mixed",
            Some(HostState::Released) => "released",
            Some(HostState::Untouched) => "untouched",
            Some(HostState::Reverted) => "reverted",
            Some(HostState::Unknown) => "unknown",
        };
        // One line each: a line break in a value would be another output.
        let one_line = |text: &Option<String>| text.clone().unwrap_or_default().replace(['\r', '\n'], " ");
        format!("release={}\nprevious={}\nstate={state}\n", one_line(&self.release), one_line(&self.previous))
    }
}

/// Text that is no markup, also in a cell of a table.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.chars().fold(String::new(), |mut text, c| {
        if r"\`*_{}[]#|!~@".contains(c) {
            text.push('\\');
        }
        text.push(if c == '\n' { ' ' } else { c });
        text
    })
}

/// Text as it is; the fence is longer than any in it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n")
}
