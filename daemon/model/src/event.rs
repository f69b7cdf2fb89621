//! Events: everything that happens, in the form that the inbox keeps and plugins are told.
//!
//! An [`Event`] is what the inbox gave an id: where it belongs (conversation), when, and a body by kind. Its kinds are
//! the interfaces of the plugin contract, one to one.

mod kind;
mod news;

pub use kind::EventKind;
pub use news::{ChannelNews, GroupNews, Merged, Pricing, Problem};

use crate::{
    ContactId, Content, Context, ConversationView, EventId, MessageId, PluginNo, Referral, Scope, Timestamp, Word,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// What happened, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventBody {
    /// A person wrote.
    Message {
        /// The platform's id.
        message: String,
        /// What.
        content: Content,
        /// What it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Context>,
        /// The advertisement they came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        referral: Option<Referral>,
        /// The word of Beadle's own that it is; then answerers do not run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word: Option<Word>,
        /// The plugin that it answers by a tap or a quote; it goes there right after the guards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        addressed: Option<PluginNo>,
        /// What the platform told besides.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A person reacted.
    Reaction {
        /// The platform's id of the message reacted to.
        message: String,
        /// The same, where we sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own_message: Option<MessageId>,
        /// `None`: taken back.
        emoji: Option<String>,
        /// What the platform told besides.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// Someone asks to come into a group, or does so no longer.
    JoinRequest {
        /// The platform's id of the request.
        request: String,
        /// They took it back.
        #[serde(default)]
        revoked: bool,
        /// What the platform told besides.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A number, its account or one of its templates changed.
    ChannelChanged(ChannelNews),
    /// Something about a contact changed.
    ContactChanged {
        /// `created`, `renamed`, `number-changed`, `id-changed`, `identity-changed`, `marketing-stopped`, `merged`, …
        change: String,
        /// With `merged`: who is one with them now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        merged: Option<Box<Merged>>,
        /// What the platform told besides, without names and numbers.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A group changed, or what was asked about one is answered.
    GroupChanged(Box<GroupNews>),
    /// A colleague wrote, from the telephone that has the number too.
    Echo {
        /// The platform's id.
        message: String,
        /// What.
        content: Content,
        /// What it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Context>,
        /// What the platform told besides.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// Someone joined.
    MemberJoined {
        /// `first-message`, `start`, `join`.
        reason: String,
        /// They had left before.
        again: bool,
    },
    /// Someone left.
    MemberLeft {
        /// `stop`, `leave`.
        reason: String,
    },
    /// A timer is due.
    Timer {
        /// Whose timer.
        plugin: PluginNo,
        /// Whom it is about.
        scope: Scope,
        /// Its name.
        key: String,
        /// When it was to be.
        due_at: Timestamp,
        /// What was put in.
        payload: Vec<u8>,
    },
    /// What became of a message.
    MessageStatus {
        /// Whose message.
        plugin: PluginNo,
        /// Ours.
        message: MessageId,
        /// The platform's, once it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<String>,
        /// `sent`, `delivered`, `read`, `played`, `failed`, or what the platform says next year.
        status: String,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
        /// What it costs, where the platform told with this status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pricing: Option<Pricing>,
        /// In a group: the member that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant: Option<ContactId>,
        /// What the platform told besides: `template_id`, `conversation`, …
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A schedule fires for a plugin.
    Schedule {
        /// For whom.
        plugin: PluginNo,
        /// The schedule's number in the store: what its lane is known by.
        no: i64,
        /// Its name.
        schedule: String,
        /// When it was to be.
        planned_at: Timestamp,
        /// The IANA zone it was planned in.
        timezone: String,
        /// Only for members who live in that zone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        for_zone: bool,
        /// How much later than planned it became an event.
        late_by_ms: u64,
        /// It was missed, and is caught up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        caught_up: bool,
        /// A person had it fire, at no planned time.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_hand: bool,
        /// As configured.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        payload: Value,
    },
    /// A conversation's window is about to close.
    WindowExpiring {
        /// When.
        closes_at: Timestamp,
        /// The lead time that it was told at.
        lead_ms: i64,
    },
    /// A conversation's window has closed.
    WindowClosed {
        /// When.
        closed_at: Timestamp,
    },
    /// A plugin's folder of documents changed.
    DocumentsChanged {
        /// Whose folder.
        plugin: PluginNo,
        /// New, or with another content.
        changed: Vec<String>,
        /// Gone.
        removed: Vec<String>,
    },
    /// A kind that no plugin can export yet.
    Unrouted {
        /// The platform's `field`, or `field/type`.
        kind: String,
        /// Its JSON, whole.
        json: Value,
    },
}

impl EventBody {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        match self {
            EventBody::Message { .. } => EventKind::Message,
            EventBody::Reaction { .. } => EventKind::Reaction,
            EventBody::MemberJoined { .. } => EventKind::MemberJoined,
            EventBody::MemberLeft { .. } => EventKind::MemberLeft,
            EventBody::Timer { .. } => EventKind::Timer,
            EventBody::MessageStatus { .. } => EventKind::MessageStatus,
            EventBody::Unrouted { .. } => EventKind::Unrouted,
            EventBody::Schedule { .. } => EventKind::Schedule,
            EventBody::WindowExpiring { .. } => EventKind::WindowExpiring,
            EventBody::WindowClosed { .. } => EventKind::WindowClosed,
            EventBody::DocumentsChanged { .. } => EventKind::DocumentsChanged,
            EventBody::JoinRequest { .. } => EventKind::JoinRequest,
            EventBody::ChannelChanged(_) => EventKind::ChannelChanged,
            EventBody::ContactChanged { .. } => EventKind::ContactChanged,
            EventBody::GroupChanged(_) => EventKind::GroupChanged,
            EventBody::Echo { .. } => EventKind::Echo,
        }
    }

    /// The one plugin that it is for, where it is for one (its timer, its message).
    pub fn only_for(&self) -> Option<PluginNo> {
        match self {
            EventBody::Timer { plugin, .. }
            | EventBody::MessageStatus { plugin, .. }
            | EventBody::Schedule { plugin, .. }
            | EventBody::DocumentsChanged { plugin, .. } => Some(*plugin),
            _ => None,
        }
    }
}

/// An event as the inbox keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the inbox.
    pub id: EventId,
    /// When it happened, as the platform says.
    pub happened_at: Timestamp,
    /// When we had it.
    pub received_at: Timestamp,
    /// The conversation as it stood when the event was appended (or read again after a restart); none for events that
    /// belong to none.
    pub conversation: Option<Arc<ConversationView>>,
    /// What happened.
    pub body: EventBody,
}

impl Event {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        self.body.kind()
    }

    /// The person it is about, where there is one.
    pub fn contact(&self) -> Option<ContactId> {
        self.conversation.as_ref().map(|conversation| conversation.contact.id)
    }
}

/// What one plugin decided of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Not for me.
    Pass,
    /// Answered.
    Claimed,
    /// Nobody may answer (guards).
    Stopped,
}

/// How an event ended, for those who only watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", content = "by", rename_all = "kebab-case")]
pub enum Ending {
    /// Nobody claimed it.
    Passed,
    /// This plugin answered.
    Claimed(PluginNo),
    /// This plugin answered with a question: something to tap, to choose or to fill in.
    Asked(PluginNo),
    /// This guard stopped it.
    Stopped(PluginNo),
    /// Beadle itself answered (STOP, START).
    Host,
}
