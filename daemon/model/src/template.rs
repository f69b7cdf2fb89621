//! Templates as a business account has them on the platform, and what changes about them.
//!
//! A message that uses one is [`crate::outgoing::Template`]; here is the definition that it has to
//! match.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A template in one language, as the platform reported it last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateDefinition {
    /// The platform's id.
    pub platform_id: String,
    /// `[a-z0-9_]{1,512}`
    pub name: String,
    /// For example `en_US`.
    pub language: String,
    /// `marketing`, `utility` or `authentication`; the platform changes it after a review.
    pub category: String,
    /// `approved`, `pending`, `rejected`, `paused`, `disabled`, `pending_deletion`, … in lower
    /// case.
    pub status: String,
    /// `green`, `yellow`, `red` or `unknown`.
    pub quality: Option<String>,
    /// Why it was rejected, paused or disabled.
    pub reason: Option<String>,
    /// Whether its variables have names; otherwise they have positions.
    pub is_named: bool,
    /// Header, body, footer, buttons and carousel: the platform's array. Empty if not fetched yet.
    pub components: Value,
    /// When the platform last reported something about it.
    pub changed_at: Timestamp,
}

impl TemplateDefinition {
    /// Whether the platform accepts messages that use it.
    pub fn is_approved(&self) -> bool {
        self.status == "approved"
    }
}

/// News about one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateNews {
    /// The business account that has the template.
    pub account: String,
    /// The platform's id of the template.
    pub platform_id: String,
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// When this was so, by the platform's clock. Older news than what is known changes nothing.
    pub at: Timestamp,
    /// What is new.
    pub change: TemplateChange,
}

/// What is new about a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateChange {
    /// Its status, in lower case.
    Status {
        /// The status.
        status: String,
        /// The reason, if the platform gives one.
        reason: Option<String>,
        /// The category, if the platform names it.
        category: Option<String>,
    },
    /// Its quality, in lower case.
    Quality(String),
    /// Its category, in lower case.
    Category(String),
    /// Its texts or buttons, which have to be fetched.
    Components,
}
