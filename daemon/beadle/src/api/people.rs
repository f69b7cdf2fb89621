//! Contacts, their conversations, duplicates and merges.

use super::Ms;
use serde::{Deserialize, Serialize};

/// Two contacts who may be one person. Merging is a person's decision.
#[derive(Debug, Deserialize, Serialize)]
pub struct DuplicateRow {
    /// The contact that used the alias.
    pub claimed: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_name: Option<String>,
    /// The contact that has the alias.
    pub holder: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder_name: Option<String>,
    /// The alias: `phone 351912345678`.
    pub alias: String,
    /// When it was used.
    #[serde(with = "super::rfc3339")]
    pub seen_at: Ms,
}

/// `POST /contacts/{keep}/merge/{removed}`: what moved, or would move.
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
    pub removed: String,
    /// The number of aliases that moved.
    pub aliases: u64,
    /// Conversations that moved unchanged.
    pub moved_conversations: Vec<String>,
    /// Conversations that were merged into one of the kept contact's: the merged one, and that one.
    pub merged_conversations: Vec<(String, String)>,
    /// What plugins stored about them.
    pub plugins: Vec<MergedPlugin>,
    /// The number of group memberships.
    pub groups: u64,
    /// The number of requests to join a group.
    pub join_requests: u64,
    /// The number of receipts in groups.
    pub receipts: u64,
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

/// What a plugin stored about a merged contact.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergedPlugin {
    /// Its name.
    pub plugin: String,
    /// Values that moved.
    pub values: u64,
    /// Values that were dropped because the kept contact has its own.
    pub values_dropped: u64,
    /// Their keys, the first ones only.
    pub keys_dropped: Vec<String>,
    /// Timers that moved.
    pub timers: u64,
    /// Timers that were dropped because the kept contact has its own.
    pub timers_dropped: u64,
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
    /// When they became known.
    #[serde(with = "super::rfc3339")]
    pub created_at: Ms,
    /// Member since then.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub member_since: Option<Ms>,
    /// When the contact opted out.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
}

/// `PATCH /contacts/{id}`: omitted fields are unchanged; an empty value clears the field.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContactEdit {
    /// BCP 47, such as `nl` or `pt-BR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA, such as `Europe/Amsterdam`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
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
    /// Reasons to believe that this and another contact are one person. They are not merged automatically.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// Contacts that were merged into this one. Their ids remain valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
}

/// A conversation of a contact.
#[derive(Debug, Deserialize, Serialize)]
pub struct ConversationRow {
    /// `cnv_…`
    pub id: String,
    /// The channel.
    pub channel: String,
    /// When they wrote last.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub last_inbound_at: Option<Ms>,
    /// When the 24-hour window ends or ended.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub window_until: Option<Ms>,
}
