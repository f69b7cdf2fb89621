//! Turns timers that plugins set into events when they are due.
//!
//! Timers are indexed rows; a pending timer costs no task and no memory. Deleting the row and
//! inserting its event are one transaction, so a timer fires exactly once.

use beadle_clock::Clock;
use beadle_model::Timestamp;
use beadle_store::{Store, StoreError};

/// Timers per transaction: about one group commit.
const BATCH: usize = 512;

/// Fires all due timers and returns when the next one is due.
pub(crate) async fn fire_due(store: &Store, clock: &Clock) -> Result<Option<Timestamp>, StoreError> {
    loop {
        let (fired, next_due) = store.fire_timers(clock.now(), BATCH).await?;
        if fired < BATCH {
            return Ok(next_due);
        }
    }
}
