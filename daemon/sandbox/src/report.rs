//! The result of a call.

use crate::call::{LogLine, Usage};
use crate::fault::Fault;
use crate::pool::WarmInstance;
use beadle_model::effect::{RefusedAsks, StateWrite};
use beadle_model::{Disposition, Effects};

/// The result of a call.
#[derive(Debug)]
pub struct Report {
    /// The plugin's decision and effects, or the fault that ended the call.
    pub outcome: Result<Handled, Fault>,
    /// What the plugin logged, also if the call failed.
    pub log: Vec<LogLine>,
    /// Messages that the gate refused, also if the call failed.
    pub refused: RefusedAsks,
    /// What the call used.
    pub usage: Usage,
}

/// A successful call.
#[derive(Debug)]
pub struct Handled {
    /// The plugin's decision.
    pub disposition: Disposition,
    /// The effects that it requested. None of them has been carried out.
    pub effects: Effects,
    /// The instance that ran the call. Return it with [`WarmInstance::keep`] once the effects are
    /// committed. If dropped it is destroyed, together with what it remembers of an attempt that
    /// did not count.
    pub instance: WarmInstance,
}

impl Handled {
    /// Whether the commit depends on nothing that this call read, so that it cannot conflict: it
    /// only fails as a whole (a full disk). Then the instance may be kept before the commit, and
    /// [`crate::Plugin::discard_instances`] called if the commit fails.
    pub fn has_no_reads(&self) -> bool {
        self.effects.reads.is_empty()
    }
}

/// A page of state that was migrated.
#[derive(Debug)]
pub struct MigratedPage {
    /// The writes, in order.
    pub state: Vec<StateWrite>,
    /// What the plugin logged.
    pub log: Vec<LogLine>,
    /// No further page is needed.
    pub is_done: bool,
}
