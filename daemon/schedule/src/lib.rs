//! Turns the passage of time into events: plugins' timers, `[[schedule]]` entries, and conversation windows.
//!
//! [`run`] is one loop for timers and schedules: it fires what is due and waits for the next due time. [`Windows`] is a
//! second loop. A firing and the progress that records it are one transaction, so each fires exactly once across crashes.
//! Ten thousand schedules are entries in an ordered set, not tasks.
//!
//! When a schedule fires is a pure function: `cron` and `monthly` parse patterns, `fields` matches them against local
//! time, `zone` maps local time to instants, `pattern` and `schedule` find the next planned time, `policy` decides whether
//! a planned time fires, is caught up or is missed. Only `scheduler`, `schedules`, `timers` and `windows` use the store.
//!
//! Retries and back-off are not scheduled here; they belong to whatever is being retried.

mod configured;
mod cron;
mod days_off;
mod describe;
mod fields;
mod firing;
pub mod lint;
mod monthly;
mod pattern;
pub mod policy;
mod schedule;
mod scheduler;
mod schedules;
mod timers;
mod windows;
mod zone;

pub use configured::{ConfiguredSchedule, Counts, Target};
pub use cron::{Cron, PatternError};
pub use days_off::{CalendarError, DaysOff, Holidays};
pub use describe::{clock_change_note, describe};
pub use pattern::{DEFAULT_ANCHOR, Moment, Pattern, TimeSpec};
pub use schedule::{CatchUpMode, CatchUpPolicy, NextMoment, Overlap, Schedule, Zones};
pub use scheduler::Scheduler;
pub use schedules::Schedules;
pub use windows::Windows;
pub use zone::{LocalTimeKind, TZDATA_VERSION, Zone};

use beadle_clock::{Alarm, Clock};
use beadle_model::Timestamp;
use beadle_store::{Store, StoreError};
use beadle_tasks::Heartbeat;
use std::time::Duration;

/// Pause after a failed write. Real time: a full disk does not follow the virtual clock.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Upper bound for one wait, in case a wake-up was missed. Real time.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Fires due timers and schedules until the store is closed. `alarm` must be rung when a timer is set or
/// the configuration changes. Nothing fires before the plugins are known, and timers of a plugin that is out of service
/// wait.
///
/// # Errors
/// The store is closed, or belongs to another process.
pub async fn run(
    store: Store,
    clock: Clock,
    alarm: Alarm,
    mut scheduler: Scheduler,
    heartbeat: Heartbeat,
) -> Result<(), StoreError> {
    loop {
        heartbeat.beat();
        match fire_due(&store, &clock, &mut scheduler).await {
            Ok(next_due) => {
                let wake = async {
                    tokio::select! {
                        () = alarm.wait(next_due, MAX_WAIT) => {}
                        () = scheduler.subscriptions_changed() => {}
                    }
                };
                heartbeat.idle(wake).await;
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "due timers and schedules not written, will retry");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Fires everything that is due and returns the next due time.
async fn fire_due(store: &Store, clock: &Clock, scheduler: &mut Scheduler) -> Result<Option<Timestamp>, StoreError> {
    if !scheduler.follow_subscriptions().await? {
        return Ok(None);
    }
    let timers = timers::fire_due(store, clock).await?;
    let schedules = scheduler.fire_due().await?;
    Ok([timers, schedules].into_iter().flatten().min())
}
