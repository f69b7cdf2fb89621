//! Timers that plugins set: rows, which become events when they are due.
//!
//! No task and no memory per timer: a million of them are rows with an index. A timer fires exactly once whatever crashes,
//! since it goes and its event comes in one transaction.

use beadle_clock::Clock;
use beadle_model::Timestamp;
use beadle_store::{Store, StoreError};

/// Timers that become events in one transaction: one group commit's worth.
const AT_ONCE: usize = 512;

/// Fires all that is due. Returns when the next one is.
pub(crate) async fn fire_all(store: &Store, clock: &Clock) -> Result<Option<Timestamp>, StoreError> {
    loop {
        let (fired, next_due) = store.fire_timers(clock.now(), AT_ONCE).await?;
        if fired < AT_ONCE {
            return Ok(next_due);
        }
    }
}
