//! What is remembered of a plugin across starts, in the store beside its state, as JSON.
//!
//! Fields are added and given a default, never renamed: the next version reads what this one wrote.

use beadle_model::{EventKind, PluginNo, Timestamp};
use beadle_pipeline::Suspension;
use beadle_store::{Reader, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Revisions that one can go back to.
const KEPT: usize = 4;

/// What is remembered of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Revisions that served, by content hash, the one that serves now last.
    pub served: Vec<String>,
    /// This revision was sent back: its file is not taken until it has other bytes.
    pub sent_back: Option<String>,
    /// Capabilities that were granted by command, besides those in TOML.
    pub granted: BTreeSet<String>,
    /// Its file is gone since then (civil time).
    pub gone_since: Option<Timestamp>,
    /// A person switched it off then (civil time).
    pub disabled_since: Option<Timestamp>,
    /// It is suspended, for as long as this revision serves.
    pub suspended: Option<Suspended>,
    /// This revision is not loaded any more.
    pub isolated: Option<Isolated>,
    /// Interfaces of the events that the revision which served last exports.
    pub events: BTreeSet<String>,
}

/// A plugin that failed time after time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// Which revision of it.
    pub revision: String,
    /// Why, and since when.
    #[serde(flatten)]
    pub suspension: Suspension,
}

/// A revision whose loading ended a start of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolated {
    /// Which.
    pub revision: String,
    /// When that was found out (civil time).
    pub at: Timestamp,
}

impl Record {
    /// From what the store has; a record that cannot be read is as good as none, and said.
    fn parse(name: &str, text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::default() };
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::error!(plugin = name, %error, "What was remembered of a plugin cannot be read, and is forgotten.");
            Self::default()
        })
    }

    /// As the store keeps it.
    pub fn text(&self) -> String {
        // Strings and numbers always can be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The revision that serves, or did when we ended.
    pub fn serving(&self) -> Option<&str> {
        self.served.last().map(String::as_str)
    }

    /// The revision before it.
    pub fn before(&self) -> Option<&str> {
        self.served.iter().rev().nth(1).map(String::as_str)
    }

    /// This revision serves from now on.
    pub fn serves(&mut self, revision: &str) {
        self.served.retain(|served| served != revision);
        self.served.push(revision.to_owned());
        let most = self.served.len().saturating_sub(KEPT);
        self.served.drain(..most);
        self.sent_back = None;
        self.gone_since = None;
    }

    /// Whether loading these bytes ended a start of the daemon.
    pub fn is_isolated(&self, revision: &str) -> bool {
        self.isolated.as_ref().is_some_and(|isolated| isolated.revision == revision)
    }

    /// The events that it is known to want.
    pub fn wants(&self) -> BTreeSet<EventKind> {
        let is_wanted = |kind: &EventKind| kind.interface().is_some_and(|name| self.events.contains(name));
        EventKind::ALL.into_iter().filter(is_wanted).collect()
    }

    /// The revision that serves is sent back; the one before it serves again. What lies in the folder stays refused.
    pub fn goes_back(&mut self) {
        let gone = self.served.pop();
        self.sent_back = self.sent_back.take().or(gone);
    }
}

/// All that is remembered, by name.
pub(crate) fn read_all(reader: &Reader) -> Result<BTreeMap<String, (PluginNo, Record)>, StoreError> {
    let rows = reader.plugins()?;
    let one = |row: beadle_store::PluginRow| {
        let record = Record::parse(&row.name, row.record.as_deref());
        (row.name, (row.no, record))
    };
    Ok(rows.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_come_and_go_back() {
        let mut record = Record::default();
        for revision in ["a", "b", "c", "d", "e"] {
            record.serves(revision);
        }
        assert_eq!((record.served.len(), record.serving(), record.before()), (KEPT, Some("e"), Some("d")));
        record.goes_back();
        assert_eq!((record.serving(), record.sent_back.as_deref()), (Some("d"), Some("e")));
        // Further back; the file in the folder is still the one that was sent back first.
        record.goes_back();
        assert_eq!((record.serving(), record.sent_back.as_deref()), (Some("c"), Some("e")));
        record.serves("f");
        assert_eq!((record.before(), record.sent_back.as_deref()), (Some("c"), None));
        // The same bytes again are not two revisions.
        record.serves("c");
        assert_eq!(record.served, ["b", "f", "c"]);
    }

    #[test]
    fn what_was_written_is_read_and_what_is_none_is_forgotten() {
        let mut record = Record::default();
        record.serves("a");
        record.granted.insert("messages".into());
        let suspension = Suspension { code: "plugin-suspended".into(), why: "it failed".into(), at: Timestamp(1) };
        record.suspended = Some(Suspended { revision: "a".into(), suspension });
        record.isolated = Some(Isolated { revision: "b".into(), at: Timestamp(2) });
        record.events = BTreeSet::from(["on-message".into(), "on-something-of-later".into()]);
        assert_eq!(record.wants(), BTreeSet::from([EventKind::Message]));
        assert_eq!(Record::parse("echo", Some(&record.text())), record);
        assert_eq!(Record::parse("echo", Some("{}")), Record::default());
        assert_eq!(Record::parse("echo", Some("nonsense")), Record::default());
    }
}
