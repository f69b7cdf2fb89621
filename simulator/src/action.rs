//! What the platform does by itself when its time comes. An action names the objects that it
//! concerns and nothing else, so that it can be saved and performed after a restart. `scheduled`
//! performs it.

use crate::groups::GroupNo;
use crate::messages::MessageState;
use crate::people::PersonNo;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ScheduledAction {
    /// A message reaches a state.
    ReachState(u64, MessageState),
    /// A template message that was held for quality assessment is released.
    Release(u64),
    /// The review of a template ends.
    Review(String),
    /// A template's pause ends.
    Unpause(String),
    /// The asynchronous part of a group operation. With a code, it fails.
    Group { group: GroupNo, request: String, operation: GroupOperation, error_code: Option<u32> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum GroupOperation {
    Create,
    Delete,
    Settings {
        subject: Option<String>,
        description: Option<String>,
        picture: Option<String>,
        picture_error: Option<(u32, String)>,
    },
    /// Each participant as the request named them, and who that is.
    Remove(Vec<(String, Option<PersonNo>)>),
    /// The people whose join requests were approved.
    Approve(Vec<PersonNo>),
}
