//! The consent ledger.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// An entry of the ledger.
#[derive(Debug, Deserialize, Serialize)]
pub struct ConsentRow {
    /// Its number in the ledger.
    pub id: i64,
    /// The person: `con_…`
    pub contact: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `service`, `marketing`, `marketing:TOPIC`, `group` or `survey`.
    pub purpose: String,
    /// `granted`, `withdrawn` or `requested`.
    pub act: String,
    /// How the person expressed it.
    pub source: String,
    /// The wording that they agreed to: `news v2 (nl)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<String>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When they expressed it.
    #[serde(with = "super::rfc3339")]
    pub at: Ms,
    /// For a request: until when they can confirm it.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Ms>,
    /// When it was recorded.
    #[serde(with = "super::rfc3339")]
    pub recorded_at: Ms,
    /// The proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Who recorded it.
    pub actor: String,
}

/// The state of a person's consent for a purpose.
#[derive(Debug, Deserialize, Serialize)]
pub struct PurposeRow {
    /// The purpose.
    pub purpose: String,
    /// `granted`, `withdrawn`, `requested` or `missing`.
    pub state: String,
    /// Since when.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Ms>,
    /// The entry that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<i64>,
}

/// `GET /contacts/{id}/consents`
#[derive(Debug, Deserialize, Serialize)]
pub struct ConsentsView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The person: `con_…`
    pub contact: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What they agreed to.
    pub purposes: Vec<PurposeRow>,
    /// The entries, oldest first.
    pub entries: Vec<ConsentRow>,
}

/// `POST /contacts/{id}/consents`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentReport {
    /// The purpose.
    pub purpose: String,
    /// Whether the person agreed, or withdrew.
    pub granted: bool,
    /// How they expressed it.
    pub source: String,
    /// The name of the wording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<String>,
    /// When they expressed it; now if omitted.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Ms>,
    /// The proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// There is a proof of the person's own confirmation.
    #[serde(default)]
    pub confirmed: bool,
}

/// `GET /consents/links/{wording}`: the links by which people opt in.
#[derive(Debug, Deserialize, Serialize)]
pub struct ConsentLinks {
    /// The name of the wording.
    pub wording: String,
    /// The channel that `chat` leads to.
    pub channel: String,
    /// A link that opens a chat with the channel, with the word of the wording already typed. None
    /// if the wording has no word, or `problem` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// The web form. None if it does not offer this wording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Why there is no link to the chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// `GET /consents/verify`
#[derive(Debug, Deserialize, Serialize)]
pub struct ConsentCheckView {
    /// The number of entries.
    pub rows: u64,
    /// Entries whose content was erased.
    pub erased: u64,
    /// The hash of the last entry: note it elsewhere to prove later that the ledger was not
    /// rewritten.
    pub head: String,
    /// What is wrong; empty if nothing is.
    pub problems: Vec<String>,
}
