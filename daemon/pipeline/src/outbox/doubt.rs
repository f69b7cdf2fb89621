//! What was sent and not answered: nobody knows whether the platform has it.
//!
//! A receipt ends the doubt. Until then the conversation waits 10 seconds for it and goes on; after `ambiguous_wait` the
//! rules decide: marks and reactions are repeated, typing is dropped, and a message is held for a person or sent again,
//! as the operator said. At the start every row that is `sending` is in doubt, from then on.

use super::judge::{self, HOLD_MS};
use super::{OnAmbiguous, Parcel, Settings};
use beadle_model::content::RepeatPolicy;
use beadle_model::{ConversationId, MessageId, Timestamp};
use beadle_store::step::SendOutcome;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Doubts(HashMap<MessageId, Doubt>);

struct Doubt {
    parcel: Parcel,
    since: Timestamp,
    holds_line: bool,
    why: String,
}

/// What has to happen now.
#[derive(Default)]
pub(crate) struct Due {
    /// Lines that have waited long enough.
    pub free: Vec<(ConversationId, MessageId)>,
    /// Doubts that are to be decided, and how.
    pub decided: Vec<(Parcel, SendOutcome)>,
}

impl Doubts {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, parcel: Parcel, since: Timestamp, why: String) {
        let holds_line = parcel.row.body.is_message();
        self.0.insert(parcel.row.message, Doubt { parcel, since, holds_line, why });
    }

    /// A receipt came. Returns the conversation, which may go on.
    pub fn settled(&mut self, message: MessageId) -> Option<ConversationId> {
        self.0.remove(&message).map(|doubt| doubt.parcel.row.conversation)
    }

    /// When to look again.
    pub fn wake_at(&self, settings: &Settings) -> Option<Timestamp> {
        let next = |doubt: &Doubt| {
            let wait_ms =
                if doubt.holds_line { HOLD_MS.min(settings.ambiguous_wait_ms) } else { settings.ambiguous_wait_ms };
            doubt.since.plus_ms(wait_ms)
        };
        self.0.values().map(next).min()
    }

    /// What has waited long enough by now.
    pub fn due(&mut self, settings: &Settings, now: Timestamp) -> Due {
        let mut due = Due::default();
        for (message, doubt) in &mut self.0 {
            if doubt.holds_line && doubt.since.plus_ms(HOLD_MS) <= now {
                doubt.holds_line = false;
                due.free.push((doubt.parcel.row.conversation, *message));
            }
        }
        let over = |_: &MessageId, doubt: &mut Doubt| doubt.since.plus_ms(settings.ambiguous_wait_ms) <= now;
        let over: Vec<Doubt> = self.0.extract_if(over).map(|(_, doubt)| doubt).collect();
        due.decided = over.into_iter().map(|doubt| decide(doubt, settings, now)).collect();
        due.decided.sort_by_key(|(parcel, _)| parcel.row.message);
        due
    }
}

fn decide(doubt: Doubt, settings: &Settings, now: Timestamp) -> (Parcel, SendOutcome) {
    let again = |maybe_twice| SendOutcome::Later { due_at: now, counted: true, maybe_twice };
    let outcome = match (doubt.parcel.row.body.repeat_policy(), settings.on_ambiguous) {
        (RepeatPolicy::Never, _) => SendOutcome::Dropped,
        (RepeatPolicy::Safe, _) => again(false),
        (RepeatPolicy::Configured, OnAmbiguous::Resend) => again(true),
        (RepeatPolicy::Configured, OnAmbiguous::Hold) => {
            let title = "Nobody knows whether the platform has this message";
            let details = format!("{}; no receipt came within {} s", doubt.why, settings.ambiguous_wait_ms / 1000);
            SendOutcome::Dead(judge::problem("outcome-unknown", title, details))
        }
    };
    (doubt.parcel, outcome)
}
