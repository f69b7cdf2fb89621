//! The difference between two configurations, key by key, for a reload and for `beadle check`.
//!
//! What is compared is the text of the values, because that is what an operator changed. It
//! contains no secrets, since the files only name where they are stored.

use super::tree::{Node, Table, Value, named};
use beadle_model::text::hex;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Full keys (`outbox.max_in_flight`) and their values as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat(BTreeMap<String, String>);

/// Prefixes of keys that are read only at start. All others take effect at once.
const AT_START: [&str; 11] = [
    "daemon.data_dir",
    "http.",
    "admin.",
    "log.format",
    "apps.",
    "channels.",
    "keywords.",
    "contacts.",
    "consents.",
    "media.",
    "egress.",
];
/// An exception that takes effect at once: `channels.NAME.pace`.
const PACE: &str = ".pace.";

/// A changed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The full key.
    pub key: String,
    /// `added`, `changed` or `removed`.
    pub how: &'static str,
    /// It takes effect only after a restart.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.how)?;
        if self.needs_restart { f.write_str(" (needs a restart)") } else { Ok(()) }
    }
}

impl Flat {
    /// The keys with hashes of their values: enough to detect a change without storing the values.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let hash = |(key, value): (&String, &String)| {
            let digest = Sha256::new().chain_update(key).chain_update([0]).chain_update(value).finalize();
            (key.clone(), hex(digest))
        };
        self.0.iter().map(hash).collect()
    }
}

/// The keys and values of a tree.
pub(super) fn flat(tree: &Table) -> Flat {
    let mut flat = Flat::default();
    walk("", tree, &mut flat);
    flat
}

fn walk(path: &str, table: &Table, flat: &mut Flat) {
    for (name, entry) in &table.0 {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match &entry.node.value {
            Value::Table(table) if !table.0.is_empty() => walk(&key, table, flat),
            // `[[schedule]]` by name, so that a change names the schedule and not the whole list.
            Value::Array(items) if items.iter().any(|item| named(item).is_some()) => {
                for (name, _, table) in items.iter().filter_map(named) {
                    walk(&format!("{key}.{name}"), table, flat);
                }
            }
            value => _ = flat.0.insert(key, text(value)),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) | Value::Datetime(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Array(items) => format!("[{}]", list(items.iter().map(|node: &Node| text(&node.value)))),
        Value::Table(table) => {
            let entries = table.0.iter().map(|(key, entry)| format!("{key}={}", text(&entry.node.value)));
            format!("{{{}}}", list(entries))
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// The changes from `old` to `new`, sorted by key; both as [`Flat::hashes`].
pub fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter_map(|key| {
        let how = match (old.get(key), new.get(key)) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(old), Some(new)) if old != new => "changed",
            _ => return None,
        };
        Some(Change { key: key.clone(), how, needs_restart: needs_restart(key) })
    });
    changed.collect()
}

fn needs_restart(key: &str) -> bool {
    AT_START.iter().any(|start| key.starts_with(start)) && !key.contains(PACE)
}

/// What is in effect: of keys that need a restart, the values at start; of all others, those that
/// were loaded last. All as [`Flat::hashes`].
pub fn in_effect(at_start: &BTreeMap<String, String>, loaded: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let old = at_start.iter().filter(|(key, _)| needs_restart(key));
    let new = loaded.iter().filter(|(key, _)| !needs_restart(key));
    old.chain(new).map(|(key, hash)| (key.clone(), hash.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{diagnostic::Diagnostics, tree};

    fn hashes(toml: &str) -> BTreeMap<String, String> {
        flat(&tree::parse(0, toml, &mut Diagnostics::default())).hashes()
    }

    #[test]
    fn changes_are_named_with_restart_requirement() {
        let old =
            hashes("[http]\nlisten = 'a:1'\n[outbox]\nmax_in_flight = 1\n[plugins.echo]\ngrant = ['a']\norder = 1");
        let new = hashes("[http]\nlisten = 'a:2'\n[plugins.echo]\norder = 1\ngrant = ['a', 'b']\n[plugins.new]");
        let found: Vec<_> = changes(&old, &new).iter().map(Change::to_string).collect();
        let expected = [
            "http.listen changed (needs a restart)",
            "outbox.max_in_flight removed",
            "plugins.echo.grant changed",
            "plugins.new added",
        ];
        assert_eq!(found, expected);
        // Order, quotes and comments are no change.
        assert!(
            changes(
                &old,
                &hashes(
                    "[plugins.echo]\norder=1 # first\ngrant=[\"a\"]\n[outbox]\nmax_in_flight=1\n[http]\nlisten=\"a:1\""
                )
            )
            .is_empty()
        );
    }

    #[test]
    fn keys_that_need_a_restart_stay_in_effect() {
        let at_start = hashes("[http]\nlisten = 'a:1'\n[outbox]\nmax_in_flight = 1\n[media]\ndays = 1");
        let loaded = hashes("[http]\nlisten = 'a:2'\n[outbox]\nmax_in_flight = 2\n[keywords]\nbrand = 'b'");
        let expected = hashes("[http]\nlisten = 'a:1'\n[outbox]\nmax_in_flight = 2\n[media]\ndays = 1");
        assert_eq!(in_effect(&at_start, &loaded), expected);
    }

    #[test]
    fn schedules_are_compared_by_name() {
        let old =
            hashes("[[schedule]]\nname = 'digest'\ncron = '0 9 * * *'\n[[schedule]]\nname = 'late'\nat = 2026-01-01");
        let new = hashes("[[schedule]]\nname = 'digest'\ncron = '0 10 * * *'\npayload = { deep = [1] }");
        let found: Vec<_> = changes(&old, &new).iter().map(Change::to_string).collect();
        let expected = [
            "schedule.digest.cron changed",
            "schedule.digest.payload.deep added",
            "schedule.late.at removed",
            "schedule.late.name removed",
        ];
        assert_eq!(found, expected);
    }
}
