//! Effects: what a plugin asked for while it handled one event.
//!
//! The sandbox buffers effects after the gate's first check; the pipeline carries them out after
//! the call. All effects of one call are committed together with the completion of the handling, or
//! none is. Limits are in `sandbox`, execution in `store` and `pipeline`.

use crate::broadcast::BroadcastDefinition;
use crate::consent::Purpose;
use crate::consent::rules::PlannedConsent;
use crate::gate_trace::GateTrace;
use crate::id::{ContactId, ConversationId};
use crate::outgoing::Outgoing;
use crate::profile::ProfileEdit;
pub use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The owner of a state value or timer, so that it can be erased with a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "kebab-case")]
pub enum Scope {
    /// The plugin as a whole.
    Plugin,
    /// One person.
    Contact(ContactId),
    /// One conversation.
    Conversation(ConversationId),
}

impl Scope {
    /// The kind and id as the store's columns.
    pub fn as_columns(self) -> (i64, i64) {
        match self {
            Scope::Plugin => (0, 0),
            Scope::Contact(id) => (1, id.0),
            Scope::Conversation(id) => (2, id.0),
        }
    }

    /// The reverse; `None` for a kind that this version does not know.
    pub fn from_columns(kind: i64, id: i64) -> Option<Self> {
        match kind {
            0 => Some(Scope::Plugin),
            1 => Some(Scope::Contact(ContactId(id))),
            2 => Some(Scope::Conversation(ConversationId(id))),
            _ => None,
        }
    }
}

/// The version of a state value: the number of the commit that wrote it; `None` if there is no
/// value.
pub type StateVersion = Option<i64>;

/// A read that is checked again when the effects are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateRead {
    /// One key.
    Key {
        /// The scope.
        scope: Scope,
        /// The key.
        key: String,
        /// The version that was read.
        version: StateVersion,
    },
    /// A listing: all keys and versions after `after` up to and including `until` (`None`: to the
    /// end of the prefix). A key that appeared or vanished in that range makes the read stale too.
    Scan {
        /// The scope.
        scope: Scope,
        /// The prefix of the keys.
        prefix: String,
        /// The exclusive lower bound.
        after: Option<String>,
        /// The inclusive upper bound, if a limit cut the listing.
        until: Option<String>,
        /// The keys and versions that were read, in key order.
        seen: Vec<(String, i64)>,
    },
}

/// A change of the plugin's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateWrite {
    /// Sets a value.
    Set {
        /// The scope.
        scope: Scope,
        /// 1 to 256 bytes.
        key: String,
        /// At most 256 KiB.
        value: Vec<u8>,
        /// When the value expires.
        expires_at: Option<Timestamp>,
    },
    /// Deletes a value.
    Delete {
        /// The scope.
        scope: Scope,
        /// The key.
        key: String,
    },
    /// Adds to a counter; never conflicts.
    Add {
        /// The scope.
        scope: Scope,
        /// The key.
        key: String,
        /// May be negative.
        delta: i64,
    },
}

/// A change of the plugin's timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerWrite {
    /// Sets or replaces a timer.
    Set {
        /// The scope.
        scope: Scope,
        /// The timer's name within its scope.
        key: String,
        /// When it is due.
        due_at: Timestamp,
        /// Returned with the event.
        payload: Vec<u8>,
    },
    /// Changes the due time of a timer.
    Move {
        /// The scope.
        scope: Scope,
        /// The timer's name within its scope.
        key: String,
        /// When it is due.
        due_at: Timestamp,
    },
    /// Cancels a timer.
    Cancel {
        /// The scope.
        scope: Scope,
        /// The timer's name within its scope.
        key: String,
    },
}

/// A change of what is known about a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactWrite {
    /// Tags, attributes, role.
    Edit {
        /// The contact.
        contact: ContactId,
        /// The changes.
        edit: ProfileEdit,
    },
    /// An entry of the consent ledger.
    Consent(Box<PlannedConsent>),
}

/// A file that a plugin created; its bytes are on disk already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMedia {
    /// Its id, reserved by the host.
    pub media: crate::id::MediaId,
    /// For example `image/png`.
    pub mime_type: String,
    /// The name under which it is sent as a document.
    pub filename: Option<String>,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
    /// The number of bytes.
    pub bytes: i64,
}

/// A message that a plugin asked to send.
#[derive(Clone, Debug, PartialEq)]
pub struct SendEffect {
    /// The destination.
    pub conversation: ConversationId,
    /// The message.
    pub body: Outgoing,
    /// The id that the plugin received, reserved by the host.
    pub message: crate::id::MessageId,
    /// Whether it answers the event in its own conversation (`replies`) instead of writing first
    /// (`messages`).
    pub reply: bool,
    /// What the plugin states about it.
    pub options: SendOptions,
    /// Whether it waits in the outbox until the gate is asked again: a check defers it, or a budget
    /// limits it.
    pub deferred: bool,
    /// What the gate decided.
    pub gate: GateTrace,
    /// How it counts, if the business writes first.
    pub outreach: Option<Outreach>,
}

/// What the sender of a message states about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendOptions {
    /// What it is for, which decides which consent it needs.
    pub purpose: Option<Purpose>,
    /// Of the messages of a plugin with the same key, one is sent.
    pub key: Option<String>,
}

/// How a message counts that the business sends first: a template, Direct Send, or a text of a
/// broadcast for marketing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outreach {
    /// Whether it is marketing, or may be.
    pub is_marketing: bool,
    /// Its topic.
    pub topic: Option<String>,
    /// Whether no window was open.
    pub is_outside_window: bool,
    /// Whether it is a text or file, which needs an open window and is free of charge.
    pub is_free_form: bool,
    /// What its price depends on. `None` if it costs nothing, or if it goes to a group, where the
    /// price is one for each member and known only afterwards.
    pub price: Option<PriceKey>,
}

/// What the price of a message depends on, besides the day.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PriceKey {
    /// ISO 3166; empty if it is not known.
    pub country: String,
    /// `marketing`, `utility`, …
    pub category: String,
}

/// A message that a plugin asked for and the gate refused; without its content.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedAsk {
    /// The destination.
    pub conversation: ConversationId,
    /// The recipient; `None` in a group.
    pub contact: Option<ContactId>,
    /// The kind of message ([`Outgoing::label`]).
    pub kind: String,
    /// What the plugin states that it is for.
    pub purpose: Option<Purpose>,
    /// The code of the refusal.
    pub code: String,
    /// What the gate decided.
    pub gate: GateTrace,
}

/// The messages that the gate refused during one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RefusedAsks {
    /// The first ones, at most [`RefusedAsks::KEPT`].
    pub kept: Vec<RefusedAsk>,
    /// The number of the others, by code. There are as many codes as the gate has.
    pub further: BTreeMap<String, u64>,
}

impl RefusedAsks {
    /// The maximum number that is kept of one call.
    pub const KEPT: usize = 20;

    /// Keeps or counts one more.
    pub fn add(&mut self, ask: RefusedAsk) {
        if self.kept.len() < Self::KEPT {
            self.kept.push(ask);
        } else {
            *self.further.entry(ask.code).or_default() += 1;
        }
    }

    /// Whether none was refused.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The codes with their numbers; a code may occur more than once.
    pub fn codes(&self) -> impl Iterator<Item = (&str, u64)> {
        let kept = self.kept.iter().map(|ask| (ask.code.as_str(), 1));
        kept.chain(self.further.iter().map(|(code, number)| (code.as_str(), *number)))
    }
}

/// Which traffic a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Traffic {
    /// Something happened, and a person may be waiting.
    Live = 0,
    /// The first synchronisation, or a poll: it can wait.
    Backfill = 1,
}

/// A durable request that a plugin asked for, without the secrets that the operator bound to it.
/// `Debug` shows neither the URL's query, headers nor body.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Whom it is about: it is deleted with them.
    pub scope: Scope,
    /// Requests of a plugin with the same key are sent one after another. `None`: in no order.
    pub key: Option<String>,
    /// How it shares the rate of its host.
    pub traffic: Traffic,
    /// The method, in capitals.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Returned with the response.
    pub context: String,
    /// It is given up if it is not answered by then.
    pub expires_at: Timestamp,
}

impl NewRequest {
    /// What it takes in the store, in bytes.
    pub fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let key = self.key.as_ref().map_or(0, String::len);
        key + self.method.len() + self.url.len() + headers + self.body.len() + self.context.len()
    }
}

impl std::fmt::Debug for NewRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{} {url} ({} bytes)", self.method, self.body.len())
    }
}

/// Everything that one call asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Reads to check at commit.
    pub reads: Vec<StateRead>,
    /// State changes in call order.
    pub state: Vec<StateWrite>,
    /// Timer changes in call order.
    pub timers: Vec<TimerWrite>,
    /// Changes of contacts in call order.
    pub contacts: Vec<ContactWrite>,
    /// Files in the order of creation.
    pub media: Vec<NewMedia>,
    /// Messages in call order.
    pub sends: Vec<SendEffect>,
    /// Changes of broadcasts in call order.
    pub broadcasts: Vec<BroadcastWrite>,
    /// Durable requests in call order.
    pub requests: Vec<NewRequest>,
}

/// A change of the plugin's broadcasts.
#[derive(Clone, Debug, PartialEq)]
pub enum BroadcastWrite {
    /// Creates a draft.
    Create(Box<BroadcastDefinition>),
    /// Plans and starts the one with this name.
    Start(String),
    /// Hands over no more messages.
    Pause(String),
    /// Ends it for good.
    Stop(String),
}

impl BroadcastWrite {
    /// The name of the broadcast.
    pub fn name(&self) -> &str {
        match self {
            BroadcastWrite::Create(definition) => &definition.name,
            BroadcastWrite::Start(name) | BroadcastWrite::Pause(name) | BroadcastWrite::Stop(name) => name,
        }
    }
}

impl Effects {
    /// Whether there is nothing to commit; there may have been reads.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The number of effects.
    pub fn count(&self) -> usize {
        self.state.len()
            + self.timers.len()
            + self.contacts.len()
            + self.media.len()
            + self.sends.len()
            + self.broadcasts.len()
            + self.requests.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_asks_are_bounded() {
        let mut refused = RefusedAsks::default();
        assert!(refused.is_empty());
        for number in 0..25 {
            refused.add(RefusedAsk {
                conversation: ConversationId(1),
                contact: Some(ContactId(1)),
                kind: "text".into(),
                purpose: None,
                code: if number < 22 { "not-opted-in" } else { "banned" }.into(),
                gate: GateTrace { at: Timestamp(0), leaving: false, steps: vec![] },
            });
        }
        assert_eq!(refused.kept.len(), RefusedAsks::KEPT);
        let further: Vec<_> = refused.codes().skip(RefusedAsks::KEPT).collect();
        assert_eq!(further, [("banned", 3), ("not-opted-in", 2)]);
    }
}
