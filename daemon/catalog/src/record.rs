//! What is remembered of a plugin across restarts: a JSON record in the store.
//!
//! Fields are only added, each with a default, and never renamed, so that the next version reads
//! what this one wrote.

use beadle_model::{EventKind, PluginNo, Timestamp};
use beadle_pipeline::Suspension;
use beadle_store::{Reader, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Revisions kept for rollback, including the active one.
const MAX_REVISIONS: usize = 4;

/// The code of a plugin that is suspended because the daemon died while it ran.
pub(crate) const CRASH: &str = "plugin-crash";
/// Deaths of the daemon in a first call of one revision, within [`CRASH_SPAN_MS`], after which it
/// is suspended. One or two may be a power failure or an operator's kill at that moment.
const MAX_CRASHES: usize = 3;
const CRASH_SPAN_MS: i64 = 60 * 60 * 1000;

/// The record of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The revisions that were active, by content hash; the last one is active now.
    pub revisions: Vec<String>,
    /// The revision that was rolled back: a file with this content is not loaded.
    pub rolled_back: Option<String>,
    /// Capabilities granted by command, in addition to those in TOML.
    pub granted: BTreeSet<String>,
    /// When its file was found missing (civil time).
    pub gone_since: Option<Timestamp>,
    /// When it was disabled (civil time).
    pub disabled_since: Option<Timestamp>,
    /// A suspension, valid while that revision is active.
    pub suspended: Option<SuspendedRevision>,
    /// A revision that is not loaded.
    pub isolated: Option<IsolatedRevision>,
    /// When the daemon died lately while a fresh instance of the active revision ran its first call
    /// (civil time).
    pub crashes: Vec<Timestamp>,
    /// The folder of the file that was last loaded.
    pub folder: Option<String>,
    /// The interfaces of the events that the last active revision exports.
    pub events: BTreeSet<String>,
}

/// A suspension and the revision that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendedRevision {
    /// The content hash.
    pub revision: String,
    /// The reason and the time.
    #[serde(flatten)]
    pub suspension: Suspension,
}

/// A revision whose loading killed the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolatedRevision {
    /// The content hash.
    pub revision: String,
    /// When that was detected (civil time).
    pub at: Timestamp,
}

impl Record {
    /// Parses the stored record. An unreadable one counts as empty and is logged.
    fn parse(name: &str, text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::default() };
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::error!(plugin = name, %error, "plugin record unreadable, starting with an empty one");
            Self::default()
        })
    }

    /// The form in which it is stored.
    pub fn to_json(&self) -> String {
        // Strings, numbers and string maps always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The active revision, or the last one that was.
    pub fn active(&self) -> Option<&str> {
        self.revisions.last().map(String::as_str)
    }

    /// The revision that was active before it.
    pub fn earlier(&self) -> Option<&str> {
        self.revisions.iter().rev().nth(1).map(String::as_str)
    }

    /// Records that this revision is active now.
    pub fn activate(&mut self, revision: &str) {
        if self.active() != Some(revision) {
            self.crashes.clear();
        }
        self.revisions.retain(|known| known != revision);
        self.revisions.push(revision.to_owned());
        let excess = self.revisions.len().saturating_sub(MAX_REVISIONS);
        self.revisions.drain(..excess);
        self.rolled_back = None;
        self.gone_since = None;
    }

    /// Notes that the daemon died in a first call of the active revision. Returns whether that
    /// happened too often: then it is suspended, with this suspension.
    pub fn note_crash(&mut self, name: &str, at: Timestamp) -> bool {
        self.crashes.retain(|before| (0..CRASH_SPAN_MS).contains(&at.since_ms(*before)));
        self.crashes.push(at);
        let Some(revision) = self.active().filter(|_| self.crashes.len() >= MAX_CRASHES).map(str::to_owned) else {
            return false;
        };
        self.crashes.clear();
        let reason = format!(
            "the daemon died {MAX_CRASHES} times within an hour while `{name}` ran its first event in a fresh instance"
        );
        self.suspended =
            Some(SuspendedRevision { revision, suspension: Suspension { code: CRASH.into(), reason, at } });
        true
    }

    /// Whether loading this revision killed the daemon.
    pub fn is_isolated(&self, revision: &str) -> bool {
        self.isolated.as_ref().is_some_and(|isolated| isolated.revision == revision)
    }

    /// The events that the last active revision exports.
    pub fn exported_events(&self) -> BTreeSet<EventKind> {
        let is_exported = |kind: &EventKind| kind.interface().is_some_and(|name| self.events.contains(name));
        EventKind::ALL.into_iter().filter(is_exported).collect()
    }

    /// Goes back to the earlier revision. The file in the folder is still the first one that was
    /// rolled back.
    pub fn roll_back(&mut self) {
        let last = self.revisions.pop();
        self.rolled_back = self.rolled_back.take().or(last);
    }
}

/// Reads all records, by plugin name.
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
    fn activation_and_rollback_keep_the_history() {
        let mut record = Record::default();
        for revision in ["a", "b", "c", "d", "e"] {
            record.activate(revision);
        }
        assert_eq!((record.revisions.len(), record.active(), record.earlier()), (MAX_REVISIONS, Some("e"), Some("d")));
        record.roll_back();
        assert_eq!((record.active(), record.rolled_back.as_deref()), (Some("d"), Some("e")));
        // Further back: the file in the folder is still the one that was rolled back first.
        record.roll_back();
        assert_eq!((record.active(), record.rolled_back.as_deref()), (Some("c"), Some("e")));
        record.activate("f");
        assert_eq!((record.earlier(), record.rolled_back.as_deref()), (Some("c"), None));
        // The same content again is one revision.
        record.activate("c");
        assert_eq!(record.revisions, ["b", "f", "c"]);
    }

    #[test]
    fn third_crash_within_an_hour_suspends() {
        const MINUTE: i64 = 60_000;
        let mut record = Record::default();
        assert!(!record.note_crash("polls", Timestamp(0)));
        record.activate("a");
        for (minute, suspends) in [(0, false), (10, false), (65, false), (69, true), (70, false)] {
            assert_eq!(record.note_crash("polls", Timestamp(minute * MINUTE)), suspends, "{minute}");
        }
        let suspended = record.suspended.clone().unwrap();
        assert_eq!((suspended.revision.as_str(), suspended.suspension.code.as_str()), ("a", CRASH));
        // A clock that was set back, and another revision, reset the count.
        assert!(!record.note_crash("polls", Timestamp(0)) && record.crashes.len() == 1);
        record.activate("b");
        assert!(record.crashes.is_empty());
    }

    #[test]
    fn records_round_trip_and_unreadable_ones_count_as_empty() {
        let mut record = Record::default();
        record.activate("a");
        record.granted.insert("messages".into());
        let suspension = Suspension { code: "plugin-suspended".into(), reason: "it failed".into(), at: Timestamp(1) };
        record.suspended = Some(SuspendedRevision { revision: "a".into(), suspension });
        record.isolated = Some(IsolatedRevision { revision: "b".into(), at: Timestamp(2) });
        record.events = BTreeSet::from(["on-message".into(), "on-a-later-event".into()]);
        assert_eq!(record.exported_events(), BTreeSet::from([EventKind::Message]));
        assert_eq!(Record::parse("echo", Some(&record.to_json())), record);
        assert_eq!(Record::parse("echo", Some("{}")), Record::default());
        assert_eq!(Record::parse("echo", Some("not JSON")), Record::default());
    }
}
