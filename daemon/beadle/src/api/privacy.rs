//! The data of one person, and erasures.

use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `GET /contacts/{id}/data`: a page of everything that is stored about a person.
#[derive(Debug, Deserialize, Serialize)]
pub struct PersonData {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The person: `con_…`
    pub contact: String,
    /// Their language, BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Sections in order. A section may go on in the next page.
    pub sections: Vec<PersonSection>,
    /// Pass it as `after` to get the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The names of the sections, in order.
#[cfg(test)]
pub const PERSON_SECTIONS: [&str; 15] = [
    "profile",
    "identities",
    "conversations",
    "consents",
    "requests",
    "groups",
    "lists",
    "broadcasts",
    "files",
    "received",
    "sent",
    "refused",
    "stored",
    "timers",
    "plugins",
];

/// A kind of data about a person.
#[derive(Debug, Deserialize, Serialize)]
pub struct PersonSection {
    /// `profile`, `identities`, `consents`, `received`, `sent`, …
    pub name: String,
    /// Objects with fields by section.
    pub items: Vec<Value>,
}

/// An erasure in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct ErasureRow {
    /// Its number.
    pub id: i64,
    /// The contact, whose id is not used again: `con_…`. `-` if a restored backup did not contain
    /// it.
    pub contact: String,
    /// `operator`, `person`, `restore` (repeated after a backup was restored), or `unanswered`
    /// (only the web form named the person, and they did not answer).
    pub asked_by: String,
    /// When it began: nothing is sent from then on.
    #[serde(with = "super::rfc3339")]
    pub begun_at: Ms,
    /// `begun`, `plugins` (plugins erase), `rows`, `cleaning`, or `done`.
    pub phase: String,
    /// When it was complete.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Ms>,
}

/// `GET /erasures/{id}`, `POST /contacts/{id}/erase`: the receipt of an erasure, without personal
/// data.
#[derive(Debug, Deserialize, Serialize)]
pub struct ErasureView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// As in lists.
    #[serde(flatten)]
    pub row: ErasureRow,
    /// The number of rows by what was erased.
    pub erased: BTreeMap<String, u64>,
    /// Plugins that keep data about people, and how far each is.
    pub plugins: Vec<ErasurePlugin>,
}

/// A plugin that keeps data about people.
#[derive(Debug, Deserialize, Serialize)]
pub struct ErasurePlugin {
    /// Its name.
    pub plugin: String,
    /// `done`, `pending`, `waiting` (it does not run), `failed` (it is tried again), or `given-up`
    /// (an operator dropped the dead letter).
    pub state: String,
    /// The number of attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The dead letter: `hnd_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
}

/// `GET /retention/plan`: what would be deleted now.
#[derive(Debug, Deserialize, Serialize)]
pub struct RetentionPlanView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The time by which age is measured. It is earlier than `now` for a day after the clock jumped
    /// ahead.
    #[serde(with = "super::rfc3339")]
    pub measured_at: Ms,
    /// By kind.
    pub kinds: Vec<RetentionKind>,
}

/// A kind of data in a plan.
#[derive(Debug, Deserialize, Serialize)]
pub struct RetentionKind {
    /// The key in `[retention]`, or `broadcasts` (kept as long as messages), `schedule_history` (as
    /// long as events) and `expired_values` (of plugins).
    pub kind: String,
    /// For how long it is kept, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<i64>,
    /// The number of rows or files.
    pub count: u64,
    /// Not all were counted: there may be more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}
