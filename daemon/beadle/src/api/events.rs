//! What came in, what was asked for, and what was given up.

use super::{Ms, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct EventRow {
    /// `evt_…`
    pub id: String,
    /// `message`, …
    pub kind: String,
    /// When it happened, as the platform says.
    #[serde(with = "super::rfc3339")]
    pub happened_at: Ms,
    /// When the daemon had it.
    #[serde(with = "super::rfc3339")]
    pub received_at: Ms,
    /// The channel, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// `con_…`, where it is about someone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `open`, `passed`, `claimed by welcome`, …
    pub ending: String,
    /// What happened, in a line.
    pub summary: String,
}

/// `GET /events/{id}`
#[derive(Debug, Deserialize, Serialize)]
pub struct EventView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// As in lists.
    #[serde(flatten)]
    pub row: EventRow,
    /// `cnv_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// All that happened.
    pub body: Value,
    /// Handlings that did not end at the first try.
    pub handlings: Vec<HandlingRow>,
    /// Messages that came of it.
    pub messages: Vec<MessageRow>,
}

/// A handling that did not end at the first try.
#[derive(Debug, Deserialize, Serialize)]
pub struct HandlingRow {
    /// `hnd_…`
    pub id: String,
    /// In which plugin.
    pub plugin: String,
    /// `failing`, `done`, `dead`, `waiting`.
    pub state: String,
    /// Tries so far.
    pub attempts: u32,
    /// The last error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is tried again.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Ms>,
}

/// A message in the outbox.
#[derive(Debug, Deserialize, Serialize)]
pub struct MessageRow {
    /// `msg_…`
    pub id: String,
    /// `evt_…` that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Who asked for it.
    pub plugin: String,
    /// `cnv_…`
    pub conversation: String,
    /// `queued`, `sending`, `accepted`, `failed`, `dead`, `dropped`.
    pub state: String,
    /// What the platform said last: `sent`, `delivered`, `read`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// When it may go, or went.
    #[serde(with = "super::rfc3339")]
    pub due_at: Ms,
    /// When it was asked for.
    #[serde(with = "super::rfc3339")]
    pub created_at: Ms,
    /// Tries so far.
    pub attempts: u32,
    /// It may have been sent twice.
    pub maybe_twice: bool,
    /// The platform's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Why it failed or is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What it says, in a line.
    pub summary: String,
}

/// A dead letter.
#[derive(Debug, Deserialize, Serialize)]
pub struct DeadRow {
    /// `hnd_…`, `msg_…` or `whk_…`
    pub id: String,
    /// Which plugin; `beadle` for a webhook.
    pub plugin: String,
    /// `evt_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// When it was given up.
    #[serde(with = "super::rfc3339")]
    pub at: Ms,
    /// Tries in all; of a webhook, how often it came.
    pub attempts: u32,
    /// The error's code.
    pub code: String,
    /// The error.
    pub error: String,
    /// When a person last had it tried again.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub retried_at: Option<Ms>,
    /// The event was answered by somebody meanwhile, so that a retry may answer twice.
    #[serde(default)]
    pub answered: bool,
    /// What it was about, in a line.
    pub summary: String,
    /// A webhook that was not understood, where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
