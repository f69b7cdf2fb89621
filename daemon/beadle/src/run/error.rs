//! Why the daemon does not start, or stops by itself.

use crate::follow::ClockUnreadable;
use beadle_egress::EgressError;
use beadle_model::{Blame, Coded};
use beadle_sandbox::SandboxError;
use beadle_store::StoreError;
use beadle_tasks::TaskFailure;
use beadle_whatsapp::ChannelError;
use std::io;

/// Codes of [`RunError`] that no other crate has.
#[cfg(test)]
pub const CODES: [&str; 2] = ["listen-failed", "clock-unreadable"];

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Plugins cannot run here.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A channel cannot be created.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The client for requests of plugins cannot be created.
    #[error("`[egress]` cannot be used: {0}")]
    Egress(#[from] EgressError),
    /// An address cannot be used.
    #[error("cannot listen on {address} ({key}): {error}")]
    Listen {
        /// The key in the configuration.
        key: &'static str,
        /// Its value.
        address: String,
        /// The system's answer.
        error: io::Error,
    },
    /// The simulator's clock cannot be read.
    #[error(transparent)]
    Clock(#[from] ClockUnreadable),
    /// A task failed that cannot be restarted.
    #[error(transparent)]
    Task(#[from] TaskFailure),
}

impl Coded for RunError {
    fn code(&self) -> &'static str {
        match self {
            RunError::Store(error) => error.code(),
            RunError::Sandbox(error) => error.code(),
            RunError::Channel(error) => error.code(),
            RunError::Egress(error) => error.code(),
            RunError::Listen { .. } => "listen-failed",
            RunError::Clock(_) => "clock-unreadable",
            RunError::Task(_) => "task-failed",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            RunError::Store(error) => error.blame(),
            RunError::Sandbox(error) => error.blame(),
            RunError::Channel(error) => error.blame(),
            RunError::Task(_) => Blame::Host,
            RunError::Egress(error) => error.blame(),
            RunError::Listen { .. } | RunError::Clock(_) => Blame::Operator,
        }
    }
}
