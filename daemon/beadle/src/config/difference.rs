//! What one configuration says otherwise than another: for a reload, and for `beadle check` beforehand.
//!
//! Compared is what is written, key by key, since that is what an operator changed and wants named. A secret is never in
//! it: the files only name where it is.

use super::tree::{Node, Table, Value};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Keys, whole (`outbox.max_in_flight`), and what is written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat(BTreeMap<String, String>);

/// What the daemon reads only when it starts: its addresses and data, who it is and to whom it talks, the form of its log.
/// A key that is not named here takes effect at once, so a section that cannot has to be.
const AT_START: [&str; 9] =
    ["daemon.data_dir", "http.", "admin.", "log.format", "apps.", "channels.", "keywords.", "contacts.", "media."];
/// … of which this takes effect at once all the same: `channels.NAME.pace`.
const PACE: &str = ".pace.";

/// A key that says something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whole.
    pub key: String,
    /// `added`, `changed` or `removed`.
    pub how: &'static str,
    /// It takes effect when the daemon is started again.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.how)?;
        if self.needs_restart { f.write_str(" (needs a restart)") } else { Ok(()) }
    }
}

impl Flat {
    /// The keys with a hash of what is written there in its place: enough to see that it is something else, and no more.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let hash = |(key, value): (&String, &String)| {
            let digest = Sha256::new().chain_update(key).chain_update([0]).chain_update(value).finalize();
            (key.clone(), digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
        };
        self.0.iter().map(hash).collect()
    }
}

/// What is written in a tree.
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
            // `[[schedule]]`: by name, so that who changes one sees that one named.
            Value::Array(items) if items.iter().any(|item| named(item).is_some()) => {
                for (name, table) in items.iter().filter_map(named) {
                    walk(&format!("{key}.{name}"), table, flat);
                }
            }
            value => _ = flat.0.insert(key, text(value)),
        }
    }
}

/// A table of a list, and its name.
fn named(item: &Node) -> Option<(&str, &Table)> {
    let Value::Table(table) = &item.value else { return None };
    match &table.0.get("name")?.node.value {
        Value::String(name) => Some((name, table)),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) | Value::Datetime(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
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

/// What the second says otherwise than the first, by key; both as [`Flat::hashes`].
pub fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter_map(|key| {
        let how = match (old.get(key), new.get(key)) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(old), Some(new)) if old != new => "changed",
            _ => return None,
        };
        let needs_restart = AT_START.iter().any(|start| key.starts_with(start)) && !key.contains(PACE);
        Some(Change { key: key.clone(), how, needs_restart })
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{mistake::Mistakes, tree};

    fn of(toml: &str) -> BTreeMap<String, String> {
        flat(&tree::parse(0, toml, &mut Mistakes::default())).hashes()
    }

    #[test]
    fn what_is_written_otherwise_is_named_with_what_it_takes() {
        let old = of("[http]\nlisten = 'a:1'\n[outbox]\nmax_in_flight = 1\n[plugins.echo]\ngrant = ['a']\norder = 1");
        let new = of("[http]\nlisten = 'a:2'\n[plugins.echo]\norder = 1\ngrant = ['a', 'b']\n[plugins.new]");
        let said: Vec<_> = changes(&old, &new).iter().map(Change::to_string).collect();
        let wanted = [
            "http.listen changed (needs a restart)",
            "outbox.max_in_flight removed",
            "plugins.echo.grant changed",
            "plugins.new added",
        ];
        assert_eq!(said, wanted);
        // Another order, other quotes, a comment: nothing.
        assert!(
            changes(
                &old,
                &of(
                    "[plugins.echo]\norder=1 # first\ngrant=[\"a\"]\n[outbox]\nmax_in_flight=1\n[http]\nlisten=\"a:1\""
                )
            )
            .is_empty()
        );
    }

    #[test]
    fn a_schedule_is_named() {
        let old = of("[[schedule]]\nname = 'digest'\ncron = '0 9 * * *'\n[[schedule]]\nname = 'late'\nat = 2026-01-01");
        let new = of("[[schedule]]\nname = 'digest'\ncron = '0 10 * * *'\npayload = { deep = [1] }");
        let said: Vec<_> = changes(&old, &new).iter().map(Change::to_string).collect();
        let wanted = [
            "schedule.digest.cron changed",
            "schedule.digest.payload.deep added",
            "schedule.late.at removed",
            "schedule.late.name removed",
        ];
        assert_eq!(said, wanted);
    }
}
