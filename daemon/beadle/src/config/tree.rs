//! The TOML files merged into one tree in which every value keeps its place in its file.
//!
//! Files are merged in name order, tables key by key. A value that is set twice is an error that
//! names both places, so that no file silently overrides another. This module does not know which
//! keys exist.

use super::diagnostic::{Diagnostic, Diagnostics, Span};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its place.
#[derive(Debug)]
pub struct Node {
    /// Where the value is.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// A TOML value, independent of the text it was read from.
#[derive(Debug)]
pub enum Value {
    /// A string.
    String(String),
    /// An integer of 64 bits.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time or both, as written.
    Datetime(String),
    /// An array, or an array of tables.
    Array(Vec<Node>),
    /// A table, by heading or inline.
    Table(Table),
}

impl Value {
    /// The type with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }
}

/// Keys in alphabetical order.
#[derive(Debug, Default)]
pub struct Table(pub BTreeMap<String, Entry>);

/// A key and its value.
#[derive(Debug)]
pub struct Entry {
    /// Where the key is; for a table, its first heading.
    pub key: Span,
    /// The value.
    pub node: Node,
}

/// Parses one file. Syntax errors become diagnostics; the rest of the file is still read.
pub fn parse(file: usize, text: &str, diagnostics: &mut Diagnostics) -> Table {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let range = error.span().unwrap_or(0..0);
        let label = error.message().lines().collect::<Vec<_>>().join(", ");
        diagnostics.add(Diagnostic::new("config-syntax", Span { file, range }, "invalid TOML").label(label));
    }
    table(file, document.into_inner(), diagnostics)
}

fn table(file: usize, from: DeTable<'_>, diagnostics: &mut Diagnostics) -> Table {
    let mut to = Table::default();
    for (key, value) in from {
        let span = Span { file, range: key.span() };
        if let Some(node) = node(file, value, diagnostics) {
            to.0.insert(key.into_inner().into_owned(), Entry { key: span, node });
        }
    }
    to
}

fn node(file: usize, from: Spanned<DeValue<'_>>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let span = Span { file, range: from.span() };
    let value = match from.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(value) => Value::Datetime(value.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.into_iter().filter_map(|item| node(file, item, diagnostics)).collect())
        }
        DeValue::Table(inner) => Value::Table(table(file, inner, diagnostics)),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                let message = format!("integers must be between {} and {}", i64::MIN, i64::MAX);
                diagnostics.add(Diagnostic::new("config-value", span, message).label("out of range"));
                return None;
            }
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => {
                diagnostics.add(Diagnostic::new("config-value", span, "invalid number"));
                return None;
            }
        },
    };
    Some(Node { span, value })
}

/// Adds the keys of `from` to `into`.
pub fn merge(into: &mut Table, from: Table, path: &str, diagnostics: &mut Diagnostics) {
    for (name, entry) in from.0 {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match into.0.get_mut(&name) {
            None => {
                into.0.insert(name, entry);
            }
            Some(existing) => match (&mut existing.node.value, entry.node.value) {
                (Value::Table(one), Value::Table(other)) => merge(one, other, &path, diagnostics),
                // `[[schedule]]` in several files is one list.
                (Value::Array(one), Value::Array(other)) if are_tables(one) && are_tables(&other) => one.extend(other),
                _ => diagnostics.add(
                    Diagnostic::new("config-duplicate", entry.key, format!("`{path}` is set twice"))
                        .label("set again here")
                        .related(existing.key.clone(), "first set here")
                        .help("keep one of them; files do not override each other"),
                ),
            },
        }
    }
}

/// The places of all keys: `plugins.echo`, `schedule.digest.plugin`. A schedule is where its name
/// is.
pub fn places(table: &Table) -> BTreeMap<String, Span> {
    let mut places = BTreeMap::new();
    note_places(table, "", &mut places);
    places
}

fn note_places(table: &Table, path: &str, places: &mut BTreeMap<String, Span>) {
    for (name, entry) in &table.0 {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match &entry.node.value {
            Value::Table(inner) => note_places(inner, &path, places),
            Value::Array(items) => {
                for (name, span, inner) in items.iter().filter_map(named) {
                    let path = format!("{path}.{name}");
                    note_places(inner, &path, places);
                    places.insert(path, span.clone());
                }
            }
            _ => {}
        }
        places.insert(path, entry.key.clone());
    }
}

/// An item of an array of tables, with its name and where that is.
pub fn named(item: &Node) -> Option<(&str, &Span, &Table)> {
    let Value::Table(table) = &item.value else { return None };
    let name = &table.0.get("name")?.node;
    match &name.value {
        Value::String(text) => Some((text, &name.span, table)),
        _ => None,
    }
}

fn are_tables(items: &[Node]) -> bool {
    items.iter().all(|item| matches!(item.value, Value::Table(_)))
}
