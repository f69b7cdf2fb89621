//! Small typed readers over the merged tree: each takes one key, gives its value or its default, and notes a mistake
//! where there is one. Reading goes on after a mistake, so that all of them are found in one go.
//!
//! What was asked for is what is known: a key that nobody asked for is unknown, and no second list has to be kept.

use super::mistake::{Mistake, Mistakes, Place};
use super::tree::{Entry, Node, Table, Value};
use super::{Surroundings, units};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What all readers of one configuration share.
pub struct Reading<'a> {
    /// What was found wrong.
    pub mistakes: RefCell<Mistakes>,
    /// What a reader wants to tell that is no mistake.
    pub notes: RefCell<Vec<String>>,
    /// Every key that was asked for, as `channels.*.app`.
    pub known: RefCell<BTreeSet<String>>,
    /// The folder that relative paths start at.
    pub base: &'a Path,
    /// Environment and credentials.
    pub surroundings: &'a Surroundings,
}

impl Reading<'_> {
    /// Notes a mistake.
    pub fn mistake(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().add(mistake);
    }
}

/// One table, being read.
pub struct Section<'a> {
    /// The reading it is part of.
    pub reading: &'a Reading<'a>,
    /// `channels.shop`; empty for the whole.
    pub path: String,
    /// `channels.*`.
    pattern: String,
    /// Its heading.
    pub place: Option<Place>,
    /// How that is written: `[channels.shop]`, `[[schedule]]`.
    heading: String,
    table: Option<&'a Table>,
    asked: Vec<&'static str>,
}

/// A string and where it stands.
pub type Placed = (String, Place);

impl<'a> Section<'a> {
    /// The whole configuration.
    pub fn root(reading: &'a Reading<'a>, table: &'a Table) -> Self {
        Self {
            reading,
            path: String::new(),
            pattern: String::new(),
            place: None,
            heading: String::new(),
            table: Some(table),
            asked: Vec::new(),
        }
    }

    fn below(&self, name: &str, pattern: &str, entry: Option<&'a Entry>) -> Self {
        let join = |path: &str, name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
        let path = join(&self.path, name);
        let table = entry.and_then(|entry| match &entry.node.value {
            Value::Table(table) => Some(table),
            other => {
                let mistake = Mistake::new("config-type", entry.node.place.clone(), format!("`{path}` is a table"));
                let heading = format!("write it as `[{path}]` with its keys below");
                self.reading.mistake(mistake.label(format!("this is {}", other.kind())).help(heading));
                None
            }
        });
        Self {
            reading: self.reading,
            pattern: join(&self.pattern, pattern),
            heading: format!("[{path}]"),
            path,
            place: entry.map(|entry| entry.key.clone()),
            table,
            asked: Vec::new(),
        }
    }

    /// The value of a key, whatever it is; from now on the key is known.
    pub fn ask(&mut self, key: &'static str) -> Option<&'a Entry> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let pattern = if self.pattern.is_empty() { key.into() } else { format!("{}.{key}", self.pattern) };
        self.reading.known.borrow_mut().insert(pattern);
        self.table.and_then(|table| table.0.get(key))
    }

    /// A table in this one; an empty one where it is missing.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let entry = self.ask(key);
        self.below(key, key, entry)
    }

    /// The tables in a table, by the names that the operator gave them.
    pub fn named(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let section = self.section(key);
        let Some(table) = section.table else { return Vec::new() };
        let named = table.0.iter().map(|(name, entry)| {
            if !is_name(name) {
                let mistake = Mistake::new("config-value", entry.key.clone(), format!("`{name}` cannot be a name"));
                self.reading.mistake(mistake.label(NAME_FORM));
            }
            (name.clone(), section.below(name, "*", Some(entry)))
        });
        named.collect()
    }

    /// The tables of a list, each called by its `name`; one without is called by its number.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(entry) = self.ask(key) else { return Vec::new() };
        let Value::Array(items) = &entry.node.value else {
            let mistake = Mistake::new("config-type", entry.node.place.clone(), format!("`{key}` is a list of tables"));
            let label = format!("this is {}", entry.node.value.kind());
            self.reading.mistake(mistake.label(label).help(format!("write it as `[[{key}]]` with its keys below")));
            return Vec::new();
        };
        let list = self.below(key, key, None);
        let tables = (1..).zip(items).filter_map(|(number, item)| {
            let Value::Table(table) = &item.value else {
                self.wrong_type(item, key, "a list of tables", &format!("[[{key}]]"));
                return None;
            };
            let name = table.0.get("name").and_then(|entry| match &entry.node.value {
                Value::String(name) => Some(name.clone()),
                _ => None,
            });
            let mut section = list.below(&name.unwrap_or_else(|| number.to_string()), "*", None);
            (section.table, section.place) = (Some(table), Some(item.place.clone()));
            section.heading = format!("[[{key}]]");
            Some(section)
        });
        tables.collect()
    }

    /// Notes that a key should be another type.
    pub fn wrong_type(&self, node: &Node, key: &str, wanted: &str, example: &str) {
        let mistake = Mistake::new("config-type", node.place.clone(), format!("`{key}` is {wanted}"));
        self.reading
            .mistake(mistake.label(format!("this is {}", node.value.kind())).help(format!("write `{example}`")));
    }

    /// Notes that a value cannot be.
    pub fn bad_value(&self, place: &Place, message: impl Into<String>, label: impl Into<String>) {
        self.reading.mistake(Mistake::new("config-value", place.clone(), message).label(label));
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<Placed> {
        self.string_such_as(key, "…")
    }

    fn string_such_as(&mut self, key: &'static str, example: &str) -> Option<Placed> {
        let node = &self.ask(key)?.node;
        match &node.value {
            Value::String(text) => Some((text.clone(), node.place.clone())),
            other => {
                // Ids of the platform are digits and are written without quotes by everyone once.
                let said = match other {
                    Value::Integer(number) if example == "…" => number.to_string(),
                    _ => example.to_owned(),
                };
                self.wrong_type(node, key, "a string", &format!("{key} = \"{said}\""));
                None
            }
        }
    }

    /// A string that has to be there and not be empty.
    pub fn required(&mut self, key: &'static str, example: &str) -> Option<Placed> {
        if self.table.is_some_and(|table| !table.0.contains_key(key)) {
            self.ask(key);
            self.missing(key, example);
            return None;
        }
        let (text, place) = self.string(key)?;
        if text.is_empty() {
            self.bad_value(&place, format!("`{key}` is empty"), format!("such as \"{example}\""));
            return None;
        }
        Some((text, place))
    }

    /// Notes that a key is not there.
    pub fn missing(&self, key: &str, example: &str) {
        let mistake = Mistake::new(
            "config-missing",
            self.place.clone().unwrap_or_default(),
            format!("`{key}` is missing in `{}`", self.heading),
        );
        let example = if example.starts_with('{') { example.into() } else { format!("\"{example}\"") };
        self.reading.mistake(mistake.label("in this table").help(format!("add `{key} = {example}`")));
    }

    /// A whole number within its limits.
    pub fn integer(&mut self, key: &'static str, default: i64, limits: RangeInclusive<i64>) -> i64 {
        let Some(entry) = self.ask(key) else { return default };
        match entry.node.value {
            Value::Integer(number) if limits.contains(&number) => number,
            Value::Integer(number) => {
                let label = format!("from {} to {}", limits.start(), limits.end());
                self.bad_value(&entry.node.place, format!("`{key}` cannot be {number}"), label);
                default
            }
            _ => {
                self.wrong_type(&entry.node, key, "an integer", &format!("{key} = {default}"));
                default
            }
        }
    }

    /// Yes or no.
    pub fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(entry) = self.ask(key) else { return default };
        if let Value::Boolean(yes) = entry.node.value {
            return yes;
        }
        self.wrong_type(&entry.node, key, "true or false", &format!("{key} = {default}"));
        default
    }

    /// A length of time within its limits, in milliseconds.
    pub fn duration_ms(&mut self, key: &'static str, limits_ms: RangeInclusive<i64>) -> Option<i64> {
        let node = &self.ask(key)?.node;
        let Value::String(text) = &node.value else {
            self.wrong_type(node, key, "a length of time in quotes", &format!("{key} = \"60s\""));
            return None;
        };
        self.length_ms(key, text, &node.place, &limits_ms)
    }

    /// Lengths of time within their limits, in milliseconds: `most` at most, and each once.
    pub fn durations_ms(&mut self, key: &'static str, limits_ms: RangeInclusive<i64>, most: usize) -> Option<Vec<i64>> {
        let mut lengths_ms = Vec::new();
        for (text, place) in self.strings(key)? {
            let Some(ms) = self.length_ms(key, &text, &place, &limits_ms) else { continue };
            if lengths_ms.contains(&ms) {
                self.bad_value(&place, format!("{text} stands in `{key}` twice"), "leave one of them out");
            } else if lengths_ms.len() == most {
                self.bad_value(&place, format!("`{key}` has {most} lengths of time at most"), "this is one too many");
            } else {
                lengths_ms.push(ms);
            }
        }
        Some(lengths_ms)
    }

    fn length_ms(&self, key: &str, text: &str, place: &Place, limits_ms: &RangeInclusive<i64>) -> Option<i64> {
        let Some(ms) = units::parse_ms(text) else {
            self.bad_value(place, format!("`{text}` is not a length of time"), format!("write {}", units::FORM));
            return None;
        };
        if !limits_ms.contains(&ms) {
            let (least, most) = (units::print_ms(*limits_ms.start()), units::print_ms(*limits_ms.end()));
            self.bad_value(place, format!("`{key}` cannot be {text}"), format!("from {least} to {most}"));
            return None;
        }
        Some(ms)
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let (text, place) = self.string(key)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let label = format!("one of {}", list(&names));
            let mistake = Mistake::new("config-value", place, format!("`{key}` cannot be \"{text}\"")).label(label);
            self.reading.mistake(with_guess(mistake, &text, &names));
        }
        found.map(|(_, value)| *value)
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<Placed>> {
        let node = &self.ask(key)?.node;
        let Value::Array(items) = &node.value else {
            self.wrong_type(node, key, "an array of strings", &format!("{key} = [\"…\"]"));
            return None;
        };
        let mut strings = Vec::new();
        for item in items {
            match &item.value {
                Value::String(text) => strings.push((text.clone(), item.place.clone())),
                _ => self.wrong_type(item, key, "an array of strings", &format!("{key} = [\"…\"]")),
            }
        }
        Some(strings)
    }

    /// A path; a relative one starts at the configuration's own folder.
    pub fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let text = self.string(key).map_or_else(|| default.to_owned(), |(text, _)| text);
        self.reading.base.join(text)
    }

    /// Where to listen.
    pub fn address(&mut self, key: &'static str, default: std::net::SocketAddr) -> std::net::SocketAddr {
        let Some((text, place)) = self.string_such_as(key, &default.to_string()) else { return default };
        text.parse().unwrap_or_else(|_| {
            let label = "an IP address and a port, such as \"127.0.0.1:8420\" or \"[::]:8420\"";
            self.bad_value(&place, format!("`{text}` is not an address to listen on"), label);
            default
        })
    }

    /// The end of the table: whatever was not asked for is unknown.
    pub fn end(self) {
        for (name, entry) in self.table.iter().flat_map(|table| &table.0) {
            if self.asked.contains(&name.as_str()) {
                continue;
            }
            let whole = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            let mistake = Mistake::new("config-unknown", entry.key.clone(), format!("there is no key `{whole}`"));
            let label = format!("known here: {}", list(&self.asked));
            self.reading.mistake(with_guess(mistake.label(label), name, &self.asked));
        }
    }
}

/// What a name of ours may be: it stands in addresses and in file names.
pub fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(inner)
}

pub const NAME_FORM: &str = "1 to 64 letters, digits, `-` or `_`";

/// Adds "did you mean", where something is near.
pub fn with_guess(mistake: Mistake, said: &str, known: &[&str]) -> Mistake {
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(said, name), *name)).min();
    match near {
        // A third of the letters may be wrong: `stag` is near `stage`, `shop` is not.
        Some((wrong, name)) if wrong <= said.len().max(3) / 3 => mistake.help(format!("did you mean `{name}`?")),
        _ => mistake,
    }
}

/// `` `a`, `b` and `c` ``
pub fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
