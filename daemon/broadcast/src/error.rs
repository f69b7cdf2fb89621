//! Why a broadcast cannot be created, planned or started.

use beadle_model::{Blame, BroadcastId, BroadcastState, Coded};
use beadle_store::StoreError;

/// Every code of this crate besides those of the store: of errors, and of reasons why a broadcast
/// pauses.
pub const CODES: [&str; 13] = [
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
    "broadcast-failures",
    "broadcast-opt-outs",
    "broadcast-dropped",
];

/// Why a command to a broadcast is refused.
#[derive(Debug, thiserror::Error)]
pub enum BroadcastError {
    /// The definition is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The author has a broadcast with this name.
    #[error("there is a broadcast `{0}` already; names are used once, so that none is sent twice")]
    Exists(String),
    /// There is no such broadcast.
    #[error("no broadcast `{0}`")]
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
    /// It was not planned to the end.
    #[error("broadcast `{0}` is not planned; run `beadle broadcasts plan {0}` first")]
    NotPlanned(String),
    /// Nobody would get it.
    #[error("broadcast `{0}` has no recipients; `beadle broadcasts show {0}` tells why people are excluded")]
    Empty(String),
    /// A second person has to approve it.
    #[error(
        "broadcast `{name}` has {recipients} recipients, more than {limit}, so a second person must approve it: \
         `beadle broadcasts approve {name} --by NAME`"
    )]
    NeedsApproval {
        /// Its name.
        name: String,
        /// How many get it.
        recipients: u64,
        /// From which number on.
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
    /// The template does not fit.
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
    /// The gate refuses a test message.
    #[error(transparent)]
    Refused(#[from] beadle_model::Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BroadcastError {
    /// There is no broadcast with this id.
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
