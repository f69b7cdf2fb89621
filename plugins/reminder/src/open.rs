//! What is open in a conversation; one value in its scope, gone with it.

use beadle_plugin::prelude::*;
use beadle_plugin::{Conversation, TimestampMs};
use serde::{Deserialize, Serialize};

const KEY: &str = "open";
/// Beside the conversations, in the plugin's scope: which of them are open, with when the window closes.
pub const WAITING: &str = "waiting/";
/// The timer of an open conversation, which a round moves to now. By itself it never comes: it is cancelled with the window.
pub const ROUND: &str = "round";
/// So long after the window closes it would: what is told of its end may be late.
const AFTER_ALL_MS: i64 = 24 * 60 * 60 * 1000;

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

    /// Remembers it, and lets rounds find it while it is open.
    pub fn keep(&self, conversation: &Conversation) -> Result<(), Refusal> {
        state::set(conversation, KEY, self)?;
        let waiting = format!("{WAITING}{}", conversation.id);
        match conversation.window_closes_at.filter(|closes_at| self.is_open() && *closes_at > clock::now()) {
            Some(closes_at) => {
                state::set_until(Scope::Plugin, &waiting, &closes_at, closes_at)?;
                timers::set(conversation, ROUND, closes_at + AFTER_ALL_MS, b"")
            }
            None => {
                state::delete(Scope::Plugin, &waiting)?;
                timers::cancel(conversation, ROUND)
            }
        }
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
