//! What the TOML files say, merged into one tree that remembers where each word of it stood.
//!
//! Files are read in name order and their tables merge; a value set twice is a mistake that names both places, so that
//! no file silently wins over another. Nothing here knows which keys exist: that is `read` and `sections`.

use super::mistake::{Mistake, Mistakes, Place};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its place.
#[derive(Debug)]
pub struct Node {
    /// Where the value stands.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// A TOML value, free of the text it was read from.
#[derive(Debug)]
pub enum Value {
    /// A string.
    String(String),
    /// A whole number that 64 bits hold.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time or both, as written.
    Datetime(String),
    /// `[ … ]` or `[[ … ]]`.
    Array(Vec<Node>),
    /// `[ … ]` as a heading, or `{ … }`.
    Table(Table),
}

impl Value {
    /// With its article, for "this is …".
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
    /// Where the key stands (for a table: its first heading).
    pub key: Place,
    /// Its value.
    pub node: Node,
}

/// Reads one file's text into a table; what is no TOML becomes mistakes, and the rest is read all the same.
pub fn parse(file: usize, text: &str, mistakes: &mut Mistakes) -> Table {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let label = error.message().lines().collect::<Vec<_>>().join(", ");
        mistakes.add(Mistake::new("config-syntax", Place { file, span }, "this is not TOML").label(label));
    }
    table(file, document.into_inner(), mistakes)
}

fn table(file: usize, from: DeTable<'_>, mistakes: &mut Mistakes) -> Table {
    let mut to = Table::default();
    for (key, value) in from {
        let place = Place { file, span: key.span() };
        if let Some(node) = node(file, value, mistakes) {
            to.0.insert(key.into_inner().into_owned(), Entry { key: place, node });
        }
    }
    to
}

fn node(file: usize, from: Spanned<DeValue<'_>>, mistakes: &mut Mistakes) -> Option<Node> {
    let place = Place { file, span: from.span() };
    let value = match from.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Boolean(yes) => Value::Boolean(yes),
        DeValue::Datetime(moment) => Value::Datetime(moment.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.into_iter().filter_map(|item| node(file, item, mistakes)).collect())
        }
        DeValue::Table(inner) => Value::Table(table(file, inner, mistakes)),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                let mistake = Mistake::new("config-value", place, "this number is too large");
                mistakes.add(mistake.label(format!("at most {}", i64::MAX)));
                return None;
            }
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => {
                mistakes.add(Mistake::new("config-value", place, "this is not a number"));
                return None;
            }
        },
    };
    Some(Node { place, value })
}

/// Adds what `from` says to `into`.
pub fn merge(into: &mut Table, from: Table, path: &str, mistakes: &mut Mistakes) {
    for (name, entry) in from.0 {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match into.0.get_mut(&name) {
            None => {
                into.0.insert(name, entry);
            }
            Some(there) => match (&mut there.node.value, entry.node.value) {
                (Value::Table(one), Value::Table(other)) => merge(one, other, &path, mistakes),
                // `[[schedule]]` in several files is one list.
                (Value::Array(one), Value::Array(other)) if are_tables(one) && are_tables(&other) => one.extend(other),
                _ => mistakes.add(
                    Mistake::new("config-duplicate", entry.key, format!("`{path}` is set twice"))
                        .label("set here again")
                        .also(there.key.clone(), "set here first")
                        .help("keep one of them; files never override each other"),
                ),
            },
        }
    }
}

fn are_tables(items: &[Node]) -> bool {
    items.iter().all(|item| matches!(item.value, Value::Table(_)))
}
