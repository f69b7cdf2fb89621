//! What people are shown: rows as the command line and the dashboard print them, and by what they are chosen.

mod people;

pub use people::{AliasClash, ContactShown, ConversationShown, MergeReport, MergedPlugin, Standing};

use crate::DeadRef;
use crate::schedules::FiringOutcome;
use crate::step::{OutboxRow, SendState};
use beadle_model::event::Problem;
use beadle_model::{
    ContactId, ConversationId, Ending, EventBody, EventId, EventKind, HandlingId, MessageId, PluginNo, Timestamp,
    WebhookId,
};
use serde::{Deserialize, Serialize};

/// How far an event is. The numbers are what the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum EventState {
    /// No plugin is through with it.
    New = 0,
    /// Some are.
    Begun = 1,
    /// All are.
    Finished = 2,
}

impl EventState {
    pub(crate) fn from_number(number: i64) -> Self {
        match number {
            0 => EventState::New,
            1 => EventState::Begun,
            _ => EventState::Finished,
        }
    }
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// About this person.
    pub contact: Option<ContactId>,
    /// In this conversation.
    pub conversation: Option<ConversationId>,
    /// So far.
    pub state: Option<EventState>,
    /// Older than this one: the last of the page before.
    pub before: Option<EventId>,
    /// How many at most.
    pub most: usize,
}

/// An event in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// The event.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// Where.
    pub conversation: Option<ConversationId>,
    /// With whom.
    pub contact: Option<ContactId>,
    /// When it happened, as the platform says.
    pub happened_at: Timestamp,
    /// When we had it.
    pub received_at: Timestamp,
    /// How far it is.
    pub state: EventState,
    /// How it ended, where it has.
    pub ending: Option<Ending>,
}

/// A handling that did not simply go well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandlingRow {
    /// The handling.
    pub id: HandlingId,
    /// `failing`, `done`, `dead`, `waiting` (kept until the plugin can be asked) or `passed-over`.
    pub state: &'static str,
    /// Tries so far.
    pub attempts: u32,
    /// The last error's code.
    pub code: Option<String>,
    /// What happened.
    pub error: Option<String>,
    /// When it is tried again.
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

/// An event with all that became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventShown {
    /// Its row.
    pub row: EventRow,
    /// What happened, whole.
    pub body: EventBody,
    /// Plugins that get it, in order; empty before the first is through.
    pub subscribers: Vec<PluginNo>,
    /// Those of them that are through with it.
    pub done: Vec<PluginNo>,
    /// Handlings that did not simply go well.
    pub handlings: Vec<HandlingRow>,
    /// Messages that came of it (among the newest million).
    pub sends: Vec<OutboxShown>,
}

/// Which messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxFilter {
    /// That stand so.
    pub state: Option<SendState>,
    /// In this conversation.
    pub conversation: Option<ConversationId>,
    /// From this plugin.
    pub plugin: Option<PluginNo>,
    /// Older than this one: the last of the page before.
    pub before: Option<MessageId>,
    /// How many at most.
    pub most: usize,
}

/// A message with what the platform said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxShown {
    /// Its row.
    pub row: OutboxRow,
    /// The platform's id, once it has one.
    pub platform: Option<String>,
    /// When the platform sent it on.
    pub sent_at: Option<Timestamp>,
    /// When it reached a device.
    pub delivered_at: Option<Timestamp>,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// When a voice message was played first.
    pub played_at: Option<Timestamp>,
    /// When it failed.
    pub failed_at: Option<Timestamp>,
    /// Why it failed or was given up.
    pub problem: Option<Problem>,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadFilter {
    /// Of this plugin.
    pub plugin: Option<PluginNo>,
    /// How many at most.
    pub most: usize,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadShown {
    /// Of what: `hnd_104.2`, `msg_77` or `whk_3`.
    pub of: DeadRef,
    /// The event it came of.
    pub event: Option<EventId>,
    /// Of which plugin; a webhook is Beadle's own.
    pub plugin: PluginNo,
    /// Tries in all; of a webhook, how often it came.
    pub attempts: u32,
    /// The error's code.
    pub code: String,
    /// What happened.
    pub error: String,
    /// When it was given up.
    pub at: Timestamp,
    /// When a person last had it tried again.
    pub retried_at: Option<Timestamp>,
    /// How the event ended meanwhile; claimed: somebody answered it.
    pub ending: Option<Ending>,
    /// What is to be seen of a webhook.
    pub webhook: Option<WebhookShown>,
}

/// A webhook that was not understood, in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookShown {
    /// For which app it came.
    pub app: String,
    /// How long it is.
    pub bytes: u64,
    /// How it begins.
    pub beginning: String,
}

/// A webhook, or a part of one, that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterShown {
    /// The letter.
    pub id: WebhookId,
    /// For which app it came.
    pub app: String,
    /// When it came first.
    pub received_at: Timestamp,
    /// As it came.
    pub body: Vec<u8>,
}

/// Which windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowFilter {
    /// On this channel.
    pub channel: Option<String>,
    /// That close before then.
    pub closes_before: Option<Timestamp>,
}

/// A window that is open. They are ordered by when they close.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowShown {
    /// When it closes.
    pub until: Timestamp,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// On which channel.
    pub channel: String,
    /// Whom it is with.
    pub contact: Option<ContactId>,
    /// The platform's group, where it is one.
    pub group: Option<String>,
    /// The contact's name.
    pub name: Option<String>,
    /// When somebody wrote last.
    pub last_inbound_at: Timestamp,
    /// Until when messages cost nothing, where they came by an advertisement.
    pub free_entry_until: Option<Timestamp>,
}

/// Windows of one channel that close in the same hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowHour {
    /// Which channel.
    pub channel: String,
    /// Which, from now: 1 is the first.
    pub hour: i64,
    /// So many.
    pub windows: u64,
}

/// What an id names, with what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Trace {
    /// An event (also by the platform's id of the message that came in, or by a handling of it).
    Event(Box<EventShown>),
    /// A contact.
    Contact(Box<ContactShown>),
    /// A webhook that was not understood.
    Webhook(Box<DeadShown>),
    /// A message of ours (also by the platform's id).
    Message {
        /// The message.
        message: Box<OutboxShown>,
        /// The event it came of.
        event: Option<Box<EventShown>>,
    },
}

/// How much is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events that some plugin is not through with.
    pub events_open: u64,
    /// When the oldest of them came.
    pub oldest_open_at: Option<Timestamp>,
    /// Messages that wait.
    pub queued: u64,
    /// Messages that may be on the wire.
    pub sending: u64,
    /// Dead letters.
    pub dead: u64,
}

/// What became of a schedule's moment, for one plugin and zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiringRow {
    /// Its place in the history.
    pub id: i64,
    /// When it was to be.
    pub planned_at: Timestamp,
    /// The same with its jitter.
    pub due_at: Timestamp,
    /// For whom.
    pub plugin: PluginNo,
    /// The zone of members that it was for; empty where for all.
    pub zone: String,
    /// What became of it.
    pub outcome: FiringOutcome,
    /// When that was decided.
    pub decided_at: Timestamp,
    /// The event that it became.
    pub event: Option<EventId>,
    /// How far that event is, while it is kept.
    pub event_state: Option<EventState>,
    /// The plugin could not handle it: it is a dead letter.
    pub is_dead: bool,
    /// Moments that this stands for.
    pub moments: u32,
}
