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
        let mut value = serde_json::to_value(event)?;
        self.clean(&mut value);
        // One write for the whole line, so that a reader never sees half of one.
        self.out.write_all(format!("{value}\n").as_bytes())?;
        self.out.flush()
    }

    fn clean(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = safe(&self.mask, text).join("\n"),
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.clean(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
