//! The time in which a new revision has to prove itself.

use super::Failure;
use beadle_model::EventId;
use beadle_sandbox::Plugin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

/// The time in which a new revision has to prove itself.
pub struct Probation {
    before: Option<Arc<Plugin>>,
    well: AtomicU32,
    failed: AtomicU32,
    enough: u32,
    bell: Arc<Notify>,
}

impl Probation {
    /// `before` stands in where the new one fails, unless the new one took the state with it; `bell` is rung at each such
    /// failure, and when `enough` tries went well.
    pub fn new(before: Option<Arc<Plugin>>, enough: u32, bell: Arc<Notify>) -> Self {
        Self { before, well: AtomicU32::new(0), failed: AtomicU32::new(0), enough, bell }
    }

    /// The revision before it, where it can stand in.
    pub fn before(&self) -> Option<&Arc<Plugin>> {
        self.before.as_ref()
    }

    /// Tries that went well.
    pub fn well(&self) -> u32 {
        self.well.load(Ordering::Relaxed)
    }

    /// Tries that the new revision failed and the old one, where it could stand in, did not.
    pub fn failed(&self) -> u32 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn went_well(&self) {
        if self.well.fetch_add(1, Ordering::Relaxed) + 1 == self.enough {
            self.bell.notify_one();
        }
    }

    /// The new revision failed this event, and the one before it has done it.
    pub(crate) fn stood_in(&self, plugin: &str, event: EventId, Failure { code, error, .. }: &Failure) {
        tracing::warn!(plugin, %event, code, "The new revision failed and the one before it stood in: {error}.");
        self.did_not();
    }

    pub(crate) fn did_not(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.bell.notify_one();
    }
}
