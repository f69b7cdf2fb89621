//! The errors of commands to a broadcast.

use beadle_model::{Blame, BroadcastId, BroadcastState, Coded, Timestamp};
use beadle_store::StoreError;

/// The codes of this crate: of errors, of reasons why a broadcast pauses, and of recipients. Those
/// of the store are not included.
pub const CODES: [&str; 16] = [
    "broadcast-invalid",
    "broadcast-exists",
    "broadcast-unknown",
    "broadcast-state",
    "broadcast-empty",
    "broadcast-approval",
    "broadcast-same-person",
    "broadcast-template",
    "broadcast-template-changed",
    "broadcast-quality",
    "broadcast-number-quality",
    "broadcast-expired",
    "broadcast-failures",
    "broadcast-opt-outs",
    "broadcast-dropped",
    "held-for-quality",
];

/// The error of a command to a broadcast.
#[derive(Debug, thiserror::Error)]
pub enum BroadcastError {
    /// The definition is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The author has a broadcast with this name.
    #[error("broadcast `{0}` already exists; choose another name")]
    Exists(String),
    /// The broadcast does not exist.
    #[error("unknown broadcast `{0}`; `beadle broadcasts list` shows them")]
    Unknown(String),
    /// The command is not possible in this state.
    #[error("broadcast `{name}` is {}, so it cannot be {verb}", state.name())]
    State {
        /// Its name.
        name: String,
        /// Its state.
        state: BroadcastState,
        /// `planned`, `started`, …
        verb: &'static str,
    },
    /// Planning has not finished.
    #[error("broadcast `{0}` is not planned; run `beadle broadcasts plan {0}` first")]
    NotPlanned(String),
    /// The plan has no recipients.
    #[error("broadcast `{0}` has no recipients; `beadle broadcasts show {0}` shows why people are excluded")]
    Empty(String),
    /// A second person has to approve it.
    #[error(
        "broadcast `{name}` has {recipients} recipients, more than {limit}, so a second person must approve it: \
         `beadle broadcasts approve {name} --by NAME`"
    )]
    NeedsApproval {
        /// Its name.
        name: String,
        /// The number of recipients.
        recipients: u64,
        /// The number above which it needs approval.
        limit: u64,
    },
    /// The person who approves it created it.
    #[error("{by} created broadcast `{name}`; another person must approve it")]
    SamePerson {
        /// Its name.
        name: String,
        /// The person.
        by: String,
    },
    /// The template cannot be used for this broadcast.
    #[error("{message}")]
    Template {
        /// What is wrong.
        message: String,
    },
    /// A template changed since planning.
    #[error("{0}")]
    TemplateChanged(String),
    /// The quality of a template fell since planning.
    #[error("{0}")]
    Quality(String),
    /// It has expired.
    #[error("broadcast `{name}` expired at {}; `beadle broadcasts stop {name}` ends it", expires.utc())]
    Expired {
        /// Its name.
        name: String,
        /// When.
        expires: Timestamp,
    },
    /// The gate refuses a test message.
    #[error(transparent)]
    Refused(#[from] beadle_model::Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BroadcastError {
    /// The error for an unknown id.
    pub fn unknown(id: BroadcastId) -> Self {
        Self::Unknown(id.to_string())
    }

    /// The code for people and JSON.
    pub fn code_text(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.code.clone(),
            other => other.code().to_owned(),
        }
    }
}

impl Coded for BroadcastError {
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "broadcast-invalid",
            Self::Exists(_) => "broadcast-exists",
            Self::Unknown(_) => "broadcast-unknown",
            Self::State { .. } | Self::NotPlanned(_) => "broadcast-state",
            Self::Empty(_) => "broadcast-empty",
            Self::NeedsApproval { .. } => "broadcast-approval",
            Self::SamePerson { .. } => "broadcast-same-person",
            Self::Template { .. } | Self::Refused(_) => "broadcast-template",
            Self::TemplateChanged(_) => "broadcast-template-changed",
            Self::Quality(_) => "broadcast-quality",
            Self::Expired { .. } => "broadcast-expired",
            Self::Store(error) => error.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Store(error) => error.blame(),
            _ => Blame::Operator,
        }
    }

    fn retried(&self) -> bool {
        matches!(self, Self::Store(error) if error.retried())
    }
}
