//! Changes of the platform's groups. Most are answered twice: at once with an acknowledgement, and
//! later by a webhook with the outcome.

use crate::id::{ContactId, MediaId};
use serde::{Deserialize, Serialize};

/// A change of a group, or a request for its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum GroupChange {
    /// Creates a group.
    Create {
        /// 1 to 128 characters.
        subject: String,
        /// At most 2048 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Whether joining by the link needs approval.
        approval_required: bool,
    },
    /// Changes subject or description; omitted fields are unchanged.
    Settings {
        /// 1 to 128 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// At most 2048 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Changes the picture: a square JPEG of at least 192 pixels.
    Picture {
        /// The file.
        media: MediaId,
    },
    /// Deletes the group.
    Delete,
    /// Requests the invite link.
    InviteLink {
        /// Whether to create a new link and invalidate the old ones.
        reset: bool,
    },
    /// Answers join requests.
    Answer {
        /// The platform's ids of the requests.
        requests: Vec<String>,
        /// Whether to approve them.
        approve: bool,
    },
    /// Removes members, who cannot rejoin by the link.
    Remove {
        /// 1 to 8.
        contacts: Vec<ContactId>,
    },
    /// Requests settings and members, to update the mirror.
    Refresh,
}
