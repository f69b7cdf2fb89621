//! What every error of Beadle can say besides its text: a code, whose fault it is, and whether it will be tried again.
//!
//! The text of an error says what happened and where; its code is what `beadle explain CODE` knows more about (a test
//! of the binary holds that each code has a page). Blame and retry are data, so that nobody has to read a sentence to
//! decide what to do.

use serde::{Deserialize, Serialize};

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The plugin did what it should not.
    Plugin,
    /// Beadle itself: a bug, or a limit of ours.
    Host,
    /// The platform or the network.
    Remote,
    /// The configuration, the disk, the machine: what the operator can change.
    Operator,
}

/// An error that people and programs can act on.
pub trait Coded: std::error::Error {
    /// Stable, in kebab-case.
    fn code(&self) -> &'static str;
    /// Whose fault it is.
    fn blame(&self) -> Blame;
    /// Whether Beadle tries again by itself.
    fn retried(&self) -> bool {
        false
    }
}
