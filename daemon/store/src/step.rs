//! What the store is asked to do, and what it says back: whole steps, each one transaction or part of one.
//!
//! These are plain values, so that a caller can build them without knowing SQL and a test can print them. Whoever writes
//! another store writes these steps again and nothing else.

mod send;

pub use send::{NewSend, OutboxRow, Outcome, SendState, Settlement};

use beadle_model::effect::{NewMedia, StateRead, StateWrite, TimerWrite};
use beadle_model::event::{Pricing, Problem};
use beadle_model::word::Language;
use beadle_model::{
    Alias, ConversationId, Ending, EventBody, EventId, MessageId, Outgoing, PluginNo, StateNo, Timestamp, WebhookId,
    Word,
};
use serde_json::Value;

/// By what an event is recognised when it comes again: the platform's time stamp first, so that the unique index grows
/// at its right edge, then 16 bytes of SHA-256 over what names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// When it happened, as the platform says.
    pub at: Timestamp,
    /// The first 16 bytes of SHA-256 over its names.
    pub hash: [u8; 16],
}

/// Where an event belongs.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// With this person on this channel; contact and conversation are found by alias or made.
    Sender(Sender),
    /// A conversation that is known.
    Conversation(ConversationId),
    /// A group of the platform, and nobody in it; its conversation is found or made.
    Group {
        /// The channel's name in the configuration.
        channel: String,
        /// The platform's id.
        group: String,
    },
    /// None.
    Nowhere,
}

/// Who sent something, as the platform names them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sender {
    /// The channel's name in the configuration.
    pub channel: String,
    /// At least one. Those that are new are added to the contact that any other one names; where two name different
    /// contacts the first in the order user id, WhatsApp id, phone, parent decides, and nobody is merged.
    pub aliases: Vec<Alias>,
    /// As the platform shows it.
    pub name: Option<String>,
    /// The platform's group, where it was said in one.
    pub group: Option<String>,
    /// What they are taken to speak (BCP 47) where nothing tells it better.
    pub language: Option<String>,
}

/// An event that wants into the inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// By what it is recognised.
    pub key: EventKey,
    /// Where it belongs.
    pub place: Place,
    /// When it happened, as the platform says.
    pub happened_at: Timestamp,
    /// It opens or renews the conversation's 24-hour window, counted from `happened_at`.
    pub opens_window: bool,
    /// A word of Beadle's own, acted on in the same transaction.
    pub word: Option<SaidWord>,
    /// What happened.
    pub body: EventBody,
}

/// A word of Beadle's own, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SaidWord {
    /// Which.
    pub word: Word,
    /// In which language, where it tells that: theirs from then on.
    pub language: Option<Language>,
    /// Sent once, and only where the word changed something.
    pub answer: Option<Outgoing>,
}

/// What the platform says became of a message of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Which: by our id where the platform gave it back, else by its own.
    pub message: ReceiptFor,
    /// `sent`, `delivered`, `read`, `played`, `failed`, or something new.
    pub status: String,
    /// When, as the platform says.
    pub at: Timestamp,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// What it costs.
    pub pricing: Option<Pricing>,
    /// In a group: every name of the member that it is about.
    pub participant: Vec<Alias>,
    /// To one person: names of theirs that we may not have written to.
    pub recipient: Vec<Alias>,
    /// They came by an advertisement: until then messages cost nothing.
    pub free_entry_until: Option<Timestamp>,
    /// What the platform told besides; null where that is nothing.
    pub extra: Value,
}

/// Something authentic that could not be understood: kept for a person, and for a later version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLetter {
    /// For which app it came.
    pub app: String,
    /// `beadle explain` knows it.
    pub code: String,
    /// What about it makes no sense.
    pub error: String,
    /// The webhook, or the part of it.
    pub body: Vec<u8>,
}

/// How a receipt names its message.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceiptFor {
    /// `biz_opaque_callback_data` came back with our id, and the platform's is told beside it.
    Ours(MessageId, String),
    /// Only the platform's id.
    Platform(String),
}

/// What one webhook (or one loop of ours) brings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In the order they are to have.
    pub events: Vec<NewEvent>,
    /// Applied after the events, in order.
    pub receipts: Vec<Receipt>,
    /// What could not be understood.
    pub letters: Vec<NewLetter>,
    /// It was read from this letter, which is gone with it.
    pub read_from: Option<WebhookId>,
    /// Plugins that want to hear what became of their messages.
    pub status_listeners: Vec<PluginNo>,
    /// Somebody wants to hear of contacts that are new or have another name.
    pub contact_news: bool,
    /// Somebody wants to hear of windows.
    pub window_news: WindowNews,
}

/// What somebody wants to hear of windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowNews {
    /// That one is about to close.
    pub expiring: bool,
    /// That one has closed.
    pub closed: bool,
}

/// What came of a look at the windows that were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowsLooked {
    /// Windows that were looked at.
    pub looked: usize,
    /// Events that were made.
    pub told: usize,
    /// When the next one is due; in the past where more are due already.
    pub next_due: Option<Timestamp>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// Events that are new.
    pub events: usize,
    /// Events that had come before.
    pub duplicates: usize,
    /// Rows that are to be sent because of it (the answer to STOP), in state `queued`.
    pub queued: Vec<OutboxRow>,
    /// Messages that a receipt showed to have been accepted, or to have failed.
    pub received: Vec<MessageId>,
    /// Receipts for messages that are not ours.
    pub strangers: usize,
    /// Letters that are new.
    pub letters: Vec<WebhookId>,
    /// The earliest moment at which a window that was opened is to be looked at.
    pub window_due: Option<Timestamp>,
}

/// Proof that this process has the lanes; a commit with an older one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub i64);

/// How far an event is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The event.
    pub event: EventId,
    /// The list that its subscribers stand in, by [`crate::Store::roster`].
    pub roster: i64,
    /// Subscribers that are through with it now: bit n for place n in the roster, 0 to 62.
    pub done: i64,
    /// Subscribers in place 63 and later that are through with it; each gets a row in `handlings`.
    pub done_beyond: Vec<PluginNo>,
    /// All bits that make the event finished.
    pub all: i64,
    /// All subscribers in place 63 and later.
    pub all_beyond: usize,
    /// How the chain ended, where it now has.
    pub ending: Option<Ending>,
}

/// One handling that went well, with all that it asked for: one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Of this process.
    pub fence: Fence,
    /// Who handled.
    pub plugin: PluginNo,
    /// It was kept for the plugin ([`Aside::Waiting`]), and is no longer.
    pub kept: bool,
    /// Civil time, for expiry of state.
    pub now: Timestamp,
    /// What is finished by it.
    pub progress: Progress,
    /// The conversation of the event: timers come back in it.
    pub conversation: Option<ConversationId>,
    /// Checked first; one that is stale fails the commit with [`crate::StoreError::StaleRead`].
    pub reads: Vec<StateRead>,
    /// The state that was read and is written.
    pub state_no: StateNo,
    /// In order.
    pub state: Vec<StateWrite>,
    /// In order.
    pub timers: Vec<TimerWrite>,
    /// Files that were made; their bytes are on disk.
    pub media: Vec<NewMedia>,
    /// In order.
    pub sends: Vec<NewSend>,
}

/// A handling that failed and will be tried again; a row for people to see.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedTry {
    /// The event.
    pub event: EventId,
    /// In which plugin.
    pub plugin: PluginNo,
    /// It was kept for the plugin ([`Aside::Waiting`]), and still is.
    pub kept: bool,
    /// Tries so far.
    pub attempts: u32,
    /// The error's code.
    pub code: String,
    /// What happened.
    pub error: String,
    /// When it is tried again.
    pub next_at: Timestamp,
}

/// How a handling is set aside. The numbers are what the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Aside {
    /// Given up: a dead letter, for a person to decide.
    Dead = 2,
    /// Kept until the plugin can be asked; see [`crate::Reader::waiting`].
    Waiting = 3,
    /// Not asked, and not to be asked later.
    PassedOver = 4,
}

/// A handling that does not go on: the event goes on without it.
#[derive(Clone, Debug, PartialEq)]
pub struct SetAside {
    /// Of this process.
    pub fence: Fence,
    /// In which plugin.
    pub plugin: PluginNo,
    /// In which way.
    pub how: Aside,
    /// Tries in all.
    pub attempts: u32,
    /// The error's code.
    pub code: String,
    /// What happened.
    pub error: String,
    /// When it was set aside.
    pub at: Timestamp,
    /// What is finished by it.
    pub progress: Progress,
}

/// A handling that was kept for its plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The event, in its conversation as it is now.
    pub event: std::sync::Arc<beadle_model::Event>,
    /// How its chain ended.
    pub ending: Option<Ending>,
    /// Tries so far.
    pub attempts: u32,
}

/// An event from the feed, and after a restart what was already on disk of its way through the plugins.
#[derive(Clone, Debug, PartialEq)]
pub struct Fed {
    /// The event.
    pub event: std::sync::Arc<beadle_model::Event>,
    /// Where it was when we stopped; `None` where no plugin was through with it.
    pub resume: Option<Resume>,
}

/// How far an unfinished event was.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// The number of its list of subscribers.
    pub roster: i64,
    /// That list.
    pub subscribers: Vec<PluginNo>,
    /// As in [`Progress`].
    pub done: i64,
    /// As in [`Progress`].
    pub done_beyond: Vec<PluginNo>,
    /// Those that failed so far and were to be tried again, each with the tries it has had.
    pub failing: Vec<(PluginNo, u32)>,
    /// As in [`Progress`].
    pub ending: Option<Ending>,
}
