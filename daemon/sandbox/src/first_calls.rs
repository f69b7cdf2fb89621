//! Reports while fresh instances of a plugin run their first call.
//!
//! If a plugin can kill the daemon at all (by a bug in the compiler, or by memory that the system
//! does not have), it does so when an instance is created or in its first call: a death in a later
//! call happens again after the restart, when the event is repeated, and then it is a first one.
//! Fresh instances are rare, so that reporting them costs nothing in service. What follows from a
//! death is decided in `beadle-catalog`.

use parking_lot::Mutex;
use std::sync::Arc;

/// Where first calls are reported, and whether they wait for each other.
#[derive(Clone)]
pub struct FirstCalls {
    /// Called with `true` before a first call begins, if none was running, and with `false` when
    /// none is running. Must not block.
    pub report: Arc<dyn Fn(bool) + Send + Sync>,
    /// At most one first call of all plugins with this mark runs at a time.
    pub one_at_a_time: bool,
}

impl std::fmt::Debug for FirstCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstCalls").field("one_at_a_time", &self.one_at_a_time).finish_non_exhaustive()
    }
}

/// The running first calls of one plugin.
pub struct RunningFirstCalls {
    calls: Option<FirstCalls>,
    running: Mutex<usize>,
}

/// A first call that is running, until it is dropped.
pub struct FirstCall<'a>(&'a RunningFirstCalls);

impl RunningFirstCalls {
    pub fn new(calls: Option<FirstCalls>) -> Self {
        Self { calls, running: Mutex::new(0) }
    }

    /// Whether they wait for those of other plugins.
    pub fn one_at_a_time(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.one_at_a_time)
    }

    /// Reports a first call.
    pub fn begin(&self) -> FirstCall<'_> {
        let mut running = self.running.lock();
        *running += 1;
        if let (1, Some(calls)) = (*running, &self.calls) {
            (calls.report)(true);
        }
        FirstCall(self)
    }
}

impl Drop for FirstCall<'_> {
    fn drop(&mut self) {
        // The report is made under the lock, so that reports are in order.
        let mut running = self.0.running.lock();
        *running -= 1;
        if let (0, Some(calls)) = (*running, &self.0.calls) {
            (calls.report)(false);
        }
    }
}
