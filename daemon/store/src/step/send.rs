//! What is to be sent, and what became of it.

use beadle_model::event::Problem;
use beadle_model::{ConversationId, EventId, MessageId, Outgoing, PluginNo, Timestamp};
use serde::{Deserialize, Serialize};

/// A row of the outbox to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSend {
    /// Reserved by [`crate::Store::reserve_message`].
    pub message: MessageId,
    /// Where to.
    pub conversation: ConversationId,
    /// What.
    pub body: Outgoing,
    /// It answers the event, and is kept in order with the others that do.
    pub reply: bool,
    /// `Sending` where a slot was free at once, else `Queued`.
    pub state: SendState,
    /// When it may go.
    pub due_at: Timestamp,
}

/// Where a row of the outbox stands. The numbers are what the store keeps: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum SendState {
    /// Waits for its time or its turn.
    Queued = 0,
    /// May be on the wire, or may have been when we died.
    Sending = 1,
    /// The platform has it.
    Accepted = 2,
    /// The platform or the gate said no.
    Failed = 3,
    /// Nobody knows what became of it, or it was given up: a person's decision (see dead letters).
    Dead = 4,
    /// Not worth doing any more (typing).
    Dropped = 5,
}

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Ours.
    pub message: MessageId,
    /// The event it came from; none for Beadle's own.
    pub event: Option<EventId>,
    /// Who asked for it.
    pub plugin: PluginNo,
    /// Where to.
    pub conversation: ConversationId,
    /// What.
    pub body: Outgoing,
    /// It answers its event.
    pub reply: bool,
    /// Where it stands.
    pub state: SendState,
    /// When it may go, or went.
    pub due_at: Timestamp,
    /// How often it was sent before.
    pub attempts: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// It may have been sent twice (`on_ambiguous = "resend"`).
    pub maybe_twice: bool,
}

/// What became of a row that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// Which.
    pub message: MessageId,
    /// What became of it.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// What became of a try to send.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The platform has it, under this id where it gives one (read marks have none).
    Accepted(Option<String>),
    /// No, for good.
    Failed(Problem),
    /// Not now: back to `queued` until then. `counted`: the try counts as an attempt.
    Later {
        /// When.
        due_at: Timestamp,
        /// Bytes went out, so it was a try.
        counted: bool,
        /// It may have arrived all the same.
        maybe_twice: bool,
    },
    /// Given up for a person to decide: a dead letter.
    Dead(Problem),
    /// Not worth doing any more.
    Dropped,
}
