//! How many requests are in progress or wait at a time, per plugin or per host.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Names of which none is in use are removed when there are this many.
const KEPT_NAMES: usize = 256;

/// Requests that wait for a slot of one name. Each has at most 1 MiB of body, 64 KiB of headers and
/// 8 kB of URL in memory, so those of a plugin that wait have less than 32 MiB.
pub(crate) const MAX_WAITING: usize = 28;

/// A number of slots for each name.
pub(crate) struct Slots {
    per_name: usize,
    semaphores: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Slots {
    pub(crate) fn new(per_name: usize) -> Self {
        Self { per_name: per_name.max(1), semaphores: Mutex::default() }
    }

    /// Waits for a slot, in order of arrival. The caller sets the deadline. The slot is free again
    /// when the value is dropped. `None`, at once, if [`MAX_WAITING`] others wait.
    pub(crate) async fn take(&self, name: &str) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut semaphores = self.semaphores.lock();
            if semaphores.len() >= KEPT_NAMES {
                // A waiter or holder has a reference of its own.
                semaphores.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            }
            let new = || Arc::new(Semaphore::new(self.per_name));
            let semaphore = semaphores.entry(name.to_owned()).or_insert_with(new);
            // One reference is the map's.
            if Arc::strong_count(semaphore) > self.per_name.saturating_add(MAX_WAITING) {
                return None;
            }
            Arc::clone(semaphore)
        };
        // The semaphore is never closed, so there is always a permit.
        semaphore.acquire_owned().await.ok()
    }
}
