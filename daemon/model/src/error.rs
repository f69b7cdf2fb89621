//! What every error carries in addition to its text: a code, who can fix it, and whether Beadle
//! retries.
//!
//! The text says what happened and where; `beadle explain CODE` says more (a test of the binary
//! ensures that each code has a page). Blame and retry are data, so that no caller has to parse a
//! sentence.

use serde::{Deserialize, Serialize};

/// Who can fix an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The plugin misbehaved.
    Plugin,
    /// A defect or a limit of Beadle.
    Host,
    /// The platform or the network failed.
    Remote,
    /// Configuration, disk or machine: what the operator can change.
    Operator,
}

/// An error with a code.
pub trait Coded: std::error::Error {
    /// Stable, in kebab case.
    fn code(&self) -> &'static str;
    /// Who can fix it.
    fn blame(&self) -> Blame;
    /// Whether Beadle retries without being asked.
    fn retried(&self) -> bool {
        false
    }
}
