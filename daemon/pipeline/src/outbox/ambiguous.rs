//! Sends that may or may not have been accepted: the bytes left and no usable response came.
//!
//! A receipt settles such a send. Until then its conversation waits 10 seconds and goes on; after
//! `ambiguous_wait` read marks and reactions are repeated, typing indicators dropped, and messages
//! held for a person or sent again, as configured. After a start every row in state `sending` is
//! ambiguous (docs/design.md#sending). Waits are monotonic time.

use super::classify::{self, BLOCK_MS};
use super::queue::PendingSend;
use super::settings::{OnAmbiguous, Settings};
use beadle_model::outgoing::RepeatPolicy;
use beadle_model::{ConversationId, MessageId, Timestamp};
use beadle_store::step::SendOutcome;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct AmbiguousSends(HashMap<MessageId, AmbiguousSend>);

struct AmbiguousSend {
    pending: PendingSend,
    since: Timestamp,
    /// The conversation still waits for it.
    blocks: bool,
    reason: String,
}

/// What has to happen now.
#[derive(Default)]
pub(crate) struct Due {
    /// Messages that block their conversation no longer.
    pub unblocked: Vec<(ConversationId, MessageId)>,
    /// Sends that were decided, and how.
    pub decided: Vec<(PendingSend, SendOutcome)>,
}

impl AmbiguousSends {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn insert(&mut self, pending: PendingSend, since: Timestamp, reason: String) {
        let blocks = pending.row.body.is_message();
        self.0.insert(pending.row.message, AmbiguousSend { pending, since, blocks, reason });
    }

    /// A receipt came. Returns the conversation, which may go on.
    pub fn settled(&mut self, message: MessageId) -> Option<ConversationId> {
        self.0.remove(&message).map(|send| send.pending.row.conversation)
    }

    /// When to look again.
    pub fn wake_at(&self, settings: &Settings) -> Option<Timestamp> {
        let next = |send: &AmbiguousSend| {
            let wait_ms = settings.ambiguous_wait_ms;
            send.since.plus_ms(if send.blocks { BLOCK_MS.min(wait_ms) } else { wait_ms })
        };
        self.0.values().map(next).min()
    }

    /// What has waited long enough.
    pub fn due(&mut self, settings: &Settings, now: Timestamp) -> Due {
        let mut due = Due::default();
        for (message, send) in &mut self.0 {
            if send.blocks && send.since.plus_ms(BLOCK_MS) <= now {
                send.blocks = false;
                due.unblocked.push((send.pending.row.conversation, *message));
            }
        }
        let is_over = |_: &MessageId, send: &mut AmbiguousSend| send.since.plus_ms(settings.ambiguous_wait_ms) <= now;
        let over: Vec<AmbiguousSend> = self.0.extract_if(is_over).map(|(_, send)| send).collect();
        due.decided = over.into_iter().map(|send| decide(send, settings)).collect();
        due.decided.sort_by_key(|(pending, _)| pending.row.message);
        due
    }
}

fn decide(send: AmbiguousSend, settings: &Settings) -> (PendingSend, SendOutcome) {
    let due_at = send.pending.row.due_at;
    let again = |possibly_duplicate| SendOutcome::Later { due_at, counted: true, possibly_duplicate };
    let outcome = match (send.pending.row.body.repeat_policy(), settings.on_ambiguous) {
        (RepeatPolicy::Never, _) => SendOutcome::Dropped,
        (RepeatPolicy::Safe, _) => again(false),
        (RepeatPolicy::Configured, OnAmbiguous::Resend) => again(true),
        (RepeatPolicy::Configured, OnAmbiguous::Hold) => {
            let title = "The platform may or may not have accepted this message";
            let details = format!("{}; no receipt came within {} s", send.reason, settings.ambiguous_wait_ms / 1000);
            SendOutcome::Dead(classify::problem("outcome-unknown", title, details))
        }
    };
    (send.pending, outcome)
}
