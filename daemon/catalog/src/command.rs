//! What a person can ask of the catalogue, and its answers.

use beadle_model::{Blame, Coded};
use beadle_store::StoreError;
use tokio::sync::oneshot;

/// Codes of [`CommandError`] that are this crate's own.
pub(crate) const CODES: [&str; 7] = [
    "unknown-plugin",
    "plugin-busy",
    "plugin-not-removed",
    "no-earlier-revision",
    "rollback-failed",
    "unknown-capability",
    "shutting-down",
];

/// What is asked for, and of which plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go back to the revision before, and stay there until another file comes.
    Rollback {
        /// Which plugin.
        name: String,
        /// Also where that costs the state that was written since.
        discard_state: bool,
    },
    /// Give these capabilities.
    Grant(String, Vec<String>),
    /// Take these capabilities back, if they were given by command.
    Revoke(String, Vec<String>),
    /// Forget a removed plugin's state and timers now.
    Purge(String),
    /// Ask it again: it was switched off, suspended, or not loaded for what it did.
    Enable(String),
    /// Ask it no more, until it is enabled.
    Disable(String),
}

impl Command {
    /// Which plugin.
    pub fn plugin(&self) -> &str {
        match self {
            Command::Grant(name, _) | Command::Revoke(name, _) | Command::Purge(name) => name,
            Command::Rollback { name, .. } | Command::Enable(name) | Command::Disable(name) => name,
        }
    }
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is none.
    #[error("there is no plugin `{0}`; `beadle plugins list` shows them")]
    Unknown(String),
    /// Something else is being done with it.
    #[error("`{0}` is being loaded; try again in a moment")]
    Busy(String),
    /// Only what is gone can be purged.
    #[error("`{0}` is still there; remove its file first, and what it kept goes with `beadle plugins purge {0}`")]
    Present(String),
    /// It has no earlier revision.
    #[error("there is no earlier revision of `{0}` to go back to")]
    NothingBefore(String),
    /// The earlier revision does not run any more.
    #[error("`{name}` cannot go back: {why}")]
    Refused {
        /// Which.
        name: String,
        /// Why not.
        why: String,
    },
    /// It brought its state over since.
    #[error("`{name}` does not go back by itself: {why}")]
    StateLost {
        /// Which.
        name: String,
        /// What would be lost.
        why: String,
    },
    /// It was switched off.
    #[error("`{0}` is switched off; say `beadle plugins enable {0}` first")]
    Disabled(String),
    /// Nobody gives that.
    #[error("there is no capability `{0}` to be given; `beadle plugins show NAME` says what a plugin asks for")]
    UnknownCapability(String),
    /// The store does not write.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// We are on our way out.
    #[error("the daemon is stopping")]
    Closed,
}

impl Coded for CommandError {
    fn code(&self) -> &'static str {
        match self {
            CommandError::Unknown(_) => "unknown-plugin",
            CommandError::Busy(_) => "plugin-busy",
            CommandError::Present(_) => "plugin-not-removed",
            CommandError::NothingBefore(_) => "no-earlier-revision",
            CommandError::Refused { .. } => "rollback-failed",
            CommandError::StateLost { .. } => "state-would-be-lost",
            CommandError::Disabled(_) => "plugin-disabled",
            CommandError::UnknownCapability(_) => "unknown-capability",
            CommandError::Store(error) => error.code(),
            CommandError::Closed => "shutting-down",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            CommandError::Store(error) => error.blame(),
            CommandError::Closed => Blame::Host,
            _ => Blame::Operator,
        }
    }
}

/// What was done, in a sentence.
pub type Answer = Result<String, CommandError>;

/// A command and where its answer goes.
pub(crate) struct Asked {
    pub command: Command,
    pub to: oneshot::Sender<Answer>,
}
