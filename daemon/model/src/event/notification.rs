//! The longer parts of events: changes of numbers and groups, prices, failures and merges.

use crate::contact::Alias;
use crate::id::{ContactId, ConversationId, MessageId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change of a phone number, its account or one of its templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelNotification {
    /// The channel's name in the configuration; `None` for a change of the whole account or app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What changed: `template-status`, `template-quality`, `quality`, `limits`, `account`,
    /// `name`, …
    pub change: String,
    /// Which of them: a template's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The new state in lower case: `approved`, `paused`, `restricted`, …
    pub state: String,
    /// The previous state, if the platform reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The platform's JSON.
    pub json: Value,
}

/// A change of a group, or the answer to a request about one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupNotification {
    /// The channel's name in the configuration.
    pub channel: String,
    /// The platform's group id; `None` if the group could not be created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `created`, `deleted`, `changed`, `suspended`, `restored`, `invite-link`, `refreshed`,
    /// `requests-answered`, `failed`.
    pub change: String,
    /// The outbox row of the plugin's request that this answers; filled in by the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<MessageId>,
    /// The platform's id of the request that this answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The new subject, if reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The new description, if reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The new invite link, if reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite_link: Option<String>,
    /// Whether joining by the link needs approval, if reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_required: Option<bool>,
    /// All members with all their aliases, if reported. Hidden from plugins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Vec<Alias>>>,
    /// The aliases of each member for whom the request failed, in the order of `failed` in `extra`.
    /// The store replaces them by contacts there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Vec<Alias>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Other fields that the platform sent.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub extra: Value,
}

/// The price of a message as the platform reports it (`docs/whatsapp.md#prices`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pricing {
    /// `marketing`, `utility`, `service`, `group_marketing`, …
    pub category: String,
    /// `regular`, `free_customer_service`, `free_entry_point`, …
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `PMP`: per message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The platform intends to stop sending it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billable: Option<bool>,
    /// `paid_exempt`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
}

/// Why a message failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The platform's error number as text, or Beadle's own code.
    pub code: String,
    /// One line.
    pub title: String,
    /// More detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// `platform` or `host`.
    pub by: String,
}

/// A contact that was merged into another. Its id and those of its conversations stay valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedContact {
    /// The contact that was merged.
    pub contact: ContactId,
    /// Conversations that were merged: the removed one, and the one that it became.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<(ConversationId, ConversationId)>,
}
