//! Probation: the time in which a new revision has to prove itself. This module counts; the catalog
//! decides what follows.

use crate::policy::Failure;
use beadle_model::EventId;
use beadle_sandbox::Plugin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

/// Successes of a new revision, and its failures that the earlier one does not share.
pub struct Probation {
    earlier: Option<Arc<Plugin>>,
    successes: AtomicU32,
    failures: AtomicU32,
    enough: u32,
    wake: Arc<Notify>,
}

impl Probation {
    /// `earlier` handles what the new revision fails; `None` after a migration of the state. `wake`
    /// is notified at each failure, and after `enough` successes.
    pub fn new(earlier: Option<Arc<Plugin>>, enough: u32, wake: Arc<Notify>) -> Self {
        Self { earlier, successes: AtomicU32::new(0), failures: AtomicU32::new(0), enough, wake }
    }

    /// The earlier revision, where it can handle events of the new one.
    pub fn earlier(&self) -> Option<&Arc<Plugin>> {
        self.earlier.as_ref()
    }

    /// Attempts that succeeded.
    pub fn successes(&self) -> u32 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Attempts that failed and that the earlier revision, where there is one, did not fail.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn count_success(&self) {
        if self.successes.fetch_add(1, Ordering::Relaxed) + 1 == self.enough {
            self.wake.notify_one();
        }
    }

    /// The earlier revision handled an event that the new one failed.
    pub(crate) fn earlier_stood_in(&self, plugin: &str, event: EventId, Failure { code, error, .. }: &Failure) {
        tracing::warn!(plugin, %event, code, error, "new revision failed and the earlier one handled the event");
        self.count_failure();
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
    }
}
