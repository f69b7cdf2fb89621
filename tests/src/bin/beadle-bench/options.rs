//! The command line.

use std::path::PathBuf;

/// What to measure, and how.
pub struct Options {
    /// Names of steps; all where empty.
    pub only: Vec<String>,
    /// Seconds that a step takes if the aim is reached.
    pub seconds: u32,
    /// Messages in the database before a run on a full database; ten million need some 8 GB.
    pub old_events: u64,
    /// The file for the figures. Profiles are put next to it.
    pub json: Option<PathBuf>,
}
