//! People, and where one writes with them.

use super::Ms;
use serde::{Deserialize, Serialize};

/// Two contacts who may be one person. Merging is a person's decision.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergeProposal {
    /// Who came with the name.
    pub claimed: String,
    /// Whose it is.
    pub holder: String,
    /// The name: `phone 351912345678`.
    pub alias: String,
    /// When it came.
    pub seen_at: Ms,
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
    /// When they became known.
    pub created_at: Ms,
    /// Member since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_since: Option<Ms>,
    /// Wants no messages since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
}

/// `GET /contacts/{id}`
#[derive(Debug, Deserialize, Serialize)]
pub struct ContactView {
    /// The daemon's time.
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
}

/// A conversation of a contact.
#[derive(Debug, Deserialize, Serialize)]
pub struct ConversationRow {
    /// `cnv_…`
    pub id: String,
    /// The channel.
    pub channel: String,
    /// When they wrote last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_inbound_at: Option<Ms>,
    /// When the 24-hour window ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_until: Option<Ms>,
}
