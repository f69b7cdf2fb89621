//! The input of a call, and the parts of its report that do not depend on an instance.

use beadle_model::{Event, Timestamp};
use beadle_store::StateEntry;
use std::sync::Arc;

/// One event for one plugin.
#[derive(Clone, Debug)]
pub struct Call {
    /// The event.
    pub event: Arc<Event>,
    /// How the event ended, and the plugin that ended it. Only for observers.
    pub ending: Option<(String, Option<String>)>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Delivered out of order: a person retried a dead letter.
    pub late: bool,
    /// Civil time of this attempt. Constant during the call.
    pub now: Timestamp,
}

/// A page of state that a plugin converts to its current version.
#[derive(Clone, Debug)]
pub struct StatePage {
    /// The version of the stored state.
    pub from_version: u32,
    /// Starts at 0.
    pub number: u32,
    /// Entries of the state as it was when the migration began.
    pub entries: Vec<StateEntry>,
    /// No page follows.
    pub last: bool,
    /// Civil time of the migration.
    pub now: Timestamp,
}

/// The level of a log line, as the plugin gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Normal operation.
    Info,
    /// Degraded.
    Warn,
    /// Failed.
    Error,
}

/// A line that a plugin logged. Control characters are replaced, so that a line cannot imitate
/// others or control a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// One line, or several separated by `\n`.
    pub text: String,
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in microseconds, including the instantiation of a fresh instance. For a call that
    /// ended within a tick this is the elapsed time, which is an upper bound.
    pub cpu_us: u64,
    /// Elapsed time in microseconds from the start of the call, without waiting for a permit.
    pub wall_us: u64,
    /// Memory of the instance at the end of the call.
    pub memory_bytes: usize,
    /// Calls of host functions.
    pub host_calls: u32,
    /// The call ran in an instance that was created for it.
    pub fresh: bool,
    /// Log lines dropped over the limit.
    pub log_dropped: u32,
}
