//! Events for programs: one JSON object a line, nothing else, flushed at every line.

use std::io::{self, Write};

use serde_json::Value;

use super::safe;
use crate::event::Event;
use crate::secret::Mask;

/// Writes events as JSON lines.
pub struct Json<W> {
    out: W,
    mask: Mask,
}

impl<W: Write> Json<W> {
    /// A reporter that writes to `out`.
    pub fn new(out: W, mask: Mask) -> Json<W> {
        Json { out, mask }
    }

    /// Writes one event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        let value = clean(&self.mask, &serde_json::to_value(event)?);
        // One write for the whole line, so that a reader never sees half of one.
        self.out.write_all(format!("{value}\n").as_bytes())?;
        self.out.flush()
    }
}

/// The same value, each text in it without secrets and control characters.
pub fn clean(mask: &Mask, value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(safe(mask, text).join("\n")),
        Value::Array(items) => items.iter().map(|item| clean(mask, item)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (safe(mask, name).join(" "), clean(mask, field))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
