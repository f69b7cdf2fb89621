//! Broadcasts.

use super::common::Problem;
use super::rfc3339::Ms;
use beadle_model::broadcast::BroadcastDefinition;
use serde::{Deserialize, Serialize};

/// `POST /broadcasts`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewBroadcast {
    /// Who creates it; another person approves it.
    pub by: String,
    /// What to send to whom.
    pub broadcast: BroadcastDefinition,
}

/// `POST /broadcasts/{id}/approve`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who approves it.
    pub by: String,
}

/// `POST /broadcasts/{id}/test`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastTest {
    /// Who gets the message: `con_…`
    pub contacts: Vec<String>,
}

/// `POST /broadcasts/{id}/resume`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastResume {
    /// Whether those whose message failed get it again.
    #[serde(default)]
    pub failed: bool,
}

/// A broadcast in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct BroadcastSummary {
    /// `bro_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its author: `operator`, or a plugin.
    pub author: String,
    /// The channel.
    pub channel: String,
    /// `draft`, `planned`, `sending`, `paused`, `finished` or `stopped`.
    pub state: String,
    /// Why it is paused, or what prevents it from being planned or started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Problem>,
    /// Who created it.
    pub created_by: String,
    /// When.
    #[serde(with = "super::rfc3339")]
    pub created_at: Ms,
    /// When it was planned.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<Ms>,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When it was started.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Ms>,
    /// When it was finished or stopped.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Ms>,
    /// The recipients.
    pub recipients: BroadcastCounts,
}

/// The number of recipients in each state.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct BroadcastCounts {
    /// Everyone who gets it or got it.
    pub total: u64,
    /// They wait for their turn.
    pub planned: u64,
    /// Deferred by the gate.
    pub held: u64,
    /// In the outbox.
    pub queued: u64,
    /// WhatsApp accepted the message, delivered and read ones included.
    pub sent: u64,
    /// It arrived, read ones included.
    pub delivered: u64,
    /// It was read.
    pub read: u64,
    /// It failed.
    pub failed: u64,
    /// Excluded, when it was planned or later.
    pub refused: u64,
    /// They wrote within 72 hours.
    pub replied: u64,
    /// They withdrew their consent within 72 hours.
    pub opted_out: u64,
}

/// `GET /broadcasts/{id}`
#[derive(Debug, Deserialize, Serialize)]
pub struct BroadcastView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// As in lists.
    #[serde(flatten)]
    pub row: BroadcastSummary,
    /// What its recipients must have agreed to.
    pub purpose: String,
    /// Who gets it, in words.
    pub audience: String,
    /// The template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Whether there is a text for open windows.
    pub has_text: bool,
    /// Why people failed, were refused or are held.
    pub codes: Vec<CodeCount>,
    /// People that planning has looked at, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planning: Option<u64>,
    /// Why nothing is handed over although it is being sent, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Until then.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Ms>,
    /// Whether a second person has to approve it.
    pub needs_approval: bool,
    /// Messages per second that the channel may send.
    pub messages_per_second: u32,
    /// People whom the business may still write to first in these 24 hours; none if no limit is
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_limit_left: Option<u64>,
    /// When everyone may have it, by estimate.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<Ms>,
    /// What planning counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanView>,
}

/// Recipients with the same reason.
#[derive(Debug, Deserialize, Serialize)]
pub struct CodeCount {
    /// `failed`, `refused` or `held`.
    pub state: String,
    /// The reason.
    pub code: String,
    /// How many.
    pub recipients: u64,
}

/// What planning counted.
#[derive(Debug, Deserialize, Serialize)]
pub struct PlanView {
    /// People in the audience.
    pub audience: u64,
    /// Those of them who get it.
    pub recipients: u64,
    /// Those who do not, by reason.
    pub excluded: Vec<CodeCount>,
    /// Recipients who would wait if it was sent when it was planned, by reason.
    pub deferred: Vec<CodeCount>,
    /// Recipients whose window was open.
    pub open_windows: u64,
    /// What it would cost.
    pub costs: Vec<PlanCostView>,
    /// All of it; none if a rate is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// The currency.
    pub currency: String,
    /// What some recipients would read.
    pub samples: Vec<SampleView>,
}

/// Recipients with the same price.
#[derive(Debug, Deserialize, Serialize)]
pub struct PlanCostView {
    /// ISO 3166; empty if it is not known.
    pub country: String,
    /// The category.
    pub category: String,
    /// How many.
    pub recipients: u64,
    /// What they cost together; none if the rate is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
}

/// What a recipient would read.
#[derive(Debug, Deserialize, Serialize)]
pub struct SampleView {
    /// `template in nl`, `text`, …
    pub kind: String,
    /// `con_…`
    pub contact: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// A recipient.
#[derive(Debug, Deserialize, Serialize)]
pub struct RecipientView {
    /// `con_…`
    pub contact: String,
    /// `planned`, `queued`, `sent`, `delivered`, `read`, `failed`, `refused` or `held`.
    pub state: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The language of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Until when it is held.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Ms>,
    /// `msg_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was sent.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Ms>,
    /// When they replied.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub replied_at: Option<Ms>,
}
