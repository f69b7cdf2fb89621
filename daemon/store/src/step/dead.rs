//! Dead letters, as steps name them.

use super::send::OutboxRow;
use beadle_model::{Ending, Event, HandlingId, MessageId, ParseIdError, PluginNo, RequestId, Timestamp, WebhookId};
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr, sync::Arc};

/// The id of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterRef {
    /// A handling that was given up.
    Handling(HandlingId),
    /// A message that is ambiguous or was given up.
    Message(MessageId),
    /// A rejected webhook.
    Webhook(WebhookId),
    /// A durable request that was given up.
    Request(RequestId),
}

impl fmt::Display for DeadLetterRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadLetterRef::Handling(id) => id.fmt(f),
            DeadLetterRef::Message(id) => id.fmt(f),
            DeadLetterRef::Webhook(id) => id.fmt(f),
            DeadLetterRef::Request(id) => id.fmt(f),
        }
    }
}

impl FromStr for DeadLetterRef {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.split_once('_') {
            Some(("msg", _)) => text.parse().map(Self::Message),
            Some(("whk", _)) => text.parse().map(Self::Webhook),
            Some(("req", _)) => text.parse().map(Self::Request),
            _ => text.parse().map(Self::Handling),
        }
    }
}

impl Serialize for DeadLetterRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What to retry.
#[derive(Clone, Debug, PartialEq)]
pub enum RetriedDeadLetter {
    /// A handling, for the pipeline to run out of order, marked `late`.
    Handling {
        /// The event as it is now.
        event: Arc<Event>,
        /// The plugin.
        plugin: PluginNo,
        /// How the event ended without it. If claimed, it was answered meanwhile.
        ending: Option<Ending>,
    },
    /// A message; its row is queued and due now.
    Send(Box<OutboxRow>),
    /// A webhook, to be parsed again.
    Webhook(RejectedWebhook),
    /// A durable request; it is queued.
    Request,
}

/// A rejected webhook, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedWebhook {
    /// Its id.
    pub id: WebhookId,
    /// The app that received it.
    pub app: String,
    /// When it was first received.
    pub received_at: Timestamp,
    /// Its bytes.
    pub body: Vec<u8>,
}
