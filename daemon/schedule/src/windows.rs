//! Emits `on-window-expiring` and `on-window-closed` events.
//!
//! The loop asks the store for windows whose next step is due, earliest first, and commits their
//! events together with the windows' new state. It then waits for the earliest remaining due time,
//! or for an alarm that a new window rings. Open windows are indexed rows; memory holds only the
//! next due time.
//!
//! After downtime a window that ended meanwhile is reported as closed; for one still open only the
//! shortest lead time that has passed is reported. Changed lead times are written into the rows in
//! batches between steps.
//!
//! Which steps a window has is decided in `beadle_model::window`; what may be sent after it closed
//! is decided in the gate.

use crate::due::{MAX_WAIT, RETRY_PAUSE, StorageFailure};
use beadle_clock::{Alarm, Clock};
use beadle_model::{LeadTimes, Timestamp};
use beadle_pipeline::SubscriptionsReceiver;
use beadle_store::{Store, StoreError};
use beadle_tasks::Heartbeat;
use tokio::sync::watch;

/// Windows per transaction. Each may touch a different page on a slow disk while other writers
/// wait; 128 keep that wait within a few milliseconds.
const BATCH: usize = 128;

/// The loop and its inputs.
#[derive(Clone)]
pub struct Windows {
    /// Holds the windows.
    pub store: Store,
    /// Civil time.
    pub clock: Clock,
    /// Rung when a window opens that is due before the current wait ends, and when lead times
    /// change.
    pub changed: Alarm,
    /// The configured lead times.
    pub leads: watch::Receiver<LeadTimes>,
    /// Which window events have a subscriber. Steps without one are recorded but emit no event.
    pub subscriptions: SubscriptionsReceiver,
}

impl Windows {
    /// Runs until the store is closed.
    ///
    /// # Errors
    /// The store is closed, or belongs to another process.
    pub async fn run(mut self, heartbeat: Heartbeat) -> Result<(), StoreError> {
        let mut failure = StorageFailure::default();
        loop {
            heartbeat.beat();
            self.changed.begin();
            match self.process_due().await {
                Ok(next_due) => {
                    failure.end();
                    heartbeat.idle(self.changed.wait(next_due, MAX_WAIT)).await;
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    if failure.is_news() {
                        tracing::warn!(%error, "due windows not written, will retry");
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Processes all due windows and returns when the next one is due.
    async fn process_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let mut arming = true;
        loop {
            if arming {
                let leads = self.leads.borrow_and_update().clone();
                arming = self.store.arm_windows(leads, BATCH).await?;
            }
            let interest = self.subscriptions.borrow().interest().clone();
            let step = self.store.check_windows(self.clock.now(), interest, BATCH).await?;
            if step.checked < BATCH && !arming {
                return Ok(step.next_due);
            }
        }
    }
}
