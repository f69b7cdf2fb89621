//! Sends and their outcomes.

use beadle_model::effect::{Outreach, SendOptions};
use beadle_model::event::Problem;
use beadle_model::time::HOUR_MS;
use beadle_model::{ConversationId, EventId, MessageId, Outgoing, PluginNo, Timestamp};
use serde::{Deserialize, Serialize};

/// A row to insert into the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSend {
    /// Reserved by [`crate::Store::reserve_message`].
    pub message: MessageId,
    /// The destination.
    pub conversation: ConversationId,
    /// The message.
    pub body: Outgoing,
    /// Whether it answers the event and keeps its order with the other replies.
    pub reply: bool,
    /// What its sender stated about it.
    pub options: SendOptions,
    /// `Sending` if a slot was free at once, else `Queued`.
    pub state: SendState,
    /// The earliest time to send it; [`NewSend::AT_ONCE`] if no rule deferred it.
    pub due_at: Timestamp,
    /// What the gate decided ([`beadle_model::GateTrace`] as JSON), for `beadle why`.
    pub gate: Option<String>,
    /// How it counts, if the business writes first.
    pub outreach: Option<Outreach>,
}

impl NewSend {
    /// The due time of a message that no rule deferred: before every deferred one, and independent
    /// of the clock, which may be set back.
    pub const AT_ONCE: Timestamp = Timestamp(0);

    /// Its row before the first attempt.
    pub fn into_row(self, event: Option<EventId>, plugin: PluginNo, created_at: Timestamp) -> OutboxRow {
        let Self { message, conversation, body, reply, options, state, due_at, .. } = self;
        OutboxRow {
            message,
            event,
            plugin,
            conversation,
            body,
            reply,
            options,
            state,
            due_at,
            attempts: 0,
            created_at,
            possibly_duplicate: false,
        }
    }
}

/// The place of a queued row in the order in which its channel's rows are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutboxPlace {
    /// Its due time.
    pub due_at: Timestamp,
    /// Its id, which decides between rows with the same due time.
    pub message: MessageId,
}

impl OutboxPlace {
    /// Before every row.
    pub const START: Self = Self { due_at: Timestamp(i64::MIN), message: MessageId(0) };

    /// Directly before this place: reading after it offers the row at this place again.
    #[must_use]
    pub fn before(self) -> Self {
        Self { message: MessageId(self.message.0.saturating_sub(1)), ..self }
    }
}

/// What is due later than this was deferred before the clock was set back, and is due: quiet hours
/// and the messaging limit defer by a day at most.
pub const LONGEST_DEFERRAL_MS: i64 = 26 * HOUR_MS;

/// Which queued rows to read.
#[derive(Clone, Debug)]
pub struct DueSends<'a> {
    /// Of this channel.
    pub channel: &'a str,
    /// Behind this place.
    pub after: OutboxPlace,
    /// Due at this time.
    pub now: Timestamp,
    /// Also rows that are due later than this: no rule defers that long, so the clock was set back.
    pub latest: Timestamp,
    /// The maximum number of rows.
    pub rows: usize,
    /// Stop after this many bytes of bodies.
    pub bytes: usize,
}

/// Queued rows that are due, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutboxPage {
    /// The rows, without unreadable ones, which are set aside.
    pub rows: Vec<OutboxRow>,
    /// The place of the last one that was read or set aside.
    pub last: Option<OutboxPlace>,
    /// Whether no more rows of the channel are due.
    pub is_end: bool,
}

/// The state of an outbox row. The store keeps the numbers: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum SendState {
    /// Waits for its time or its turn.
    Queued = 0,
    /// May be on the wire, or may have been at a crash.
    Sending = 1,
    /// Accepted by the platform.
    Accepted = 2,
    /// Refused by the platform or the gate.
    Failed = 3,
    /// Given up or ambiguous: a dead letter for an operator.
    Dead = 4,
    /// Abandoned without loss (a typing indicator), or dropped by an operator.
    Dropped = 5,
}

impl SendState {
    /// All states, in the order of their numbers.
    pub const ALL: [SendState; 6] = [
        SendState::Queued,
        SendState::Sending,
        SendState::Accepted,
        SendState::Failed,
        SendState::Dead,
        SendState::Dropped,
    ];

    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            SendState::Queued => "queued",
            SendState::Sending => "sending",
            SendState::Accepted => "accepted",
            SendState::Failed => "failed",
            SendState::Dead => "dead",
            SendState::Dropped => "dropped",
        }
    }
}

/// An outbox row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its id.
    pub message: MessageId,
    /// The event that it came from; `None` for Beadle's own messages.
    pub event: Option<EventId>,
    /// The plugin that asked for it.
    pub plugin: PluginNo,
    /// The destination.
    pub conversation: ConversationId,
    /// The message.
    pub body: Outgoing,
    /// Whether it answers its event.
    pub reply: bool,
    /// What its sender stated about it.
    pub options: SendOptions,
    /// Its state.
    pub state: SendState,
    /// The earliest time to send it ([`NewSend::AT_ONCE`] if no rule deferred it), or when it was
    /// sent.
    pub due_at: Timestamp,
    /// The number of earlier attempts.
    pub attempts: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it may have been sent twice (`on_ambiguous = "resend"`).
    pub possibly_duplicate: bool,
}

/// The outcome of sending a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The row.
    pub message: MessageId,
    /// The outcome.
    pub outcome: SendOutcome,
    /// When.
    pub at: Timestamp,
    /// What the gate decided just before, if that is the reason: replaces what it decided when it
    /// was asked.
    pub gate: Option<String>,
}

/// The outcome of an attempt to send.
#[derive(Clone, Debug, PartialEq)]
pub enum SendOutcome {
    /// Accepted by the platform under this id, if it assigns one (read marks have none).
    Accepted(Option<String>),
    /// Accepted, and held by the platform for a quality assessment: it is sent later, or fails.
    Held(Option<String>),
    /// Refused for good.
    Failed(Problem),
    /// To be sent later: back to `queued`.
    Later {
        /// The earliest time.
        due_at: Timestamp,
        /// Whether bytes were sent, so that it counts as an attempt.
        counted: bool,
        /// Whether it may have arrived nevertheless.
        possibly_duplicate: bool,
    },
    /// Given up: a dead letter for an operator.
    Dead(Problem),
    /// No longer worth sending.
    Dropped,
}
