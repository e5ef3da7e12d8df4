//! `deploy.toml` as a tree in which every key and value knows its line, column and dotted name, and the laying
//! of a stage over the rest. Knows nothing of what the keys mean.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something stands, and how much of its first line it takes; in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// From 1.
    pub(super) line: usize,
    /// From 1.
    pub(super) column: usize,
    /// Up to the end of the line at most.
    pub(super) width: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where the value begins.
    pub(super) at: Position,
    /// Where its key stands; for an element of an array the value itself.
    pub(super) named_at: Position,
    /// The dotted key, as written in the file; an element of an array has the array's.
    pub(super) key: String,
    /// The value.
    pub(super) value: Value,
}

/// What TOML can hold.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Value {
    /// What it is, for "must be a list, not ...".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Flag(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Node {
    /// The entry called `name`, where this is a table that has one.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.get(name),
            _ => None,
        }
    }

    /// Whether it can hold keys.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// The names in this table, in the order of the file.
    pub(super) fn names(&self) -> Vec<&str> {
        let Value::Table(entries) = &self.value else { return Vec::new() };
        let mut names: Vec<(&Position, &str)> =
            entries.iter().map(|(name, node)| (&node.named_at, name.as_str())).collect();
        names.sort();
        names.into_iter().map(|(_, name)| name).collect()
    }
}

/// The whole file; else each place where it is not TOML, with the parser's own words.
pub(super) fn parse(text: &str) -> Result<Node, Vec<(Option<Position>, String)>> {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let told =
            |error: &toml::de::Error| (error.span().map(|span| lines.position(span)), error.message().to_owned());
        return Err(errors.iter().map(told).collect());
    }
    let value = Value::Table(entries(table.get_ref(), "", &lines));
    let at = Position { line: 1, column: 1, width: 0 };
    Ok(Node { at, named_at: at, key: String::new(), value })
}

/// `over` laid over `base`: tables merge key by key, everything else replaces.
pub(super) fn merge(base: &Node, over: &Node) -> Node {
    let (Value::Table(below), Value::Table(above)) = (&base.value, &over.value) else { return over.clone() };
    let mut merged = below.clone();
    for (name, node) in above {
        let laid = match below.get(name) {
            Some(lower) if matches!(name.as_str(), "service" | "proxy") => merge(&same_kinds(lower, node), node),
            Some(lower) => merge(lower, node),
            None => node.clone(),
        };
        merged.insert(name.clone(), laid);
    }
    Node { value: Value::Table(merged), ..over.clone() }
}

/// `base` without the kinds that `over` does not name: another kind of service or proxy replaces the former.
fn same_kinds(base: &Node, over: &Node) -> Node {
    let mut kept = base.clone();
    if let Value::Table(entries) = &mut kept.value {
        entries.retain(|name, _| over.get(name).is_some());
    }
    kept
}

fn entries(table: &DeTable<'_>, prefix: &str, lines: &Lines<'_>) -> BTreeMap<String, Node> {
    table
        .iter()
        .map(|(name, value)| {
            let plain = name.get_ref().to_string();
            let key = if prefix.is_empty() { plain.clone() } else { format!("{prefix}.{plain}") };
            (plain, node(value, key, Some(lines.position(name.span())), lines))
        })
        .collect()
}

fn node(value: &Spanned<DeValue<'_>>, key: String, named_at: Option<Position>, lines: &Lines<'_>) -> Node {
    let at = lines.position(value.span());
    let inner = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        // What does not fit is out of every range that a key allows; the reader says which.
        DeValue::Integer(n) => Value::Integer(i64::from_str_radix(n.as_str(), n.radix()).unwrap_or(i64::MAX)),
        DeValue::Float(n) => Value::Float(n.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, key.clone(), None, lines)).collect()),
        DeValue::Table(table) => Value::Table(entries(table, &key, lines)),
    };
    Node { at, named_at: named_at.unwrap_or(at), key, value: inner }
}

/// Turns byte ranges into lines, columns and widths.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Lines<'t> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Lines { text, starts }
    }

    pub(super) fn position(&self, span: Range<usize>) -> Position {
        let offset = span.start.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        let meant = self.text.get(offset..span.end.min(self.text.len())).unwrap_or_default();
        Position { line, column, width: meant.lines().next().unwrap_or_default().chars().count() }
    }
}
