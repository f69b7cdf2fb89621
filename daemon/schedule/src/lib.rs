//! What becomes an event by time: timers that plugins set, the schedules of the configuration, and windows.
//!
//! One loop turns over what is due and waits for the next moment that it found; it is rung when a plugin sets a timer, when
//! plugins come or go, and when the configuration changes. What is due becomes an event in one transaction with the note
//! that it did, so that it fires exactly once whatever crashes. Ten thousand schedules are no tasks and no timers: they
//! are entries in an ordered set, of which the loop looks at the first.
//!
//! When a schedule fires is a function: `cron` and `monthly` read patterns, `fields` matches them on the wall clock, `zone`
//! places that in time, `pattern` and `schedule` say what comes next, `policy` what becomes of a moment that has come.
//! `clinic` tells people about it. Only `keeper`, `timers` and `windows` know a store.
//!
//! Windows have a loop of their own beside it ([`Windows`]), since who wants to hear of them has to be known first.
//!
//! It is not: the place of retries and back-off, which belong to what is being tried again.

pub mod clinic;
mod cron;
mod days_off;
mod fields;
mod keeper;
mod monthly;
mod pattern;
pub mod policy;
mod schedule;
mod timers;
mod windows;
mod zone;

pub use cron::{Cron, Unreadable};
pub use days_off::{DaysOff, Holidays, Unusable};
pub use keeper::{Counts, Keeper, Kept, Present, Schedules, Share};
pub use pattern::{ANCHOR, Moment, Pattern, When};
pub use schedule::{CatchUp, Missed, Next, Overlap, Schedule, Zones};
pub use windows::Windows;
pub use zone::{Fit, TZDATA, Zone};

use beadle_clock::{Alarm, Clock};
use beadle_model::Timestamp;
use beadle_store::{Store, StoreError};
use std::time::Duration;

/// After a write that failed. Real time: a full disk does not care about the calendar.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// The loop looks by itself this often, against a bell that was missed. Real time.
const BEAT: Duration = Duration::from_secs(60);

/// Lets become events what is due, until it is dropped. `bell` is rung when something may be due that was not.
pub async fn run(store: Store, clock: Clock, bell: Alarm, mut keeper: Keeper) {
    loop {
        match turn(&store, &clock, &mut keeper).await {
            Ok(next_due) => bell.wait(next_due, BEAT).await,
            Err(error) if error.is_fatal() => return,
            Err(error) => {
                tracing::warn!(%error, "What is due could not be written; it fires when it can: {error}.");
                tokio::time::sleep(DISK_PAUSE).await;
            }
        }
    }
}

/// All that is due now. Returns when the next thing is.
async fn turn(store: &Store, clock: &Clock, keeper: &mut Keeper) -> Result<Option<Timestamp>, StoreError> {
    let timers = timers::fire_all(store, clock).await?;
    let schedules = keeper.turn().await?;
    Ok([timers, schedules].into_iter().flatten().min())
}
