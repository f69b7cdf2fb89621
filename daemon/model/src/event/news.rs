//! The longer news in events: of numbers, of groups, of prices, and why something failed.

use crate::{Alias, ContactId, ConversationId, MessageId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// News of a number, its account or one of its templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelNews {
    /// The channel's name in the configuration; none: the news are of the whole account or app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What changed: `template-status`, `template-quality`, `quality`, `limits`, `account`, `name`, …
    pub what: String,
    /// What of it: a template's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it is now, in lower case: `approved`, `paused`, `restricted`, …
    pub state: String,
    /// What it was, where the platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The platform's own words.
    pub json: Value,
}

/// News of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupNews {
    /// The channel's name in the configuration.
    pub channel: String,
    /// The platform's id of the group; none where it could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `created`, `deleted`, `changed`, `suspended`, `restored`, `invite-link`, `refreshed`, `requests-answered`, `failed`.
    pub change: String,
    /// Ours, where it answers what a plugin asked; found by the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<MessageId>,
    /// The platform's name for what was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Its name now, where it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its text now, where it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// By which one comes in, where it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite_link: Option<String>,
    /// Whoever comes by the link has to be let in, where it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_required: Option<bool>,
    /// Who is in it, all of them, where that is told: each person by every name. Not for plugins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Vec<Alias>>>,
    /// What did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What the platform told besides.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub extra: Value,
}

/// What the platform says a message costs (whatsapp.md 1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pricing {
    /// `marketing`, `utility`, `service`, `group_marketing`, …
    pub category: String,
    /// `regular`, `free_customer_service`, `free_entry_point`, …
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `PMP`: by message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The platform wants to stop saying so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billable: Option<bool>,
    /// `paid_exempt`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
}

/// Why a message failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The platform's number as text, or our own code.
    pub code: String,
    /// One line.
    pub title: String,
    /// More of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// `platform` or `host`.
    pub by: String,
}

/// A contact that is one with another now: its id stays good, and so do those of its conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Who is no more.
    pub contact: ContactId,
    /// Conversations that became one: the one that is no more, and the one that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<(ConversationId, ConversationId)>,
}
