//! Direct Send: written first, and without a template that somebody made beforehand. The platform makes one of it.

use super::Outgoing;
use serde::{Deserialize, Serialize};

/// A message with a category, for accounts that may send so (whatsapp.md 2.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direct {
    /// `utility` or `authentication`. What is `service` is any other message, and marketing goes by template only.
    pub category: String,
    /// The platform counts it under this name, and not under one that it makes up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
    /// A text, buttons, a link button or a call button.
    pub message: Outgoing,
}
