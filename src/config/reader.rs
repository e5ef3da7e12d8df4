//! Typed reading of a config tree that records every problem with its position and goes on, so that all of them
//! are shown at once. Knows types and ranges, not the meaning of any key.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::tree::{Node, Position, Value};
use super::values::{self, Wrong};
use crate::error::Problem;
use crate::text::{clean, list, nearest};

/// Where problems are collected and variables come from.
pub(super) struct Reader<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Reader<'a> {
        Reader { env, problems: RefCell::default() }
    }

    /// The value of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// Records a problem: the key, then `what` as its predicate.
    pub(super) fn report(&self, at: Option<Position>, key: &str, what: impl AsRef<str>, hint: impl Into<String>) {
        let key = clean(key, 80);
        let what = format!("`{key}` {}", what.as_ref());
        self.problems.borrow_mut().push(problem(at, key, what, hint.into()));
    }

    /// Records a problem at a value.
    pub(super) fn wrong(&self, node: &Node, what: impl AsRef<str>, hint: impl Into<String>) {
        // A table with a head of its own stands from its `[` on; its name is what to look at.
        self.report(Some(node.at.max(node.named_at)), &node.key, what, hint);
    }

    /// Whether there is a problem so far.
    pub(super) fn found(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// The problems so far, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.at.unwrap_or_default());
        problems.dedup();
        problems
    }

    /// `text` expanded; none where that is a problem, which is told only where the value is read.
    pub(super) fn quietly(&self, text: &str) -> Option<String> {
        values::expand(text, self.env).ok()
    }

    /// A string value, expanded.
    pub(super) fn text(&self, node: &Node) -> Option<String> {
        let text = self.literal(node)?;
        match values::expand(&text, self.env) {
            Ok(text) if text.contains('\0') => {
                self.wrong(node, "holds a NUL byte", "");
                None
            }
            Ok(text) => Some(text),
            Err((what, hint)) => {
                self.wrong(node, what, hint);
                None
            }
        }
    }

    /// A string value as it is.
    pub(super) fn literal(&self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if text.contains('\0') => self.wrong(node, "holds a NUL byte", ""),
            Value::Text(text) => return Some(text.clone()),
            Value::Integer(n) => self.mistyped(node, "a string", format!("write \"{n}\"")),
            Value::Flag(flag) => self.mistyped(node, "a string", format!("write \"{flag}\"")),
            _ => self.mistyped(node, "a string", ""),
        }
        None
    }

    pub(super) fn mistyped(&self, node: &Node, wanted: &str, hint: impl Into<String>) {
        self.wrong(node, format!("must be {wanted}, not {}", node.value.kind()), hint);
    }
}

/// A problem; its line of the file is put in at the end.
pub(super) fn problem(at: Option<Position>, key: String, what: String, hint: String) -> Problem {
    let width = at.map_or(0, |at| at.width);
    Problem { at: at.map(|at| (at.line, at.column)), width, key, what, hint, source: String::new() }
}

/// One table, or where it would be.
#[derive(Clone)]
pub(super) struct Section<'r> {
    /// Where problems go.
    pub(super) reader: &'r Reader<'r>,
    node: Option<&'r Node>,
    key: String,
}

impl<'r> Section<'r> {
    /// The section of a whole tree.
    pub(super) fn root(reader: &'r Reader<'r>, node: &'r Node) -> Section<'r> {
        Section { reader, node: Some(node), key: node.key.clone() }
    }

    /// The table called `name`; where it is absent, a section without keys.
    pub(super) fn section(&self, name: &str) -> Section<'r> {
        let node = self.get(name);
        if let Some(node) = node
            && !node.is_table()
        {
            self.reader.mistyped(node, "a table", "");
        }
        let key = node.map_or_else(|| self.dotted(name), |node| node.key.clone());
        Section { reader: self.reader, node, key }
    }

    /// The value called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&'r Node> {
        self.node?.get(name)
    }

    /// Whether `name` is given, well or badly.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the table itself is there.
    pub(super) fn given(&self) -> bool {
        self.node.is_some()
    }

    /// The names in it, in the order of the file.
    pub(super) fn names(&self) -> Vec<&'r str> {
        self.node.map(Node::names).unwrap_or_default()
    }

    /// Records a problem at the key `name`, or where it would stand.
    pub(super) fn wrong(&self, name: &str, what: impl AsRef<str>, hint: impl Into<String>) {
        match self.get(name) {
            Some(node) => self.reader.wrong(node, what, hint),
            None => self.reader.report(self.node.map(|node| node.named_at), &self.dotted(name), what, hint),
        }
    }

    /// Records that `name` is needed and absent.
    pub(super) fn missing(&self, name: &str, hint: impl Into<String>) {
        if !self.has(name) && self.node.is_none_or(Node::is_table) {
            self.wrong(name, "is missing", hint);
        }
    }

    /// Records that the table is absent or has no keys; a value that is no table was reported as that.
    pub(super) fn none(&self, what: &str, hint: &str) {
        if self.node.is_none_or(|node| node.is_table() && node.names().is_empty()) {
            self.reader.report(self.node.map(|node| node.named_at), &self.key, what, hint);
        }
    }

    fn dotted(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    /// A string, expanded.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.reader.text(self.get(name)?)
    }

    /// A string that `rule` turns into its meaning.
    pub(super) fn parsed<T>(&self, name: &str, rule: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let node = self.get(name)?;
        self.judged(node, self.reader.text(node)?, rule).map(|(value, _)| value)
    }

    /// A string taken as it is: for a shell, which does the expanding itself.
    pub(super) fn literal(&self, name: &str) -> Option<String> {
        self.reader.literal(self.get(name)?)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let node = self.get(name)?;
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => {
                self.reader.mistyped(node, "true or false", "without quotes");
                None
            }
        }
    }

    /// A whole number. A string is taken where a variable is in it: there is no other way to write that.
    pub(super) fn number<T: TryFrom<i64>>(&self, name: &str, range: RangeInclusive<i64>) -> Option<T> {
        self.number_at(self.get(name)?, range)
    }

    /// A list of whole numbers; those that are none are told and left out.
    pub(super) fn numbers<T: TryFrom<i64>>(&self, name: &str, range: RangeInclusive<i64>) -> Vec<T> {
        self.items(name).iter().filter_map(|node| self.number_at(node, range.clone())).collect()
    }

    fn number_at<T: TryFrom<i64>>(&self, node: &Node, range: RangeInclusive<i64>) -> Option<T> {
        let number = match &node.value {
            Value::Integer(n) => Some(*n),
            Value::Text(text) if text.contains("${") => {
                Some(self.reader.text(node)?).and_then(|text| text.trim().parse().ok())
            }
            Value::Text(text) if text.parse::<i64>().is_ok() => {
                self.reader.mistyped(node, "a whole number", format!("write {text} without quotes"));
                return None;
            }
            _ => {
                self.reader.mistyped(node, "a whole number", "");
                return None;
            }
        };
        let found = number.filter(|n| range.contains(n)).and_then(|n| T::try_from(n).ok());
        if found.is_none() {
            let what = match *range.end() {
                i64::MAX => format!("must be a whole number, {} or more", range.start()),
                end => format!("must be a whole number from {} to {end}", range.start()),
            };
            self.reader.wrong(node, what, "");
        }
        found
    }

    /// A duration, with its default and its bounds, all written as in the file.
    pub(super) fn duration(&self, name: &str, default: &str, range: RangeInclusive<&str>) -> Duration {
        let known = |text: &str| values::duration(text).expect("bounds and defaults in this program are durations");
        let default = known(default);
        let Some(node) = self.get(name) else { return default };
        let text = match &node.value {
            Value::Integer(n) => {
                self.reader.mistyped(node, "a duration", format!("write a unit, e.g. \"{n}s\" or \"{n}ms\""));
                return default;
            }
            _ => match self.reader.text(node) {
                Some(text) => text,
                None => return default,
            },
        };
        match values::duration(&text) {
            Ok(found) if found >= known(range.start()) && found <= known(range.end()) => return found,
            Ok(_) => self.reader.wrong(node, format!("must be from {} to {}", range.start(), range.end()), ""),
            Err(hint) => self.reader.wrong(node, format!("is no duration: \"{}\"", clean(&text, 40)), hint),
        }
        default
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.parsed(name, |text| {
            if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
                return Ok(*value);
            }
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = nearest(text, known.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
            let quoted: Vec<String> = known.iter().map(|word| format!("\"{word}\"")).collect();
            let one_of = if quoted.len() == 1 { "" } else { "one of " };
            Err((
                format!("is \"{}\", but must be {one_of}{}", clean(text, 40), list(&quoted)),
                hint.unwrap_or_default(),
            ))
        })
    }

    /// The elements of a list.
    pub(super) fn items(&self, name: &str) -> &'r [Node] {
        match self.get(name).map(|node| (node, &node.value)) {
            Some((_, Value::List(items))) => items,
            Some((node, Value::Text(text))) => {
                self.reader.mistyped(node, "a list", format!("write [\"{}\"]", clean(text, 40)));
                &[]
            }
            Some((node, _)) => {
                self.reader.mistyped(node, "a list", "");
                &[]
            }
            None => &[],
        }
    }

    /// A list of strings, expanded, each with where it stands.
    pub(super) fn strings_at(&self, name: &str) -> Vec<(String, &'r Node)> {
        self.items(name).iter().filter_map(|node| Some((self.reader.text(node)?, node))).collect()
    }

    /// A list of strings, expanded.
    pub(super) fn strings(&self, name: &str) -> Vec<String> {
        self.strings_at(name).into_iter().map(|(text, _)| text).collect()
    }

    /// A list of strings that `rule` turns into their meaning, each with where it stands.
    pub(super) fn parsed_list<T>(&self, name: &str, rule: impl Fn(&str) -> Result<T, Wrong>) -> Vec<(T, &'r Node)> {
        self.strings_at(name).into_iter().filter_map(|(text, node)| self.judged(node, text, &rule)).collect()
    }

    fn judged<T>(
        &self,
        node: &'r Node,
        text: String,
        rule: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<(T, &'r Node)> {
        match rule(&text) {
            Ok(value) => Some((value, node)),
            Err((what, hint)) => {
                self.reader.wrong(node, what, hint);
                None
            }
        }
    }

    /// A table of strings under names of the user's choice, each pair accepted by `rule`.
    pub(super) fn map(&self, name: &str, rule: impl Fn(&str, &str) -> Result<(), Wrong>) -> BTreeMap<String, String> {
        let table = self.section(name);
        let pair = |key: &str| {
            let value = table.parsed(key, |text| rule(key, text).map(|()| text.to_owned()))?;
            Some((key.to_owned(), value))
        };
        table.names().into_iter().filter_map(pair).collect()
    }
}
