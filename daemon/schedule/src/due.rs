//! The loop of timers and schedules: it fires what is due and waits for the next due time.

use crate::scheduler::Scheduler;
use crate::timers;
use beadle_clock::{Alarm, Clock};
use beadle_model::Timestamp;
use beadle_store::{Store, StoreError};
use beadle_tasks::Heartbeat;
use std::time::{Duration, Instant};

/// Pause after a failed write. Real time: a full disk does not follow the virtual clock.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Upper bound for one wait, in case a wake-up was missed. Real time.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);

/// Storage that fails: a line when it begins, and one for each [`MAX_WAIT`] while it lasts.
#[derive(Default)]
pub(crate) struct StorageFailure {
    logged_at: Option<Instant>,
}

impl StorageFailure {
    /// Whether this failure is worth a line.
    pub(crate) fn is_news(&mut self) -> bool {
        let is_news = self.logged_at.is_none_or(|at| at.elapsed() >= MAX_WAIT);
        if is_news {
            self.logged_at = Some(Instant::now());
        }
        is_news
    }

    /// Storage works.
    pub(crate) fn end(&mut self) {
        self.logged_at = None;
    }
}

/// Fires due timers and schedules until the store is closed. `alarm` must be rung when a timer is
/// set or the configuration changes. Nothing fires before the plugins are known, and timers of a
/// plugin that is out of service wait.
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
    let mut failure = StorageFailure::default();
    loop {
        heartbeat.beat();
        alarm.begin();
        match fire_due(&store, &clock, &mut scheduler).await {
            Ok(next_due) => {
                failure.end();
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
                if failure.is_news() {
                    tracing::warn!(%error, "due timers and schedules not written, will retry");
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_that_lasts_is_logged_once_a_minute() {
        let mut failure = StorageFailure::default();
        assert_eq!((failure.is_news(), failure.is_news()), (true, false));
        failure.end();
        assert!(failure.is_news(), "it works again and fails again");
        failure.logged_at = Instant::now().checked_sub(MAX_WAIT);
        assert_eq!((failure.is_news(), failure.is_news()), (true, false));
    }
}
