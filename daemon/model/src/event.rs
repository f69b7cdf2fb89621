//! Events: everything that happens, as the inbox keeps it and plugins receive it.
//!
//! An [`Event`] has an id, a conversation, times, and a body by kind. The kinds are the interfaces
//! of the plugin contract, one to one.

mod kind;
mod notification;

pub use kind::EventKind;
pub use notification::{ChannelNotification, GroupNotification, MergedContact, Pricing, Problem};

use crate::consent::{ConsentAct, ConsentSource, Purpose};
use crate::contact::ConversationView;
use crate::content::{Content, Context, Referral};
use crate::effect::Scope;
use crate::id::{ContactId, ConversationId, EventId, MessageId, PluginNo, RequestId};
use crate::keyword::Keyword;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// What happened, by kind. Serialised as JSON, this is the body that the store keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventBody {
    /// A person sent a message.
    Message {
        /// The platform's id of the message.
        message: String,
        /// Its content.
        content: Content,
        /// The message that it quotes, or that it was forwarded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Context>,
        /// The advertisement or post that led to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        referral: Option<Referral>,
        /// The reserved word that it consists of. Answerers do not run for such an event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keyword: Option<Keyword>,
        /// The plugin whose message it answers by a tap or a quote; it gets the event right after
        /// the guards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        addressed: Option<PluginNo>,
        /// Other fields that the platform sent.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A person reacted to a message.
    Reaction {
        /// The platform's id of the message reacted to.
        message: String,
        /// The same message, if Beadle sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own_message: Option<MessageId>,
        /// `None` if the reaction was removed.
        emoji: Option<String>,
        /// Other fields that the platform sent.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A person asks to join a group, or withdraws the request.
    JoinRequest {
        /// The platform's id of the request.
        request: String,
        /// Whether the request was withdrawn.
        #[serde(default)]
        revoked: bool,
        /// Other fields that the platform sent.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A phone number, its account or one of its templates changed.
    ChannelChanged(ChannelNotification),
    /// A contact changed.
    ContactChanged {
        /// `created`, `renamed`, `number-changed`, `id-changed`, `identity-changed`,
        /// `marketing-stopped`, `merged`, `edited`, …
        change: String,
        /// For `merged`: the contact that was merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        merged: Option<Box<MergedContact>>,
        /// Other fields that the platform sent, without names and numbers.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A person's consent changed: an entry of the ledger.
    ConsentChanged {
        /// What for.
        purpose: Purpose,
        /// What the entry does.
        act: ConsentAct,
        /// How the person expressed it.
        source: ConsentSource,
        /// The name of the wording that the person agreed to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wording: Option<String>,
        /// Who recorded it.
        actor: String,
    },
    /// A person is being erased: plugins delete what they keep about them.
    EraseContact(PersonIds),
    /// A group changed, or a request about one was answered.
    GroupChanged(Box<GroupNotification>),
    /// A colleague sent a message from the phone that shares the number.
    Echo {
        /// The platform's id of the message.
        message: String,
        /// Its content.
        content: Content,
        /// The message that it quotes, or that it was forwarded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Context>,
        /// Other fields that the platform sent.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A person joined a community or group.
    MemberJoined {
        /// `first-message`, `start`, `join`.
        reason: String,
        /// Whether the person had left before.
        again: bool,
    },
    /// A person left a community or group.
    MemberLeft {
        /// `stop`, `leave`.
        reason: String,
    },
    /// A timer is due.
    Timer {
        /// The plugin that set it.
        plugin: PluginNo,
        /// The scope that it was set for.
        scope: Scope,
        /// Its key.
        key: String,
        /// When it was due.
        due_at: Timestamp,
        /// The payload that it was set with.
        payload: Vec<u8>,
    },
    /// The status of a sent message changed.
    MessageStatus {
        /// The plugin that sent it.
        plugin: PluginNo,
        /// Beadle's id of the message.
        message: MessageId,
        /// The platform's id, once known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<String>,
        /// `sent`, `delivered`, `read`, `played`, `failed`, or a status that this version does not
        /// know.
        status: String,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
        /// The price that the platform reported with this status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pricing: Option<Pricing>,
        /// For a group: the member whom the status is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant: Option<ContactId>,
        /// Other fields that the platform sent: `template_id`, `conversation`, …
        #[serde(default, skip_serializing_if = "Value::is_null")]
        extra: Value,
    },
    /// A schedule fires for a plugin.
    Schedule {
        /// The plugin.
        plugin: PluginNo,
        /// The schedule's number in the store, which identifies its lane.
        no: i64,
        /// The schedule's name.
        schedule: String,
        /// The planned time.
        planned_at: Timestamp,
        /// The IANA time zone of the plan.
        timezone: String,
        /// Whether it is only for members in that zone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        for_zone: bool,
        /// The delay from the planned time to this event, in milliseconds.
        late_by_ms: u64,
        /// Whether it was missed and is caught up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        caught_up: bool,
        /// Whether an operator started it, outside its plan.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        manual: bool,
        /// The payload from the configuration.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        payload: Value,
    },
    /// A conversation's window will close soon.
    WindowExpiring {
        /// When it closes.
        closes_at: Timestamp,
        /// The lead time of this notice, in milliseconds.
        lead_ms: i64,
    },
    /// A conversation's window has closed.
    WindowClosed {
        /// When it closed.
        closed_at: Timestamp,
    },
    /// A plugin's folder of documents changed.
    DocumentsChanged {
        /// The plugin.
        plugin: PluginNo,
        /// Documents that are new or have new content.
        changed: Vec<String>,
        /// Documents that were removed.
        removed: Vec<String>,
    },
    /// Another program called a hook of a plugin.
    Webhook {
        /// The plugin.
        plugin: PluginNo,
        /// The hook's name.
        hook: String,
        /// The query of the URL, without `?`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        query: String,
        /// Chosen headers, with lower-case names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
        /// Its body.
        body: BodyBytes,
    },
    /// A durable request of a plugin was answered or given up.
    Response {
        /// The plugin.
        plugin: PluginNo,
        /// The request.
        request: RequestId,
        /// What the plugin gave with it.
        context: String,
        /// How often it was sent.
        attempts: u32,
        /// What came of it.
        outcome: RequestOutcome,
    },
    /// A webhook of a kind that no plugin can subscribe to.
    Unrouted {
        /// The platform's `field`, or `field/type`.
        kind: String,
        /// Its JSON.
        json: Value,
    },
}

impl EventBody {
    /// The kind of the event.
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
            EventBody::ConsentChanged { .. } => EventKind::ConsentChanged,
            EventBody::EraseContact(_) => EventKind::EraseContact,
            EventBody::GroupChanged(_) => EventKind::GroupChanged,
            EventBody::Echo { .. } => EventKind::Echo,
            EventBody::Webhook { .. } => EventKind::Webhook,
            EventBody::Response { .. } => EventKind::Response,
        }
    }

    /// The plugin that the event is for, if it is for one (its timer, its message).
    pub fn only_for(&self) -> Option<PluginNo> {
        match self {
            EventBody::Timer { plugin, .. }
            | EventBody::MessageStatus { plugin, .. }
            | EventBody::Schedule { plugin, .. }
            | EventBody::DocumentsChanged { plugin, .. }
            | EventBody::Webhook { plugin, .. }
            | EventBody::Response { plugin, .. } => Some(*plugin),
            _ => None,
        }
    }
}

/// What came of a durable request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestOutcome {
    /// A response, with any status.
    Answered {
        /// The status.
        status: u16,
        /// Where it comes from, after redirects.
        url: String,
        /// Its headers, with lower-case names.
        headers: Vec<(String, String)>,
        /// Its body.
        body: BodyBytes,
    },
    /// It was given up: a dead letter, which the operator can send again.
    GivenUp {
        /// Why, for programs.
        code: String,
        /// Why, for people.
        message: String,
        /// The server may have received and executed it.
        may_be_sent: bool,
    },
}

/// The body of a request or a response. Text is kept as text, since JSON has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BodyBytes {
    /// UTF-8, byte for byte.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl From<Vec<u8>> for BodyBytes {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

impl BodyBytes {
    /// As it was received.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            BodyBytes::Text(text) => text.as_bytes(),
            BodyBytes::Bytes(bytes) => bytes,
        }
    }
}

/// A person who is exported or erased, by every id under which a plugin may keep something about
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonIds {
    /// The contact.
    pub contact: ContactId,
    /// Contacts that were merged into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<ContactId>,
    /// Conversations with the person, those of merged contacts included. Groups are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<ConversationId>,
}

/// An event in the inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// When it happened, by the platform's clock.
    pub happened_at: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// The conversation at the time of the append, or when it was read back after a restart; `None`
    /// for events outside a conversation.
    pub conversation: Option<Arc<ConversationView>>,
    /// What happened.
    pub body: EventBody,
}

impl Event {
    /// The kind of the event.
    pub fn kind(&self) -> EventKind {
        self.body.kind()
    }

    /// The contact that the event is about, if any.
    pub fn contact(&self) -> Option<ContactId> {
        self.conversation.as_ref().map(|conversation| conversation.contact.id)
    }
}

/// A plugin's decision about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Not for this plugin.
    Pass,
    /// Answered by this plugin.
    Claimed,
    /// The event is not answered (guards only).
    Stopped,
}

/// How an event ended, as observers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", content = "by", rename_all = "kebab-case")]
pub enum Ending {
    /// No plugin claimed it.
    Passed,
    /// This plugin answered it.
    Claimed(PluginNo),
    /// This plugin answered it with a question, such as buttons, a list or a form.
    Asked(PluginNo),
    /// This guard stopped it.
    Stopped(PluginNo),
    /// Beadle answered it (STOP, START).
    Host,
}
