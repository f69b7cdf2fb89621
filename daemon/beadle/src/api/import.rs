//! Import and export of contacts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    pub attributes: BTreeMap<String, String>,
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
    /// People who withdrew what the file says that they agreed to: that is not recorded.
    #[serde(default)]
    pub withdrawn: u64,
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
    pub attributes: BTreeMap<String, String>,
    /// The state of each purpose about which something is recorded.
    pub consents: BTreeMap<String, String>,
}
