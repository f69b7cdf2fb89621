//! The command line.

use std::path::PathBuf;

/// What to measure, and how.
pub struct Options {
    /// Names of steps; all where empty.
    pub only: Vec<String>,
    /// Seconds that a step takes if the aim is reached.
    pub seconds: u32,
    /// The file for the figures.
    pub json: Option<PathBuf>,
}
