//! What becomes an event by time. For now: the timers that plugins set.
//!
//! One loop asks the store what is due and lets it become events, in one transaction each time, so that a timer fires
//! exactly once whatever crashes. It waits for the earliest timer there is, and is rung when a plugin sets one. No task
//! and no memory per timer: a million of them are rows.
//!
//! It is not: the place of cron patterns and windows yet (they come here), nor of retries and back-off, which belong to
//! what is being tried again.

use beadle_clock::{Alarm, Clock};
use beadle_model::Timestamp;
use beadle_store::{Store, StoreError};
use std::time::Duration;

/// Timers that become events in one transaction: one group commit's worth.
const AT_ONCE: usize = 512;
/// After a write that failed. Real time: a full disk does not care about the calendar.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// The loop looks by itself this often, against a bell that was missed. Real time.
const BEAT: Duration = Duration::from_secs(60);

/// Fires timers until it is dropped. `changed` is rung when a commit set or moved one.
pub async fn run(store: Store, clock: Clock, changed: Alarm) {
    loop {
        match fire_all(&store, &clock).await {
            Ok(next_due) => changed.wait(next_due, BEAT).await,
            Err(error) if error.is_fatal() => return,
            Err(error) => {
                tracing::warn!(%error, "Timers that are due could not be written; they fire when they can: {error}.");
                tokio::time::sleep(DISK_PAUSE).await;
            }
        }
    }
}

/// Fires all that is due. Returns when the next one is.
async fn fire_all(store: &Store, clock: &Clock) -> Result<Option<Timestamp>, StoreError> {
    loop {
        let (fired, next_due) = store.fire_timers(clock.now(), AT_ONCE).await?;
        if fired < AT_ONCE {
            return Ok(next_due);
        }
    }
}
