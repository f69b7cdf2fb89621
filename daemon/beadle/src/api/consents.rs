//! The consent ledger.

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
    /// Opens a chat with this channel …
    pub channel: String,
    /// … in which the word of the wording is already typed. None if the wording has no word, or `problem` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// The web form. None if it does not offer this wording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Why there is no link to the chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<super::Problem>,
}

/// `GET /consents/verify`
#[derive(Debug, Deserialize, Serialize)]
pub struct ConsentCheckView {
    /// The number of entries.
    pub rows: u64,
    /// Entries whose content was erased.
    pub erased: u64,
    /// The hash of the last entry: note it elsewhere to prove later that the ledger was not rewritten.
    pub head: String,
    /// What is wrong; empty if nothing is.
    pub problems: Vec<String>,
}

/// Something that a person asked the operator for.
#[derive(Debug, Deserialize, Serialize)]
pub struct RequestRow {
    /// Its number.
    pub id: i64,
    /// `human` (to talk to a person), `export` (a copy of their data) or `erase`.
    pub kind: String,
    /// The person: `con_…`
    pub contact: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where they asked: `cnv_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// When.
    #[serde(with = "super::rfc3339")]
    pub asked_at: Ms,
    /// When they confirmed it.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Ms>,
}

/// A row of an import.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportRow {
    /// The line in the file, for errors.
    pub line: u64,
    /// The phone number.
    pub phone: String,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Tags to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Attributes as text.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub attributes: std::collections::BTreeMap<String, String>,
    /// The role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How they agreed; without it a new person is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_source: Option<String>,
    /// What they agreed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_purpose: Option<String>,
    /// The name of the wording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_wording: Option<String>,
    /// When: RFC 3339 or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_at: Option<String>,
    /// The proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_evidence: Option<String>,
}

/// `POST /contacts/import`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The channel on which they can be written to; the only one if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The people.
    pub rows: Vec<ImportRow>,
}

/// What an import did, or would do.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct ImportView {
    /// Nothing was changed.
    pub dry_run: bool,
    /// The number of rows.
    pub rows: u64,
    /// New people.
    pub created: u64,
    /// Known people.
    pub known: u64,
    /// New people to whom nothing may be sent.
    pub quarantined: u64,
    /// Entries of the consent ledger.
    pub consents: u64,
    /// People who were asked to confirm.
    pub asked: u64,
    /// Rows that cannot be imported, because of which nothing was changed.
    pub problems: Vec<ImportProblem>,
}

/// A row that cannot be imported.
#[derive(Debug, Deserialize, Serialize)]
pub struct ImportProblem {
    /// The line in the file.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// A contact for export.
#[derive(Debug, Deserialize, Serialize)]
pub struct ExportRow {
    /// `con_…`
    pub id: String,
    /// The phone number in international form, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The role.
    pub role: String,
    /// The tags.
    pub tags: Vec<String>,
    /// The attributes as text.
    pub attributes: std::collections::BTreeMap<String, String>,
    /// The state of each purpose about which something is recorded.
    pub consents: std::collections::BTreeMap<String, String>,
}
