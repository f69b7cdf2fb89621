//! Direct Send: messages that start a conversation without a template prepared beforehand.

use super::Outgoing;
use serde::{Deserialize, Serialize};

/// A message with a category, for accounts with Direct Send (`docs/whatsapp.md#direct-send`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direct {
    /// `utility` or `authentication`. Service messages need no category; marketing needs a
    /// template.
    pub category: String,
    /// The name under which the platform counts it; otherwise the platform chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
    /// A text, reply buttons, a web address button or a call button.
    pub message: Outgoing,
}
