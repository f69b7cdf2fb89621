//! The steps of the store: their arguments and results. Each is one transaction or part of one.
//!
//! They are plain values: a caller builds them without knowing SQL, and a test prints them. Another
//! implementation of the store would have to provide exactly these steps.

mod dead;
mod send;

pub use dead::{DeadLetterRef, RejectedWebhook, RetriedDeadLetter};
pub use send::{
    DueSends, LONGEST_DEFERRAL_MS, NewSend, OutboxPage, OutboxPlace, OutboxRow, SendOutcome, SendState, Settlement,
};

use beadle_model::consent::{Purpose, Wording};
use beadle_model::effect::{
    BroadcastWrite, ContactWrite, NewMedia, NewRequest, RefusedAsks, StateRead, StateWrite, TimerWrite,
};
use beadle_model::event::{Pricing, Problem};
use beadle_model::keyword::Language;
use beadle_model::{
    Alias, ConversationId, Ending, EventBody, EventId, Keyword, MessageId, Outgoing, PluginNo, StateNo, TemplateNews,
    Timestamp, WebhookId,
};
use serde_json::Value;
use std::sync::Arc;

/// Identifies an event when it is delivered again: the platform's time stamp, so that the unique
/// index grows at its right edge, and 16 bytes of SHA-256 over the event's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// When it happened, by the platform's clock.
    pub at: Timestamp,
    /// The first 16 bytes of SHA-256 over its names.
    pub hash: [u8; 16],
}

/// The conversation that an event belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// The conversation with this sender on a channel. Contact and conversation are found by alias
    /// or created.
    Sender(Sender),
    /// A known conversation.
    Conversation(ConversationId),
    /// A group of the platform without a sender. Its conversation is found or created.
    Group {
        /// The channel's name in the configuration.
        channel: String,
        /// The platform's group id.
        group: String,
    },
    /// No conversation.
    Nowhere,
}

/// A sender as the platform names them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sender {
    /// The channel's name in the configuration.
    pub channel: String,
    /// At least one. New ones are added to the contact that has any of the others. If they belong
    /// to different contacts, the first of user id, WhatsApp id, phone number and parent id
    /// decides; contacts are not merged, except by a report that a number or user id changed. In
    /// such a report the new identity of each kind is first, and user ids before the new number
    /// belong to it.
    pub aliases: Vec<Alias>,
    /// The display name on the platform.
    pub name: Option<String>,
    /// The platform's group id, for a message in a group.
    pub group: Option<String>,
    /// A guess at the language (BCP 47), used if nothing better is known.
    pub language: Option<String>,
}

/// An event to append to the inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Identifies it when it is delivered again.
    pub key: EventKey,
    /// The conversation that it belongs to.
    pub placement: Placement,
    /// When it happened, by the platform's clock.
    pub happened_at: Timestamp,
    /// Whether it opens or renews the conversation's window, counted from `happened_at`.
    pub opens_window: bool,
    /// The reserved word that it consists of, applied in the same transaction.
    pub keyword: Option<KeywordMatch>,
    /// What happened.
    pub body: EventBody,
}

/// A reserved word, and the reply to it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeywordMatch {
    /// The word.
    pub keyword: Keyword,
    /// The language that its spelling determines, if any. It becomes the contact's language.
    pub language: Option<Language>,
    /// The reply, in each language; the first is used if the contact's language is unknown.
    pub replies: Vec<(Language, Outgoing)>,
    /// What a word of the operator's own opts in to or out of.
    pub topic: Option<ConsentTopic>,
    /// The question of Beadle's own that a tapped button, or the word itself, answers.
    pub answer: Option<HostAnswer>,
    /// The reply to an answer that comes too late, as `replies`.
    pub late_replies: Vec<(Language, Outgoing)>,
    /// Whether the answer was typed: then it is answered also if there was no question.
    pub is_typed: bool,
}

impl KeywordMatch {
    /// A word with its reply in one language.
    pub fn new(keyword: Keyword, language: Option<Language>, replies: Vec<(Language, Outgoing)>) -> Self {
        Self { keyword, language, replies, topic: None, answer: None, late_replies: Vec::new(), is_typed: false }
    }
}

/// What a word of the operator's own opts in to or out of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentTopic {
    /// What for.
    pub purpose: Purpose,
    /// What the person agreed to, in each language; the first is used if the contact's language is
    /// unknown.
    pub wordings: Vec<Wording>,
}

/// A question of Beadle's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAnswer {
    /// Whether a person agrees, as this entry of the ledger reports.
    Consent(i64),
    /// Whether they want a copy of their data.
    Export,
    /// Whether they want their data erased.
    Erase,
}

/// The platform's report on a sent message.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The message.
    pub message: ReceiptFor,
    /// `sent`, `delivered`, `read`, `played`, `failed`, or a status that this version does not
    /// know.
    pub status: String,
    /// When, by the platform's clock.
    pub at: Timestamp,
    /// Why it failed: the first reason that the platform gives.
    pub problem: Option<Problem>,
    /// The other reasons. Each counts.
    pub further_problems: Vec<Problem>,
    /// Its price.
    pub pricing: Option<Pricing>,
    /// In a group: all aliases of the member that the report is about.
    pub participant: Vec<Alias>,
    /// Outside a group: aliases of the recipient that may be new.
    pub recipient: Vec<Alias>,
    /// Until when messages are free, because the contact came from an advertisement.
    pub free_entry_until: Option<Timestamp>,
    /// Other fields that the platform sent; null if none.
    pub extra: Value,
}

/// An authentic webhook, or a part of one, that could not be parsed. Kept for an operator, and for
/// a later version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRejectedWebhook {
    /// The app that received it.
    pub app: String,
    /// A code that `beadle explain` documents.
    pub code: String,
    /// What is wrong with it.
    pub error: String,
    /// The webhook or the part of it, byte for byte.
    pub body: Vec<u8>,
}

/// The webhook that a batch was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceWebhook {
    /// The app that received it.
    pub app: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// How a receipt identifies its message.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceiptFor {
    /// By Beadle's id, which came back as `biz_opaque_callback_data`; with the platform's id.
    Ours(MessageId, String),
    /// By the platform's id.
    Platform(String),
}

/// What one webhook, or one of Beadle's own loops, delivers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In the order in which they are appended.
    pub events: Vec<NewEvent>,
    /// Applied after the events, in order.
    pub receipts: Vec<Receipt>,
    /// The parts that could not be parsed.
    pub rejected: Vec<NewRejectedWebhook>,
    /// News about templates.
    pub templates: Vec<TemplateNews>,
    /// The rejected webhook that this was parsed from. It is deleted.
    pub read_from: Option<WebhookId>,
    /// For a batch that was refused, because a row that one of its parts needs cannot be read: the
    /// parts that are refused are left out, and the webhook is kept as a rejected one. Without it a
    /// batch is appended whole or not at all.
    pub source: Option<SourceWebhook>,
    /// The events of the store's own making that have a subscriber.
    pub interest: Interest,
}

/// Which events of its own the store has to append: those to which a plugin subscribes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// The plugins that export `on-message-status`.
    pub message_status: StatusSubscribers,
    /// Whether a plugin exports `on-contact-changed`.
    pub contact_changed: bool,
    /// Whether a plugin exports `on-consent-changed`.
    pub consent_changed: bool,
    /// Whether a plugin exports `on-window-expiring`.
    pub window_expiring: bool,
    /// Whether a plugin exports `on-window-closed`.
    pub window_closed: bool,
}

/// The plugins to which the statuses of their messages are reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusSubscribers {
    /// Any may be one: at a start the plugins are not known yet. An event without a subscriber ends
    /// when it is dispatched.
    Unknown,
    /// These.
    Known(Arc<[PluginNo]>),
}

impl Default for StatusSubscribers {
    fn default() -> Self {
        Self::Known(Arc::default())
    }
}

impl StatusSubscribers {
    /// Whether this plugin is one, or may be.
    pub(crate) fn contains(&self, plugin: PluginNo) -> bool {
        match self {
            Self::Unknown => true,
            Self::Known(plugins) => plugins.contains(&plugin),
        }
    }
}

/// The result of checking the windows that were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowsChecked {
    /// The number of windows that were checked.
    pub checked: usize,
    /// The number of events that were appended.
    pub events: usize,
    /// When the next check is due; in the past if more are due already.
    pub next_due: Option<Timestamp>,
}

/// The result of appending a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// The number of new events.
    pub events: usize,
    /// The number of events that were known already.
    pub duplicates: usize,
    /// Rows to send because of it (the reply to STOP), in state `queued`.
    pub queued: Vec<OutboxRow>,
    /// Messages that a receipt showed to be accepted or failed.
    pub received: Vec<MessageId>,
    /// Failures that a receipt reported, each once.
    pub failed: Vec<FailedReceipt>,
    /// Messages that a receipt showed to be sent, delivered, read or played for the first time.
    pub progressed: Vec<MessageId>,
    /// Receipts for messages of other installations or forgotten ones.
    pub unknown_receipts: usize,
    /// Rejected webhooks that are new.
    pub rejected: Vec<WebhookId>,
    /// The earliest check of the windows that were opened.
    pub window_due: Option<Timestamp>,
    /// Conversations that were merged after a reported change of number or user id, and into which.
    pub merged: Vec<(ConversationId, ConversationId)>,
}

/// A failure that a receipt reported: the platform had accepted the message before.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedReceipt {
    /// The message.
    pub message: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The channel's name in the configuration.
    pub channel: String,
    /// The platform's first reason; `None` if it gives none.
    pub problem: Option<Problem>,
    /// The platform's other reasons.
    pub further_problems: Vec<Problem>,
}

/// Proof that this process owns the lanes. A commit with an older fence fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub i64);

/// How far an event has been processed.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The event.
    pub event: EventId,
    /// The number of its list of subscribers ([`crate::Store::subscriber_list`]).
    pub subscriber_list: i64,
    /// Subscribers that are done: bit n for position n of the list, 0 to 62.
    pub done: i64,
    /// Subscribers at position 63 or later that are done; each gets a row in `handlings`.
    pub done_overflow: Vec<PluginNo>,
    /// All bits that must be set for the event to be finished.
    pub all: i64,
    /// The number of subscribers at position 63 or later.
    pub overflow_count: usize,
    /// How the chain ended, if it has.
    pub ending: Option<Ending>,
}

impl Progress {
    /// Done in the only subscriber of this list.
    pub fn of_one(event: EventId, subscriber_list: i64) -> Self {
        Self { event, subscriber_list, done: 1, done_overflow: vec![], all: 1, overflow_count: 0, ending: None }
    }
}

/// A successful handling with all its effects: one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The fence of this process.
    pub fence: Fence,
    /// The plugin that handled the event.
    pub plugin: PluginNo,
    /// Whether the event was waiting for the plugin ([`UnhandledState::Waiting`]).
    pub was_waiting: bool,
    /// Civil time, for the expiry of state.
    pub now: Timestamp,
    /// What is done by it.
    pub progress: Progress,
    /// The event's conversation, in which its timers will fire.
    pub conversation: Option<ConversationId>,
    /// Checked first; a stale read fails the commit with [`crate::StoreError::StaleRead`].
    pub reads: Vec<StateRead>,
    /// The state that was read and is written.
    pub state_no: StateNo,
    /// State changes in order.
    pub state: Vec<StateWrite>,
    /// Timer changes in order.
    pub timers: Vec<TimerWrite>,
    /// Changes of contacts in order.
    pub contacts: Vec<ContactWrite>,
    /// Whether a plugin exports `on-consent-changed`.
    pub wants_consents: bool,
    /// Files that were created; their bytes are on disk.
    pub media: Vec<NewMedia>,
    /// Messages in order.
    pub sends: Vec<NewSend>,
    /// Changes of broadcasts in order.
    pub broadcasts: Vec<BroadcastWrite>,
    /// Durable requests in order.
    pub requests: Vec<NewRequest>,
    /// Messages that the gate refused.
    pub refused: RefusedAsks,
    /// What the plugin may store. Growth beyond it fails the commit with
    /// [`crate::StoreError::OverQuota`].
    pub quotas: Quotas,
    /// Whether it is the retry of a dead letter: then it fails with [`crate::StoreError::NotDead`]
    /// if the dead letter no longer exists, because it was retried or dropped meanwhile.
    pub is_retry: bool,
}

impl Commit {
    /// A handling without effects, of a plugin without quotas.
    pub fn empty(fence: Fence, plugin: PluginNo, state_no: StateNo, now: Timestamp, progress: Progress) -> Self {
        Self {
            fence,
            plugin,
            was_waiting: false,
            now,
            progress,
            conversation: None,
            reads: vec![],
            state_no,
            state: vec![],
            timers: vec![],
            contacts: vec![],
            wants_consents: false,
            media: vec![],
            sends: vec![],
            broadcasts: vec![],
            requests: vec![],
            refused: RefusedAsks::default(),
            quotas: Quotas::NONE,
            is_retry: false,
        }
    }
}

/// How much a plugin may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// The size of its state and its timers.
    pub state_bytes: u64,
    /// The size of the files that it created.
    pub media_bytes: u64,
}

impl Quotas {
    /// No limits.
    pub const NONE: Self = Self { state_bytes: u64::MAX, media_bytes: u64::MAX };
}

/// A handling that failed and will be retried.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedAttempt {
    /// The event.
    pub event: EventId,
    /// The plugin.
    pub plugin: PluginNo,
    /// Whether the event waits for the plugin ([`UnhandledState::Waiting`]), and continues to.
    pub is_waiting: bool,
    /// The number of attempts.
    pub attempts: u32,
    /// The code of the error.
    pub code: String,
    /// The text of the error.
    pub error: String,
    /// When it is retried.
    pub next_at: Timestamp,
}

/// What happens to an event that a plugin did not handle. The store keeps the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum UnhandledState {
    /// Given up: a dead letter for an operator.
    DeadLetter = 2,
    /// Waiting until the plugin is available; see [`crate::Reader::waiting_handlings`].
    Waiting = 3,
    /// Not handled, and not to be handled later.
    PassedOver = 4,
}

/// A handling that did not happen. The event continues without it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unhandled {
    /// The fence of this process.
    pub fence: Fence,
    /// The plugin.
    pub plugin: PluginNo,
    /// What happens to the handling now.
    pub state: UnhandledState,
    /// The number of attempts.
    pub attempts: u32,
    /// The code of the error.
    pub code: String,
    /// The text of the error.
    pub error: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// What is done by it.
    pub progress: Progress,
    /// Messages that the gate refused in the last attempt.
    pub refused: RefusedAsks,
}

/// An event that waits for a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingHandling {
    /// The event, with its conversation as it is now.
    pub event: Arc<beadle_model::Event>,
    /// How its chain ended.
    pub ending: Option<Ending>,
    /// The number of attempts.
    pub attempts: u32,
}

/// An event from the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedItem {
    /// The event.
    pub event: Arc<beadle_model::Event>,
    /// The size of its body.
    pub bytes: usize,
    /// How far it was before the restart; `None` if no plugin was done with it.
    pub resume: Option<Resume>,
}

/// How far an unfinished event was before a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// The number of its list of subscribers.
    pub subscriber_list: i64,
    /// That list.
    pub subscribers: Vec<PluginNo>,
    /// As in [`Progress`].
    pub done: i64,
    /// As in [`Progress`].
    pub done_overflow: Vec<PluginNo>,
    /// Subscribers that failed and are to be retried, with their attempts.
    pub failing: Vec<(PluginNo, u32)>,
    /// As in [`Progress`].
    pub ending: Option<Ending>,
}
