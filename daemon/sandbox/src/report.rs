//! What goes into a call and what comes out of it.

use crate::{Fault, Warm};
use beadle_model::effect::StateWrite;
use beadle_model::{Disposition, Effects, Event, Timestamp};
use beadle_store::StateEntry;
use std::sync::Arc;

/// One event for one plugin.
#[derive(Clone, Debug)]
pub struct Call {
    /// What happened.
    pub event: Arc<Event>,
    /// How it ended and by whom; told to observers only.
    pub ending: Option<(String, Option<String>)>,
    /// 1 for the first try.
    pub attempt: u32,
    /// Out of its order: a person retried a dead letter.
    pub late: bool,
    /// Civil time of this try; it stands still while the plugin runs.
    pub now: Timestamp,
}

/// A page of its state that a plugin is to bring over to another form.
#[derive(Clone, Debug)]
pub struct Page {
    /// The version under which it was kept.
    pub from: u32,
    /// 0 for the first.
    pub number: u32,
    /// Of the state as it was.
    pub entries: Vec<StateEntry>,
    /// There is none after it.
    pub last: bool,
    /// Civil time of the migration.
    pub now: Timestamp,
}

/// A page that was brought over.
#[derive(Debug)]
pub struct Moved {
    /// What is to be written, in order.
    pub state: Vec<StateWrite>,
    /// What it wrote to the log.
    pub log: Vec<LogLine>,
    /// It needs no further page.
    pub is_enough: bool,
}

/// What became of a call.
#[derive(Debug)]
pub struct Report {
    /// What the plugin decided and asked for, or what ended it.
    pub outcome: Result<Handled, Fault>,
    /// What it wrote, in order, also when it failed.
    pub log: Vec<LogLine>,
    /// What it used.
    pub usage: Usage,
}

/// A call that went well.
#[derive(Debug)]
pub struct Handled {
    /// What the plugin decided.
    pub disposition: Disposition,
    /// What it asked for: nothing of it is done yet.
    pub effects: Effects,
    /// The instance that ran it. Give it back with [`Warm::keep`] when the effects are committed; dropped, it is
    /// destroyed, and with it what it remembers of a try that did not count.
    pub instance: Warm,
}

impl Handled {
    /// Whether the commit can only fail as a whole (a full disk), never for this call's own reads: then the instance
    /// may be kept before the commit, and [`crate::Plugin::forget_instances`] called if the commit fails after all.
    pub fn needs_no_check(&self) -> bool {
        self.effects.reads.is_empty()
    }
}

/// How important a line is, as the plugin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something is wrong.
    Error,
}

/// A line that a plugin wrote. Control characters are replaced, so that it cannot forge or paint other lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How important.
    pub level: Level,
    /// One line, or several with `\n`.
    pub text: String,
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, the making of a fresh instance included. Of a call that ended within a millisecond or two: the time
    /// that passed, which is no less.
    pub cpu_us: u64,
    /// Time from when it began to run to its end.
    pub wall_us: u64,
    /// Memory of its instance at the end.
    pub memory_bytes: usize,
    /// Calls of host functions.
    pub host_calls: u32,
    /// It ran in an instance made for it.
    pub fresh: bool,
    /// Lines of log that were dropped over the limit.
    pub log_dropped: u32,
}
