//! Events, messages and dead letters.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct EventRow {
    /// `evt_…`
    pub id: String,
    /// `message`, …
    pub kind: String,
    /// When it happened, according to the platform.
    #[serde(with = "super::rfc3339")]
    pub happened_at: Ms,
    /// When the daemon received it.
    #[serde(with = "super::rfc3339")]
    pub received_at: Ms,
    /// Its channel, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// `con_…`, if it is about a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `passed`, `claimed by welcome`, `asked by …`, `stopped by …`, `host`; `open` while it has
    /// not ended.
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
    /// The body of the event.
    pub body: Value,
    /// Handlings that did not succeed at the first attempt.
    pub handlings: Vec<HandlingRow>,
    /// Messages that plugins sent because of it.
    pub messages: Vec<MessageRow>,
}

/// A handling that did not succeed at the first attempt.
#[derive(Debug, Deserialize, Serialize)]
pub struct HandlingRow {
    /// `hnd_…`
    pub id: String,
    /// The plugin.
    pub plugin: String,
    /// `failing`, `done`, `dead`, `waiting`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The last error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is attempted again.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Ms>,
}

/// A message in the outbox.
#[derive(Debug, Deserialize, Serialize)]
pub struct MessageRow {
    /// `msg_…`
    pub id: String,
    /// The event that caused it: `evt_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The plugin that sent it.
    pub plugin: String,
    /// `cnv_…`
    pub conversation: String,
    /// `queued`, `sending`, `accepted`, `failed`, `dead`, `dropped`.
    pub state: String,
    /// What its sender stated that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// When WhatsApp held it for a quality assessment.
    #[serde(default, with = "super::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Ms>,
    /// The last status that the platform reported: `sent`, `delivered`, `read`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// When it may be sent, or was sent.
    #[serde(with = "super::rfc3339")]
    pub due_at: Ms,
    /// When it was created.
    #[serde(with = "super::rfc3339")]
    pub created_at: Ms,
    /// Requests to the platform to send it. Those that it refused because of the whole channel are
    /// not counted.
    pub attempts: u32,
    /// WhatsApp may have received it twice.
    pub possibly_duplicate: bool,
    /// WhatsApp's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_id: Option<String>,
    /// Why it failed or is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Its content, in a line.
    pub summary: String,
}

/// A dead letter.
#[derive(Debug, Deserialize, Serialize)]
pub struct DeadLetterRow {
    /// `hnd_…`, `msg_…` or `whk_…`
    pub id: String,
    /// The plugin; `beadle` for a webhook.
    pub plugin: String,
    /// `evt_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// When it was given up.
    #[serde(with = "super::rfc3339")]
    pub given_up_at: Ms,
    /// The number of attempts; for a webhook, how often it arrived.
    pub attempts: u32,
    /// The error's code.
    pub code: String,
    /// The error.
    pub error: String,
    /// When an operator last retried it.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub retried_at: Option<Ms>,
    /// Another plugin has answered the event meanwhile, so a retry may answer twice.
    #[serde(default)]
    pub answered: bool,
    /// What it was about, in a line.
    pub summary: String,
    /// The body of a rejected webhook. Only in the view of one dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}
