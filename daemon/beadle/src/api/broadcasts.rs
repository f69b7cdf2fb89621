//! Broadcasts.

use super::common::Problem;
use super::rfc3339::Ms;
use beadle_model::broadcast::BroadcastDefinition;
use serde::{Deserialize, Serialize};

/// `POST /broadcasts`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewBroadcast {
    /// Who creates it; another person must approve it.
    pub by: String,
    /// Its definition.
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
    /// The contacts who get the message: `con_…`
    pub contacts: Vec<String>,
}

/// `POST /broadcasts/{id}/resume`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastResume {
    /// Whether failed messages are sent again.
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
    /// Why it is paused, or was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Problem>,
    /// Who created it.
    pub created_by: String,
    /// When it was created.
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
    /// All recipients that are not excluded.
    pub total: u64,
    /// Not handed over yet.
    pub planned: u64,
    /// Deferred by the gate.
    pub held: u64,
    /// In the outbox.
    pub queued: u64,
    /// Accepted by WhatsApp, including delivered and read.
    pub sent: u64,
    /// Delivered, including read.
    pub delivered: u64,
    /// Read.
    pub read: u64,
    /// Failed.
    pub failed: u64,
    /// Excluded at planning or later.
    pub refused: u64,
    /// Replied within 72 hours.
    pub replied: u64,
    /// Withdrew their consent within 72 hours.
    pub opted_out: u64,
}

/// `GET /broadcasts/{id}`
#[derive(Debug, Deserialize, Serialize)]
pub struct BroadcastView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The summary, as in lists.
    #[serde(flatten)]
    pub row: BroadcastSummary,
    /// The purpose that its recipients must have agreed to.
    pub purpose: String,
    /// The audience in words.
    pub audience: String,
    /// The template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Whether there is a text for open windows.
    pub has_text: bool,
    /// The reasons of failed, refused and held recipients.
    pub codes: Vec<CodeCount>,
    /// The number of people that planning has decided about, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planning: Option<u64>,
    /// The check that defers the whole broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// When that is checked again.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Ms>,
    /// Whether a second person must approve it.
    pub needs_approval: bool,
    /// The throughput of the channel in messages per second.
    pub messages_per_second: u32,
    /// How many more people the business may write to first in these 24 hours; none if the limit is
    /// unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_limit_left: Option<u64>,
    /// The estimated end.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<Ms>,
    /// When the message loses its meaning.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Ms>,
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanView>,
}

/// Recipients with the same state and reason.
#[derive(Debug, Deserialize, Serialize)]
pub struct CodeCount {
    /// `failed`, `refused` or `held`.
    pub state: String,
    /// The reason.
    pub code: String,
    /// The number of recipients.
    pub recipients: u64,
}

/// The plan of a broadcast.
#[derive(Debug, Deserialize, Serialize)]
pub struct PlanView {
    /// People in the audience.
    pub audience: u64,
    /// Those who get the message.
    pub recipients: u64,
    /// Those who do not get it, by reason.
    pub excluded: Vec<CodeCount>,
    /// Recipients whose message would have been deferred at the time of planning, by reason.
    pub deferred: Vec<CodeCount>,
    /// Recipients whose window was open.
    pub open_windows: u64,
    /// The estimated cost, by market and category.
    pub costs: Vec<PlanCostView>,
    /// The total; none if a rate is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// The currency.
    pub currency: String,
    /// The budgets that limit it, before it is started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<PlanBudget>,
    /// The message as some recipients would read it.
    pub samples: Vec<SampleView>,
}

/// A budget that limits a planned broadcast.
#[derive(Debug, Deserialize, Serialize)]
pub struct PlanBudget {
    /// Its name.
    pub name: String,
    /// `day` or `month`.
    pub period: String,
    /// The limit.
    pub amount: String,
    /// What is left of it now.
    pub left: String,
    /// The estimated cost of the messages that it counts, without those whose rate is missing.
    pub estimate: String,
    /// Whether the estimate is more than what is left.
    pub is_exceeded: bool,
    /// Recipients whose rate is missing: the budget lets no message to them pass.
    pub unpriced: u64,
    /// When it is used up, messages wait for the next period; otherwise the broadcast is paused.
    pub waits: bool,
}

/// Recipients with the same price.
#[derive(Debug, Deserialize, Serialize)]
pub struct PlanCostView {
    /// ISO 3166; empty if unknown.
    pub country: String,
    /// The category.
    pub category: String,
    /// The number of recipients.
    pub recipients: u64,
    /// Their total cost; none if the rate is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
}

/// The message as a recipient would read it.
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
    /// The reason.
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
