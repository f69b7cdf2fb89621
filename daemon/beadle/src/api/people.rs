//! People, and where one writes with them.

use super::Ms;
use serde::{Deserialize, Serialize};

/// Two contacts who may be one person. Merging is a person's decision.
#[derive(Debug, Deserialize, Serialize)]
pub struct DuplicateRow {
    /// Who came with the name.
    pub claimed: String,
    /// What they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_name: Option<String>,
    /// Whose it is.
    pub holder: String,
    /// What they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder_name: Option<String>,
    /// The name: `phone 351912345678`.
    pub alias: String,
    /// When it came.
    #[serde(with = "super::rfc3339")]
    pub seen_at: Ms,
}

/// `POST /contacts/{keep}/merge/{gone}`: what moved, or would move.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergeView {
    /// Nothing was changed: it was only asked for.
    pub dry_run: bool,
    /// Who stays: `con_…`
    pub kept: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who is one with them; the id stays good.
    pub gone: String,
    /// Numbers and ids that moved.
    pub names: u64,
    /// Conversations that moved as they were.
    pub moved: Vec<String>,
    /// Conversations that became one with one of the kept contact's: the one that is no more, and that one.
    pub joined: Vec<(String, String)>,
    /// What plugins kept about them.
    pub plugins: Vec<MergedPlugin>,
    /// Places in groups.
    pub groups: u64,
    /// Requests to come into a group.
    pub join_requests: u64,
    /// Receipts in groups.
    pub receipts: u64,
    /// Whether the kept contact was a member, …
    pub was_member: bool,
    /// … and is one now.
    pub is_member: bool,
    /// Wants no messages since then; the stricter wish of both stands.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
    /// Wants no marketing since then.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub marketing_stopped_since: Option<Ms>,
}

/// What a plugin kept about a contact that is merged.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergedPlugin {
    /// Its name.
    pub plugin: String,
    /// Values that moved.
    pub values: u64,
    /// Values that gave way to the kept contact's.
    pub values_dropped: u64,
    /// Under which keys; the first of them.
    pub keys_dropped: Vec<String>,
    /// Timers that moved.
    pub timers: u64,
    /// Timers that gave way to the kept contact's.
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
    /// Wants no messages since then.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
}

/// `PATCH /contacts/{id}`: what is missing stays as it is, what is empty is not known any more.
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
    /// The platform's names for them, `phone 31612345678`.
    pub aliases: Vec<String>,
    /// Where they were met.
    pub conversations: Vec<ConversationRow>,
    /// What suggests that this and another contact are one person. Nobody is merged by that.
    #[serde(default)]
    pub clashes: Vec<String>,
    /// Contacts that are one with this one: their ids stay good.
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
