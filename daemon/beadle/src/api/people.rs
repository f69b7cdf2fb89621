//! Contacts, their conversations, duplicates and merges.

use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Two contacts that may be the same person. An operator decides whether to merge them.
#[derive(Debug, Deserialize, Serialize)]
pub struct DuplicateRow {
    /// The contact that has the alias.
    pub contact: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_name: Option<String>,
    /// The contact that used it, too.
    pub other: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_name: Option<String>,
    /// The alias that both used: `phone 351912345678`.
    pub alias: String,
    /// When it was used.
    #[serde(with = "super::rfc3339")]
    pub seen_at: Ms,
}

/// `POST /contacts/{id}/merge/{other}`: what was merged, or would be.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergeView {
    /// Nothing was changed; the result shows what a merge would do.
    pub dry_run: bool,
    /// The contact that is kept: `con_…`
    pub kept: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The contact that is merged into it; its id remains valid.
    pub merged: String,
    /// The number of aliases that moved.
    pub aliases: u64,
    /// Conversations that moved unchanged.
    pub moved_conversations: Vec<String>,
    /// Conversations that were merged into one of the kept contact's.
    pub merged_conversations: Vec<MergedConversation>,
    /// What plugins stored about the merged contact.
    pub plugins: Vec<MergedPlugin>,
    /// The number of group memberships that moved.
    pub group_memberships: u64,
    /// The number of requests to join a group that moved.
    pub join_requests: u64,
    /// The number of receipts in groups that moved.
    pub group_receipts: u64,
    /// Whether the kept contact was a member, …
    pub was_member: bool,
    /// … and is one now.
    pub is_member: bool,
    /// When the contact opted out. An opt-out of either contact counts.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
    /// When the contact stopped marketing messages.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub marketing_stopped_since: Option<Ms>,
}

/// Two conversations that became one.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergedConversation {
    /// The conversation that was merged: `cnv_…`
    pub from: String,
    /// The conversation that remains: `cnv_…`
    pub into: String,
}

/// What a plugin stored about a merged contact.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergedPlugin {
    /// Its name.
    pub plugin: String,
    /// Values that moved.
    pub moved_values: u64,
    /// Values that were dropped because the kept contact has its own.
    pub dropped_values: u64,
    /// Their keys, the first ones only.
    pub dropped_keys: Vec<String>,
    /// Timers that moved.
    pub moved_timers: u64,
    /// Timers that were dropped because the kept contact has its own.
    pub dropped_timers: u64,
}

/// A person.
#[derive(Debug, Deserialize, Serialize)]
pub struct ContactRow {
    /// `con_…`
    pub id: String,
    /// As the platform shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// When the contact was created.
    #[serde(with = "super::rfc3339")]
    pub created_at: Ms,
    /// Member since then.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub member_since: Option<Ms>,
    /// When the contact opted out.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
    /// The role, if it is not `member`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The attributes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// Nothing may be sent to them since then, because they were imported without a
    /// consent, or nothing but the web form has named them.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub quarantined_since: Option<Ms>,
}

/// `PATCH /contacts/{id}`: omitted fields are unchanged; an empty value clears the field, and an
/// empty text an attribute.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContactEdit {
    /// BCP 47, such as `nl` or `pt-BR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA, such as `Europe/Amsterdam`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `owner`, `admin`, `moderator`, `helper`, `member` or `banned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Tags to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_tags: Vec<String>,
    /// Tags to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_tags: Vec<String>,
    /// Attributes as text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Ends a quarantine: the operator answers for the consent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub release: bool,
}

/// `GET /contacts/{id}`
#[derive(Debug, Deserialize, Serialize)]
pub struct ContactView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// As in lists.
    #[serde(flatten)]
    pub row: ContactRow,
    /// The platform's ids for the contact: `phone 31612345678`.
    pub aliases: Vec<String>,
    /// The contact's conversations.
    pub conversations: Vec<ConversationRow>,
    /// Set if WhatsApp could not deliver the last message, and they have not written since:
    /// templates and Direct Send to them are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<Unreachable>,
    /// Reasons to believe that this and another contact are the same person. They are not merged
    /// automatically.
    #[serde(default)]
    pub possible_duplicates: Vec<String>,
    /// Contacts that were merged into this one. Their ids remain valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
}

/// That WhatsApp could not deliver a message to a contact.
#[derive(Debug, Deserialize, Serialize)]
pub struct Unreachable {
    /// When it last failed.
    #[serde(with = "super::rfc3339")]
    pub since: Ms,
    /// WhatsApp's code.
    pub code: String,
}

/// A conversation of a contact.
#[derive(Debug, Deserialize, Serialize)]
pub struct ConversationRow {
    /// `cnv_…`
    pub id: String,
    /// The channel.
    pub channel: String,
    /// When the contact last wrote.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub last_inbound_at: Option<Ms>,
    /// When the 24-hour window ends or ended.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub window_until: Option<Ms>,
}
