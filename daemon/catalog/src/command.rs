//! Commands that an operator gives to the catalog, and their errors.

use beadle_model::{Blame, Coded};
use beadle_store::StoreError;
use tokio::sync::oneshot;

/// The codes of [`CommandError`] that no other crate has.
pub(crate) const CODES: [&str; 8] = [
    "unknown-plugin",
    "plugin-busy",
    "plugin-not-removed",
    "no-earlier-revision",
    "rollback-failed",
    "unknown-capability",
    "default-capability",
    "shutting-down",
];

/// A command for one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go back to the earlier revision, until the file changes.
    Rollback {
        /// The plugin.
        name: String,
        /// Even if that discards the state written since.
        discard_state: bool,
    },
    /// Grant these capabilities.
    Grant(String, Vec<String>),
    /// Revoke these capabilities, if they were granted by command.
    Revoke(String, Vec<String>),
    /// Delete the state, timers and waiting events of a removed plugin.
    Purge(String),
    /// Enable a plugin that was disabled, suspended or isolated.
    Enable(String),
    /// Give the plugin no events until it is enabled.
    Disable(String),
}

impl Command {
    /// The plugin that it is for.
    pub fn plugin(&self) -> &str {
        match self {
            Command::Grant(name, _) | Command::Revoke(name, _) | Command::Purge(name) => name,
            Command::Rollback { name, .. } | Command::Enable(name) | Command::Disable(name) => name,
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such plugin.
    #[error("unknown plugin `{0}`; `beadle plugins list` shows all plugins")]
    Unknown(String),
    /// It is being loaded.
    #[error("`{0}` is being loaded; try again when that has ended")]
    Busy(String),
    /// Only a removed plugin can be purged.
    #[error("`{0}` is installed; remove its file, then run `beadle plugins purge {0}`")]
    NotRemoved(String),
    /// It has no earlier revision.
    #[error("`{0}` has no earlier revision")]
    NoEarlierRevision(String),
    /// The earlier revision could not be loaded.
    #[error("the rollback of `{name}` failed: {reason}")]
    RollbackFailed {
        /// The plugin.
        name: String,
        /// Why.
        reason: String,
    },
    /// Its state was migrated since.
    #[error("the rollback of `{name}` would lose state: {loss}")]
    StateWouldBeLost {
        /// The plugin.
        name: String,
        /// What would be lost.
        loss: String,
    },
    /// It is disabled.
    #[error("`{0}` is disabled; run `beadle plugins enable {0}` first")]
    Disabled(String),
    /// No such capability can be granted.
    #[error("unknown capability `{0}`; these can be granted: {names}", names = crate::grants::grantable_names())]
    UnknownCapability(String),
    /// Every plugin has it.
    #[error("every plugin has `{0}` by default, so it can be neither granted nor revoked")]
    DefaultCapability(String),
    /// The store could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon is shutting down.
    #[error("the daemon is shutting down")]
    Closed,
}

impl Coded for CommandError {
    fn code(&self) -> &'static str {
        match self {
            CommandError::Unknown(_) => "unknown-plugin",
            CommandError::Busy(_) => "plugin-busy",
            CommandError::NotRemoved(_) => "plugin-not-removed",
            CommandError::NoEarlierRevision(_) => "no-earlier-revision",
            CommandError::RollbackFailed { .. } => "rollback-failed",
            CommandError::StateWouldBeLost { .. } => "state-would-be-lost",
            CommandError::Disabled(_) => "plugin-disabled",
            CommandError::UnknownCapability(_) => "unknown-capability",
            CommandError::DefaultCapability(_) => "default-capability",
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

/// What was done, as a message without a full stop.
pub type Answer = Result<String, CommandError>;

/// A command and the channel for its answer.
pub(crate) struct PendingCommand {
    pub command: Command,
    pub answer: oneshot::Sender<Answer>,
}
