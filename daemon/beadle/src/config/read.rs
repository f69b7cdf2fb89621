//! Typed readers over the merged tree: each takes one key and returns its value or its default, and
//! records a diagnostic if the value is invalid. Reading continues after an error, so that all
//! errors are found at once.
//!
//! A key becomes known by being read; [`Section::end`] reports all others. No separate list of keys
//! exists.

use super::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use super::environment::Environment;
use super::inputs::Inputs;
use super::tree::{Entry, Node, Table, Value};
use super::units;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What all sections of one configuration share.
pub struct Context<'a> {
    /// Errors found so far.
    pub diagnostics: RefCell<Diagnostics>,
    /// Warnings: the configuration can be used nevertheless.
    pub warnings: RefCell<Vec<Diagnostic>>,
    /// Every key that was read, with `*` for names: `channels.*.app`.
    pub known: RefCell<BTreeSet<String>>,
    /// The files that were read.
    pub inputs: RefCell<Inputs>,
    /// The files of the configuration.
    pub sources: &'a [Source],
    /// Files that the configuration names and that have errors of their own.
    pub more_sources: RefCell<Vec<Source>>,
    /// The folder that relative paths start at.
    pub base: &'a Path,
    /// Environment variables and credentials.
    pub environment: &'a Environment,
}

impl Context<'_> {
    /// Records an error.
    pub fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().add(diagnostic);
    }

    /// Adds a file in which errors can be shown; returns its number.
    pub fn add_source(&self, source: Source) -> usize {
        let mut more = self.more_sources.borrow_mut();
        more.push(source);
        self.sources.len() + more.len() - 1
    }

    /// Records a warning.
    pub fn warn(&self, code: &'static str, span: Option<Span>, message: String) {
        self.warnings.borrow_mut().push(Diagnostic::warning(code, span, message));
    }

    /// Notes a file that is about to be read.
    pub fn note_input(&self, path: &Path) {
        self.inputs.borrow_mut().note(path, self.environment.unsettled);
    }
}

/// A table being read.
pub struct Section<'a> {
    /// The configuration that it is part of.
    pub context: &'a Context<'a>,
    /// `channels.shop`; empty for the root.
    pub path: String,
    /// `channels.*`
    pattern: String,
    /// The place of its heading.
    pub span: Option<Span>,
    /// `[channels.shop]` or `[[schedule]]`.
    heading: String,
    /// What is in the brackets: without the number of an item of an array.
    toml: String,
    table: Option<&'a Table>,
    read: Vec<&'static str>,
}

/// A string and its place.
pub type Text = (String, Span);

impl<'a> Section<'a> {
    /// The root of the configuration.
    pub fn root(context: &'a Context<'a>, table: &'a Table) -> Self {
        Self {
            context,
            path: String::new(),
            pattern: String::new(),
            span: None,
            heading: String::new(),
            toml: String::new(),
            table: Some(table),
            read: Vec::new(),
        }
    }

    fn child(&self, name: &str, pattern: &str, entry: Option<&'a Entry>) -> Self {
        let join = |path: &str, name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
        let (path, toml) = (join(&self.path, name), join(&self.toml, name));
        let table = entry.and_then(|entry| match &entry.node.value {
            Value::Table(table) => Some(table),
            other => {
                let message = format!("`{path}` must be a table");
                let diagnostic = Diagnostic::new("config-type", entry.node.span.clone(), message);
                let help = format!("write `[{path}]` and its keys below");
                self.context.report(diagnostic.label(format!("this is {}", other.kind())).help(help));
                None
            }
        });
        Self {
            context: self.context,
            pattern: join(&self.pattern, pattern),
            heading: format!("[{toml}]"),
            path,
            toml,
            span: entry.map(|entry| entry.key.clone()),
            table,
            read: Vec::new(),
        }
    }

    /// The value of a key, of any type.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Entry> {
        if !self.read.contains(&key) {
            self.read.push(key);
        }
        let pattern = if self.pattern.is_empty() { key.into() } else { format!("{}.{key}", self.pattern) };
        self.context.known.borrow_mut().insert(pattern);
        self.table.and_then(|table| table.0.get(key))
    }

    /// A table in this table; empty if it is missing.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let entry = self.get(key);
        self.child(key, key, entry)
    }

    /// The tables in a table, with the names that the operator gave them.
    pub fn named(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let section = self.section(key);
        let Some(table) = section.table else { return Vec::new() };
        let named = table.0.iter().map(|(name, entry)| {
            if !is_name(name) {
                self.invalid(&entry.key, format!("invalid name `{name}`"), NAME_FORM);
            }
            (name.clone(), section.child(name, "*", Some(entry)))
        });
        named.collect()
    }

    /// The tables and other values in a table of free keys, with the keys that the operator gave
    /// them. A value that is no table has no section.
    pub fn mixed(&mut self, key: &'static str) -> Vec<(String, &'a Entry, Option<Section<'a>>)> {
        let section = self.section(key);
        self.context.known.borrow_mut().insert(format!("{}.*", section.pattern));
        let entries = section.table.iter().flat_map(|table| &table.0).map(|(name, entry)| {
            if !is_name(name) {
                self.invalid(&entry.key, format!("invalid name `{name}`"), NAME_FORM);
            }
            let is_table = matches!(entry.node.value, Value::Table(_));
            (name.clone(), entry, is_table.then(|| section.child(name, "*", Some(entry))))
        });
        entries.collect()
    }

    /// Whether the table has a key, which becomes known by asking.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// The values in a table of free keys, with the keys that the operator gave them.
    pub fn values(&mut self, key: &'static str) -> Vec<(String, &'a Entry)> {
        let section = self.section(key);
        self.context.known.borrow_mut().insert(format!("{}.*", section.pattern));
        section.table.iter().flat_map(|table| &table.0).map(|(name, entry)| (name.clone(), entry)).collect()
    }

    /// The tables of an array of tables, each with its `name` in its path, else with its number.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        let Value::Array(items) = &entry.node.value else {
            let message = format!("`{key}` must be an array of tables");
            let diagnostic = Diagnostic::new("config-type", entry.node.span.clone(), message);
            let label = format!("this is {}", entry.node.value.kind());
            self.context.report(diagnostic.label(label).help(format!("write `[[{key}]]` and its keys below")));
            return Vec::new();
        };
        let list = self.child(key, key, None);
        let tables = (1..).zip(items).filter_map(|(number, item)| {
            let Value::Table(table) = &item.value else {
                self.wrong_type(item, key, "an array of tables", &format!("[[{key}]]"));
                return None;
            };
            let name = table.0.get("name").and_then(|entry| match &entry.node.value {
                Value::String(name) => Some(name.clone()),
                _ => None,
            });
            let mut section = list.child(&name.unwrap_or_else(|| number.to_string()), "*", None);
            (section.table, section.span) = (Some(table), Some(item.span.clone()));
            section.heading = format!("[[{}]]", list.toml);
            section.toml.clone_from(&list.toml);
            Some(section)
        });
        tables.collect()
    }

    /// Reports a value of the wrong type.
    pub fn wrong_type(&self, node: &Node, key: &str, expected: &str, example: &str) {
        let message = format!("`{key}` must be {expected}");
        let diagnostic = Diagnostic::new("config-type", node.span.clone(), message);
        let label = format!("this is {}", node.value.kind());
        self.context.report(diagnostic.label(label).help(format!("write `{example}`")));
    }

    /// Reports a value that is not allowed.
    pub fn invalid(&self, span: &Span, message: impl Into<String>, label: impl Into<String>) {
        self.context.report(Diagnostic::new("config-value", span.clone(), message).label(label));
    }

    /// Reports a name that refers to nothing; `known` are the names that exist.
    pub fn unknown_name(&self, span: Span, noun: &str, name: &str, known: &[&str]) {
        let diagnostic = Diagnostic::new("config-value", span, format!("unknown {noun} `{name}`"));
        let diagnostic = diagnostic.label(format!("must be {}", one_of(known)));
        self.context.report(with_suggestion(diagnostic, name, known));
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<Text> {
        self.string_such_as(key, "…")
    }

    fn string_such_as(&mut self, key: &'static str, example: &str) -> Option<Text> {
        let node = &self.get(key)?.node;
        match &node.value {
            Value::String(text) => Some((text.clone(), node.span.clone())),
            other => {
                // WhatsApp's ids consist of digits and are easily written without quotes.
                let example = match other {
                    Value::Integer(number) if example == "…" => number.to_string(),
                    _ => example.to_owned(),
                };
                self.wrong_type(node, key, "a string", &format!("{key} = \"{example}\""));
                None
            }
        }
    }

    /// A required string that is not empty.
    pub fn required(&mut self, key: &'static str, example: &str) -> Option<Text> {
        if self.table.is_some_and(|table| !table.0.contains_key(key)) {
            self.get(key);
            self.missing(key, example);
            return None;
        }
        let (text, span) = self.string(key)?;
        if text.is_empty() {
            self.invalid(&span, format!("`{key}` must not be empty"), format!("such as \"{example}\""));
            return None;
        }
        Some((text, span))
    }

    /// Reports a missing key.
    pub fn missing(&self, key: &str, example: &str) {
        let span = self.span.clone().unwrap_or_default();
        let diagnostic = Diagnostic::new("config-missing", span, format!("`{key}` is missing in `{}`", self.heading));
        let example = if example.starts_with(['{', '[']) { example.into() } else { format!("\"{example}\"") };
        self.context.report(diagnostic.label("required in this table").help(format!("add `{key} = {example}`")));
    }

    /// An integer within a range.
    pub fn integer(&mut self, key: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(entry) = self.get(key) else { return default };
        match entry.node.value {
            Value::Integer(number) if range.contains(&number) => number,
            Value::Integer(_) => {
                let message = format!("`{key}` must be between {} and {}", range.start(), range.end());
                self.invalid(&entry.node.span, message, "out of range");
                default
            }
            _ => {
                self.wrong_type(&entry.node, key, "an integer", &format!("{key} = {default}"));
                default
            }
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(entry) = self.get(key) else { return default };
        if let Value::Boolean(value) = entry.node.value {
            return value;
        }
        self.wrong_type(&entry.node, key, "true or false", &format!("{key} = {default}"));
        default
    }

    /// A duration within a range, in milliseconds.
    pub fn duration_ms(&mut self, key: &'static str, range_ms: RangeInclusive<i64>) -> Option<i64> {
        let node = &self.get(key)?.node;
        let Value::String(text) = &node.value else {
            self.wrong_type(node, key, "a string with a duration", &format!("{key} = \"60s\""));
            return None;
        };
        self.parse_duration(key, text, &node.span, &range_ms)
    }

    /// At most `max` different durations within a range, in milliseconds.
    pub fn durations_ms(&mut self, key: &'static str, range_ms: RangeInclusive<i64>, max: usize) -> Option<Vec<i64>> {
        let mut durations_ms = Vec::new();
        for (text, span) in self.strings(key)? {
            let Some(ms) = self.parse_duration(key, &text, &span, &range_ms) else { continue };
            if durations_ms.contains(&ms) {
                self.invalid(&span, format!("`{key}` must not contain a duration twice"), "remove it");
            } else if durations_ms.len() == max {
                self.invalid(&span, format!("`{key}` must contain at most {max} durations"), "remove it");
            } else {
                durations_ms.push(ms);
            }
        }
        Some(durations_ms)
    }

    fn parse_duration(&self, key: &str, text: &str, span: &Span, range_ms: &RangeInclusive<i64>) -> Option<i64> {
        let Some(ms) = units::parse_ms(text) else {
            self.invalid(span, format!("`{key}` must be a duration"), format!("write {}", units::FORM));
            return None;
        };
        if !range_ms.contains(&ms) {
            let (min, max) = (units::print_ms(*range_ms.start()), units::print_ms(*range_ms.end()));
            self.invalid(span, format!("`{key}` must be between {min} and {max}"), "out of range");
            return None;
        }
        Some(ms)
    }

    /// One of several words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let (text, span) = self.string(key)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let diagnostic = Diagnostic::new("config-value", span, format!("`{key}` must be {}", one_of(&names)));
            self.context.report(with_suggestion(diagnostic.label("unknown value"), &text, &names));
        }
        found.map(|(_, value)| *value)
    }

    /// An array of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<Text>> {
        let node = &self.get(key)?.node;
        let Value::Array(items) = &node.value else {
            self.wrong_type(node, key, "an array of strings", &format!("{key} = [\"…\"]"));
            return None;
        };
        let mut strings = Vec::new();
        for item in items {
            match &item.value {
                Value::String(text) => strings.push((text.clone(), item.span.clone())),
                _ => self.wrong_type(item, key, "an array of strings", &format!("{key} = [\"…\"]")),
            }
        }
        Some(strings)
    }

    /// A path; a relative one starts at the configuration's folder.
    pub fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let text = self.string(key).map_or_else(|| default.to_owned(), |(text, _)| text);
        self.context.base.join(text)
    }

    /// An address to listen on.
    pub fn address(&mut self, key: &'static str, default: std::net::SocketAddr) -> std::net::SocketAddr {
        let Some((text, span)) = self.string_such_as(key, &default.to_string()) else { return default };
        text.parse().unwrap_or_else(|_| {
            let label = "such as \"127.0.0.1:8420\" or \"[::]:8420\"";
            self.invalid(&span, format!("`{key}` must be an IP address and a port"), label);
            default
        })
    }

    /// An address, or none for `"off"`.
    pub fn address_or_off(&mut self, key: &'static str, default: std::net::SocketAddr) -> Option<std::net::SocketAddr> {
        let Some((text, span)) = self.string_such_as(key, &default.to_string()) else { return Some(default) };
        if text == "off" {
            return None;
        }
        let address = text.parse().ok();
        if address.is_none() {
            let label = "such as \"127.0.0.1:8421\", \"[::1]:8421\" or \"off\"";
            self.invalid(&span, format!("`{key}` must be an IP address and a port, or `off`"), label);
        }
        address
    }

    /// Any TOML value as JSON; dates and times become strings.
    pub fn json(&self, node: &Node) -> serde_json::Value {
        match &node.value {
            Value::String(text) | Value::Datetime(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Boolean(value) => (*value).into(),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Table(table) => table.0.iter().map(|(key, entry)| (key.clone(), self.json(&entry.node))).collect(),
            Value::Float(number) => serde_json::Number::from_f64(*number).map_or_else(
                || {
                    self.invalid(&node.span, "the number must be finite", "not representable in JSON");
                    serde_json::Value::Null
                },
                Into::into,
            ),
        }
    }

    /// Reports all keys that were not read.
    pub fn end(self) {
        for (name, entry) in self.table.iter().flat_map(|table| &table.0) {
            if self.read.contains(&name.as_str()) {
                continue;
            }
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            let place =
                if self.heading.is_empty() { "at the top level".into() } else { format!("in `{}`", self.heading) };
            let diagnostic = Diagnostic::new("config-unknown", entry.key.clone(), format!("unknown key `{path}`"));
            let diagnostic = diagnostic.label(format!("does not exist {place}"));
            self.context.report(match nearest(name, &self.read) {
                Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
                None => diagnostic.help(format!("keys {place}: {}", list(&self.read))),
            });
        }
    }
}

/// An integer within a range that fits into `u32`.
pub fn number(section: &mut Section<'_>, key: &'static str, default: u32, range: RangeInclusive<u32>) -> u32 {
    let range = i64::from(*range.start())..=i64::from(*range.end());
    section.integer(key, default.into(), range).try_into().unwrap_or(default)
}

/// Names appear in URLs and file names.
pub fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

/// The form of a name, as a label.
pub const NAME_FORM: &str = "must have 1 to 64 letters, digits, `-` or `_`";

/// Adds "did you mean", if a known name is similar.
fn with_suggestion(diagnostic: Diagnostic, name: &str, known: &[&str]) -> Diagnostic {
    match nearest(name, known) {
        Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
        None => diagnostic,
    }
}

/// The most similar name, if at most a third of the letters differ: `stag` suggests `stage`, `shop`
/// does not.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known)).min();
    nearest.filter(|(distance, _)| *distance <= name.len().max(3) / 3).map(|(_, known)| known)
}

/// `` `a` ``, `` `a` or `b` ``, `` one of `a`, `b`, `c` ``
fn one_of(names: &[&str]) -> String {
    match names {
        [] => "configured first: there is none".into(),
        [only] => format!("`{only}`"),
        [one, other] => format!("`{one}` or `{other}`"),
        names => format!("one of {}", list(names)),
    }
}

/// `` `a`, `b`, `c` ``
fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
