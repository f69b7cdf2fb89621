//! What is open in a conversation: one value in its scope, erased with it.

use beadle_plugin::prelude::*;
use beadle_plugin::{Conversation, TimestampMs};
use serde::{Deserialize, Serialize};

const KEY: &str = "open";
/// The prefix of keys in the plugin's scope: open conversations, with the end of their window.
pub const WAITING: &str = "waiting/";
/// The timer of an open conversation. A round moves it to now; otherwise it is cancelled when the
/// window closes.
pub const ROUND: &str = "round";
/// The time after the end of the window for which that timer is set: the event of the end may be
/// late.
const AFTER_END_MS: i64 = 24 * 60 * 60 * 1000;

/// What is open, and the last decision about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// When they wrote the first message that has not been answered.
    pub unanswered_at: Option<TimestampMs>,
    /// When they were asked a question that they have not answered.
    pub asked_at: Option<TimestampMs>,
    /// When they were last nudged.
    pub nudged_at: Option<TimestampMs>,
    /// The last decision and its time.
    pub decision: Option<(TimestampMs, String)>,
}

impl Open {
    /// Loads it for a conversation.
    pub fn load(conversation: &Conversation) -> Result<Self, Refusal> {
        Ok(state::get(conversation, KEY)?.unwrap_or_default())
    }

    /// Saves it, and lists the conversation for rounds while it is open.
    pub fn save(&self, conversation: &Conversation) -> Result<(), Refusal> {
        state::set(conversation, KEY, self)?;
        let waiting = format!("{WAITING}{}", conversation.id);
        match conversation.window_closes_at.filter(|closes_at| self.is_open() && *closes_at > clock::now()) {
            Some(closes_at) => {
                state::set_until(Scope::Plugin, &waiting, &closes_at, closes_at)?;
                timers::set(conversation, ROUND, closes_at + AFTER_END_MS, b"")
            }
            None => {
                state::delete(Scope::Plugin, &waiting)?;
                timers::cancel(conversation, ROUND)
            }
        }
    }

    /// Whether there is a reason to nudge.
    pub fn is_open(&self) -> bool {
        self.unanswered_at.is_some() || self.asked_at.is_some()
    }

    /// Updates it with the outcome of an event.
    pub fn update(&mut self, outcome: &str, happened_at: TimestampMs, now: TimestampMs) {
        // A message after the question answers it. The message that caused the question does not.
        if self.asked_at.is_some_and(|asked_at| asked_at < happened_at) {
            self.asked_at = None;
        }
        match outcome {
            "asked" => (self.unanswered_at, self.asked_at) = (None, Some(now)),
            "claimed" | "host" => self.unanswered_at = None,
            // A guard decided that it gets no answer.
            "stopped" => {}
            _ => self.unanswered_at = self.unanswered_at.or(Some(happened_at)),
        }
    }
}
