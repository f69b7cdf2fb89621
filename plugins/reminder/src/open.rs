//! What is open in a conversation; one value in its scope, gone with it.

use beadle_plugin::prelude::*;
use beadle_plugin::{Conversation, TimestampMs};
use serde::{Deserialize, Serialize};

const KEY: &str = "open";

/// What is open, and what was decided about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// Since when they have written and nobody has answered.
    pub unanswered_at: Option<TimestampMs>,
    /// When they were asked something that they have not answered.
    pub asked_at: Option<TimestampMs>,
    /// When they were nudged last.
    pub nudged_at: Option<TimestampMs>,
    /// The last decision, and when it was made.
    pub decision: Option<(TimestampMs, String)>,
}

impl Open {
    /// Of this conversation.
    pub fn of(conversation: &Conversation) -> Result<Self, Refusal> {
        Ok(state::get(conversation, KEY)?.unwrap_or_default())
    }

    /// Remembers it.
    pub fn keep(&self, conversation: &Conversation) -> Result<(), Refusal> {
        state::set(conversation, KEY, self)
    }

    /// Whether there is a reason to write.
    pub fn is_open(&self) -> bool {
        self.unanswered_at.is_some() || self.asked_at.is_some()
    }

    /// They wrote at this time, and it ended so.
    pub fn after(&mut self, how: &str, happened_at: TimestampMs, now: TimestampMs) {
        // What they wrote after the question is an answer to it; what came with it (a first message) is not.
        if self.asked_at.is_some_and(|asked_at| asked_at < happened_at) {
            self.asked_at = None;
        }
        match how {
            "asked" => (self.unanswered_at, self.asked_at) = (None, Some(now)),
            "claimed" | "host" => self.unanswered_at = None,
            // A guard that stopped it had its reason.
            "stopped" => {}
            _ => self.unanswered_at = self.unanswered_at.or(Some(happened_at)),
        }
    }
}
