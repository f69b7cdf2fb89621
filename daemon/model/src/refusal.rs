//! Refusals: why something that a plugin or an operator asked for is not done.

use serde::{Deserialize, Serialize};

/// A refusal by the gate or a limit, as a plugin gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// Stable, in kebab case; `beadle explain` documents it.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// An alternative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl Refusal {
    /// A refusal without an alternative.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), instead: None }
    }

    /// Adds an alternative.
    #[must_use]
    pub fn instead(mut self, instead: impl Into<String>) -> Self {
        self.instead = Some(instead.into());
        self
    }
}
