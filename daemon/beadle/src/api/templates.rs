//! Templates.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /templates`
#[derive(Debug, Deserialize, Serialize)]
pub struct TemplateList {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The templates by name and language.
    pub items: Vec<TemplateRow>,
    /// Pass it as `after` to get the next page; none on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The business accounts of the channels.
    pub accounts: Vec<AccountState>,
    /// Channels without `business_account_id`, of which no templates are known.
    pub channels_without_account: Vec<String>,
}

/// The state of a business account's templates.
#[derive(Debug, Deserialize, Serialize)]
pub struct AccountState {
    /// The platform's id.
    pub account: String,
    /// Its channels.
    pub channels: Vec<String>,
    /// The number of its templates, each language counted.
    pub templates: u64,
    /// When they were last fetched.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Ms>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A template in one language.
#[derive(Debug, Deserialize, Serialize)]
pub struct TemplateRow {
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// The business account.
    pub account: String,
    /// `marketing`, `utility` or `authentication`.
    pub category: String,
    /// `approved`, `paused`, …
    pub status: String,
    /// `green`, `yellow`, `red` or `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Why it was rejected, paused or disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When WhatsApp last reported something about it.
    #[serde(with = "super::rfc3339")]
    pub changed_at: Ms,
    /// What has to be filled in.
    pub parameters: Vec<String>,
}

/// `GET /templates/named/{name}`
#[derive(Debug, Deserialize, Serialize)]
pub struct TemplateView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// One for each language.
    pub languages: Vec<TemplateDetails>,
}

/// A template in one language, with its parts.
#[derive(Debug, Deserialize, Serialize)]
pub struct TemplateDetails {
    /// As in lists.
    #[serde(flatten)]
    pub row: TemplateRow,
    /// What its reader sees, with variables.
    pub text: TemplateText,
    /// Advertising words in a utility template.
    pub warnings: Vec<String>,
    /// The platform's components.
    pub components: Value,
}

/// What the reader of a template sees.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct TemplateText {
    /// The header, or its kind in brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The text.
    pub body: String,
    /// The line below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// The labels of the buttons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<String>,
    /// The texts of the cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<String>,
}

/// An advertising word in a utility template.
#[derive(Debug, Deserialize, Serialize)]
pub struct LintRow {
    /// The template.
    pub name: String,
    /// Its language.
    pub language: String,
    /// `text`, `footer`, `button 1`, …
    pub part: String,
    /// The word.
    pub word: String,
}

/// `GET /templates/named/{name}/preview`
#[derive(Debug, Deserialize, Serialize)]
pub struct TemplatePreview {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The template in the language that would be used.
    pub template: TemplateRow,
    /// What its reader sees.
    pub text: TemplateText,
    /// Why it would not be sent like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
