//! Rows as they are listed and shown to people, and the filters of listings.

mod people;

pub use people::{AliasConflict, ContactDetails, ContactStatus, ConversationSummary, MergeReport, MergedPlugin};

use crate::schedules::FiringOutcome;
use crate::step::DeadLetterRef;
use crate::step::{OutboxRow, SendState};
use beadle_model::event::Problem;
use beadle_model::{
    ContactId, ConversationId, Ending, EventBody, EventId, EventKind, GateTrace, HandlingId, MessageId, PluginNo,
    Purpose, Timestamp,
};
use serde::{Deserialize, Serialize};

/// The progress of an event. The store keeps the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum EventState {
    /// No plugin is done with it.
    New = 0,
    /// Some plugins are done with it.
    Begun = 1,
    /// All plugins are done with it.
    Finished = 2,
}

impl EventState {
    /// All states, in the order of their numbers.
    pub const ALL: [EventState; 3] = [EventState::New, EventState::Begun, EventState::Finished];

    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            EventState::New => "new",
            EventState::Begun => "begun",
            EventState::Finished => "finished",
        }
    }

    pub(crate) fn from_number(number: i64) -> Self {
        match number {
            0 => EventState::New,
            1 => EventState::Begun,
            _ => EventState::Finished,
        }
    }
}

/// A filter of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// Only this kind.
    pub kind: Option<EventKind>,
    /// Only about this contact.
    pub contact: Option<ContactId>,
    /// Only in this conversation.
    pub conversation: Option<ConversationId>,
    /// Only in this state.
    pub state: Option<EventState>,
    /// Only older ones: the last event of the previous page.
    pub before: Option<EventId>,
    /// The maximum number of results.
    pub limit: usize,
}

/// An event in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// The event.
    pub id: EventId,
    /// Its kind.
    pub kind: EventKind,
    /// Its conversation.
    pub conversation: Option<ConversationId>,
    /// The contact it is about.
    pub contact: Option<ContactId>,
    /// When it happened, by the platform's clock.
    pub happened_at: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its progress.
    pub state: EventState,
    /// How it ended, if it has.
    pub ending: Option<Ending>,
}

/// A handling that did not succeed at the first attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandlingRow {
    /// The handling.
    pub id: HandlingId,
    /// `failing`, `done`, `dead`, `waiting` (until the plugin is available) or `passed-over`.
    pub state: &'static str,
    /// The number of attempts.
    pub attempts: u32,
    /// The code of the last error.
    pub code: Option<String>,
    /// The text of the last error.
    pub error: Option<String>,
    /// When it is retried.
    pub next_at: Option<Timestamp>,
}

impl HandlingRow {
    pub(crate) fn state_name(number: i64) -> &'static str {
        match number {
            0 => "failing",
            1 => "done",
            3 => "waiting",
            4 => "passed-over",
            _ => "dead",
        }
    }
}

/// An event with its handlings and sends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventDetails {
    /// Its row.
    pub row: EventRow,
    /// Its body. One that cannot be read is unrouted here, and holds what is stored as text.
    pub body: EventBody,
    /// Its subscribers in order; empty until the first is done.
    pub subscribers: Vec<PluginNo>,
    /// The subscribers that are done.
    pub done: Vec<PluginNo>,
    /// Handlings that did not succeed at the first attempt.
    pub handlings: Vec<HandlingRow>,
    /// Messages that it caused (among the newest million).
    pub sends: Vec<OutboxDetails>,
    /// Messages that plugins asked for and the gate refused.
    pub refused: Vec<RefusedMessage>,
}

/// A message that a plugin asked for and the gate refused; without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedMessage {
    /// The event that was being handled.
    pub event: EventId,
    /// The plugin.
    pub plugin: PluginNo,
    /// The destination.
    pub conversation: ConversationId,
    /// The recipient; `None` in a group.
    pub contact: Option<ContactId>,
    /// When the handling ended.
    pub at: Timestamp,
    /// The kind of message: `text`, `template NAME`, `direct CATEGORY`.
    pub kind: String,
    /// What the plugin stated that it is for.
    pub purpose: Option<Purpose>,
    /// The code of the refusal.
    pub code: String,
    /// What the gate decided, if it is kept.
    pub gate: Option<GateTrace>,
    /// The number of messages that were refused after this one in the same handling and are only
    /// counted.
    pub further: u64,
}

/// A filter of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxFilter {
    /// Only in this state.
    pub state: Option<SendState>,
    /// Only in this conversation.
    pub conversation: Option<ConversationId>,
    /// Only from this plugin.
    pub plugin: Option<PluginNo>,
    /// Only older ones: the last message of the previous page.
    pub before: Option<MessageId>,
    /// The maximum number of results.
    pub limit: usize,
}

/// A message with its receipts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxDetails {
    /// Its row.
    pub row: OutboxRow,
    /// The platform's id, once known.
    pub platform: Option<String>,
    /// When the platform held it for a quality assessment.
    pub held_at: Option<Timestamp>,
    /// When the platform sent it.
    pub sent_at: Option<Timestamp>,
    /// When it was delivered to a device.
    pub delivered_at: Option<Timestamp>,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// When a voice message was first played.
    pub played_at: Option<Timestamp>,
    /// When it failed.
    pub failed_at: Option<Timestamp>,
    /// Why it failed or was given up.
    pub problem: Option<Problem>,
    /// What the gate decided about it last, and why. None for Beadle's own messages.
    pub gate: Option<GateTrace>,
}

/// A filter of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of this plugin.
    pub plugin: Option<PluginNo>,
    /// Only those before this one, in the order of the list.
    pub before: Option<DeadLetterRef>,
    /// The maximum number of results.
    pub limit: usize,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its id: `hnd_104.2`, `msg_77` or `whk_3`.
    pub reference: DeadLetterRef,
    /// The event that it came from.
    pub event: Option<EventId>,
    /// Its plugin; [`PluginNo::HOST`] for a webhook.
    pub plugin: PluginNo,
    /// The number of attempts; for a webhook, of deliveries.
    pub attempts: u32,
    /// The code of the error.
    pub code: String,
    /// The text of the error.
    pub error: String,
    /// When it was given up.
    pub at: Timestamp,
    /// When an operator last retried it.
    pub retried_at: Option<Timestamp>,
    /// How the event ended meanwhile. If claimed, it was answered.
    pub ending: Option<Ending>,
    /// The summary of a webhook.
    pub webhook: Option<RejectedWebhookSummary>,
}

/// A rejected webhook in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedWebhookSummary {
    /// The app that received it.
    pub app: String,
    /// Its size.
    pub bytes: u64,
    /// Its first bytes.
    pub beginning: String,
}

/// A filter of windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowFilter {
    /// Only on this channel.
    pub channel: Option<String>,
    /// Only those that close before this time.
    pub closes_before: Option<Timestamp>,
}

/// An open window, ordered by when it closes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenWindow {
    /// When it closes.
    pub until: Timestamp,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The channel's name in the configuration.
    pub channel: String,
    /// The contact.
    pub contact: Option<ContactId>,
    /// The platform's group id, for a group.
    pub group: Option<String>,
    /// The contact's name.
    pub name: Option<String>,
    /// When the other side wrote last.
    pub last_inbound_at: Timestamp,
    /// Until when messages are free, because the contact came from an advertisement.
    pub free_entry_until: Option<Timestamp>,
}

/// Windows of a channel that close in the same hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowHour {
    /// The channel's name in the configuration.
    pub channel: String,
    /// The hour from now; 1 is the first.
    pub hour: i64,
    /// The number of windows.
    pub windows: u64,
}

/// What an id refers to, with its history.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Trace {
    /// An event, also by the platform id of its message or by a handling.
    Event(Box<EventDetails>),
    /// A contact.
    Contact(Box<ContactDetails>),
    /// A rejected webhook.
    Webhook(Box<DeadLetter>),
    /// A sent message, also by its platform id.
    Message {
        /// The message.
        message: Box<OutboxDetails>,
        /// The event that it came from.
        event: Option<Box<EventDetails>>,
    },
}

/// Counts of unfinished work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogCounts {
    /// Events that are not finished.
    pub events_open: u64,
    /// When the oldest of them was received.
    pub oldest_open_at: Option<Timestamp>,
    /// Messages that are queued.
    pub queued: u64,
    /// Messages that may be on the wire.
    pub sending: u64,
    /// Dead letters.
    pub dead: u64,
    /// Open requests of people: for a person to talk to, and confirmed ones for a copy or an
    /// erasure.
    pub requests: u64,
    /// Erasures that are not complete.
    pub erasures: u64,
}

/// The outcome of a planned time of a schedule, for a plugin and zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiringRow {
    /// Its position in the history.
    pub id: i64,
    /// The planned time.
    pub planned_at: Timestamp,
    /// The planned time plus jitter.
    pub due_at: Timestamp,
    /// The plugin.
    pub plugin: PluginNo,
    /// The zone of members that it was for; empty for all.
    pub zone: String,
    /// The outcome.
    pub outcome: FiringOutcome,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// The event.
    pub event: Option<EventId>,
    /// The event's progress, while it is kept.
    pub event_state: Option<EventState>,
    /// Whether the plugin failed to handle it, so that it is a dead letter.
    pub is_dead: bool,
    /// The number of planned times that this covers.
    pub moments: u32,
}
