//! Changes of the platform's groups. Most are answered twice: at once with a "heard", and by a webhook with what became of it.

use crate::{ContactId, MediaId};
use serde::{Deserialize, Serialize};

/// A change of a group of the platform, or a question about one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum GroupChange {
    /// A new group.
    Create {
        /// 1 to 128 characters.
        subject: String,
        /// 2048 characters at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Whoever comes by the link has to be let in.
        approval_required: bool,
    },
    /// Another name or text; what is `None` stays.
    Settings {
        /// 1 to 128 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// 2048 characters at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Another picture: JPEG, square, 192 pixels at least.
    Picture {
        /// The file.
        media: MediaId,
    },
    /// The end of it.
    Delete,
    /// Its invite link.
    InviteLink {
        /// A new one; the old ones die.
        reset: bool,
    },
    /// Let these in, or not: ids of requests.
    Answer {
        /// The requests.
        requests: Vec<String>,
        /// Let them in.
        approve: bool,
    },
    /// These go, and cannot come back by the link.
    Remove {
        /// 1 to 8.
        contacts: Vec<ContactId>,
    },
    /// What it is and who is in it: the mirror is brought up to date.
    Refresh,
}
