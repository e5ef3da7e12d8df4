//! `[service.command]`: the user's own lines that start, revert, stop and look at what runs the app. The lines are taken
//! as they are: the shell on the host does the expanding.

use super::reader::Section;
use super::schema::Command;
use super::values::{self, Wrong};

/// The table's settings for the app called `app`.
pub(super) fn read(section: &Section<'_>, app: &str) -> Command {
    section.missing("start", "the line that makes the release in `current` the running one");
    section.missing("revert", "the line that makes what ran before the running one again; `current` names it by then");
    let line = |name: &str| {
        let text = section.literal(name)?;
        if text.trim().is_empty() {
            section.wrong(name, "must not be empty", "");
        }
        Some(text)
    };
    Command {
        name: app.to_owned(),
        start: line("start").unwrap_or_default(),
        revert: line("revert").unwrap_or_default(),
        status: line("status"),
        stop: line("stop"),
        port: section.number("port", 1..=65535),
        env: section.map("env", variable),
        env_file: section.parsed("env_file", values::inside),
        start_timeout_ms: millis(section, "start_timeout", "60s"),
        revert_timeout_ms: millis(section, "revert_timeout", "60s"),
        status_timeout_ms: millis(section, "status_timeout", "10s"),
    }
}

fn millis(section: &Section<'_>, name: &str, default: &str) -> u64 {
    section.duration(name, default, "1s"..="1h").as_millis() as u64
}

fn variable(name: &str, value: &str) -> Result<(), Wrong> {
    super::sections::variable(name, value)?;
    match name {
        "PORT" => Err(("is set by shipit".into(), "write service.command.port = 3000".into())),
        _ => Ok(()),
    }
}
