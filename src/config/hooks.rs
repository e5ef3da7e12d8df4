//! `[hooks]`: the user's own lines before and after the switch. A line is taken as it is: the shell that runs it does the
//! expanding. Knows nothing of how they run.

use super::reader::{Reader, Section};
use super::schema::{Hook, Hooks, On};
use super::tree::{Node, Value};

/// `[hooks]`
pub(super) fn read(section: &Section<'_>) -> Hooks {
    let list = |name: &str| section.items(name).iter().filter_map(|node| hook(section.reader, node)).collect();
    Hooks { before_switch: list("before_switch"), after_switch: list("after_switch") }
}

/// One hook: a table, or its line alone.
fn hook(reader: &Reader<'_>, node: &Node) -> Option<Hook> {
    const HINT: &str = "e.g. { run = \"node migrate.mjs\", on = \"first\" }";
    match &node.value {
        Value::Text(_) => {
            let run = reader.literal(node)?;
            if run.trim().is_empty() {
                reader.wrong(node, "is an empty line", HINT);
            }
            Some(Hook { run, ..Hook::default() })
        }
        Value::Table(_) => {
            let table = Section::root(reader, node);
            table.missing("run", HINT);
            let places = [("all", On::All), ("first", On::First), ("here", On::Here)];
            let line = |name: &str| {
                let text = table.literal(name)?;
                if text.trim().is_empty() {
                    table.wrong(name, "must not be empty", "");
                }
                Some(text)
            };
            Some(Hook {
                run: line("run").unwrap_or_default(),
                on: table.choice("on", &places).unwrap_or_default(),
                timeout: table.duration("timeout", "10m", "1s"..="24h"),
                undo: line("undo"),
                optional: table.flag("optional").unwrap_or(false),
            })
        }
        _ => {
            reader.mistyped(node, "a line or a table with run", HINT);
            None
        }
    }
}
