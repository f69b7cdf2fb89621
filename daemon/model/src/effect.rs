//! What a plugin asked for while it handled one event: written down here, done by the pipeline when the call is over.
//!
//! An effect is a wish that has passed the first look of the gate. All effects of one call are committed together with
//! the fact that the event was handled, or none is. It is not the place where limits are kept (`sandbox`), nor where
//! they are carried out (`store`, `pipeline`).

use crate::{ContactId, ConversationId, Outgoing, Timestamp};
use serde::{Deserialize, Serialize};

/// Whom a value or a timer is about; erased with them.
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
    /// A kind and a number, as columns keep it.
    pub fn as_columns(self) -> (i64, i64) {
        match self {
            Scope::Plugin => (0, 0),
            Scope::Contact(id) => (1, id.0),
            Scope::Conversation(id) => (2, id.0),
        }
    }

    /// The way back; `None` for a kind that this version does not know.
    pub fn from_columns(kind: i64, id: i64) -> Option<Self> {
        match kind {
            0 => Some(Scope::Plugin),
            1 => Some(Scope::Contact(ContactId(id))),
            2 => Some(Scope::Conversation(ConversationId(id))),
            _ => None,
        }
    }
}

/// A "no" from the gate or a limit, as a plugin gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// Stable, in kebab-case; `beadle explain` knows it.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// What could be done instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl Refusal {
    /// A refusal without an alternative.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), instead: None }
    }

    /// The same, with what could be done instead.
    #[must_use]
    pub fn instead(mut self, instead: impl Into<String>) -> Self {
        self.instead = Some(instead.into());
        self
    }
}

/// The version of a state value: the number of the commit that wrote it; `None` where there is no value.
pub type StateVersion = Option<i64>;

/// What a call learned from the store; checked when its effects are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateRead {
    /// One key.
    Key {
        /// Whose.
        scope: Scope,
        /// The key.
        key: String,
        /// What was seen.
        version: StateVersion,
    },
    /// A listing: the keys and versions seen between `after` (exclusive) and `until` (inclusive; `None`: to the end of
    /// the prefix), so that a new or vanished key in that stretch is a stale read too.
    Scan {
        /// Whose.
        scope: Scope,
        /// What the keys begin with.
        prefix: String,
        /// From behind this key.
        after: Option<String>,
        /// To this key, where the listing was cut by its limit.
        until: Option<String>,
        /// What was seen, in key order.
        seen: Vec<(String, i64)>,
    },
}

/// A change of the plugin's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateWrite {
    /// Put a value, which is gone from `expires_at` on.
    Set {
        /// Whose.
        scope: Scope,
        /// 1 to 256 bytes.
        key: String,
        /// 256 KiB at most.
        value: Vec<u8>,
        /// Gone from then on.
        expires_at: Option<Timestamp>,
    },
    /// Remove a value.
    Delete {
        /// Whose.
        scope: Scope,
        /// The key.
        key: String,
    },
    /// Add to a counter; never conflicts.
    Add {
        /// Whose.
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
    /// Set or replace.
    Set {
        /// Whose.
        scope: Scope,
        /// With the scope, the timer's name.
        key: String,
        /// When.
        due_at: Timestamp,
        /// Comes back with the event.
        payload: Vec<u8>,
    },
    /// To another time.
    Move {
        /// Whose.
        scope: Scope,
        /// With the scope, the timer's name.
        key: String,
        /// When.
        due_at: Timestamp,
    },
    /// Forget it.
    Cancel {
        /// Whose.
        scope: Scope,
        /// With the scope, the timer's name.
        key: String,
    },
}

/// A file that a plugin made; its bytes are on disk already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMedia {
    /// Reserved by the host.
    pub media: crate::MediaId,
    /// `image/png`
    pub mime_type: String,
    /// As a document's name.
    pub filename: Option<String>,
    /// Of the bytes, in hexadecimal digits.
    pub sha256: String,
    /// How many.
    pub bytes: i64,
}

/// A message that a plugin asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SendWish {
    /// Where to.
    pub conversation: ConversationId,
    /// What.
    pub body: Outgoing,
    /// The id that the plugin was told; taken from [`crate::MessageId`] numbers that the host reserved.
    pub message: crate::MessageId,
    /// It answers the event of its own conversation (`replies`), rather than writing first (`messages`).
    pub reply: bool,
}

/// All that one call asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// What was read, for the check at commit.
    pub reads: Vec<StateRead>,
    /// State, in the order asked.
    pub state: Vec<StateWrite>,
    /// Timers, in the order asked.
    pub timers: Vec<TimerWrite>,
    /// Files, in the order made.
    pub media: Vec<NewMedia>,
    /// Messages, in the order asked.
    pub sends: Vec<SendWish>,
}

impl Effects {
    /// Nothing was asked for; there may have been reads.
    pub fn is_empty(&self) -> bool {
        self.state.is_empty() && self.timers.is_empty() && self.media.is_empty() && self.sends.is_empty()
    }
}
