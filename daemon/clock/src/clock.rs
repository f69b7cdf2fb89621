//! The clock: the machine's civil time, or a manual one that a test sets.

use crate::activity::{Activity, Tracker, WorkGuard};
use beadle_model::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The longest real sleep before civil time is read again: the delay after which a clock that was
/// set is noticed.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// The start of monotonic time.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A source of civil time. Cheap to clone; clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Machine,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    now: watch::Sender<Timestamp>,
    /// The sum of all moves forwards, in milliseconds.
    elapsed_ms: AtomicI64,
    tracker: Arc<Tracker>,
}

/// Sets a manual clock and observes what runs under it.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Manual>);

impl Clock {
    /// The machine's clock.
    pub fn real() -> Self {
        Self(Kind::Machine)
    }

    /// A clock that stays at `start` until the returned handle sets it.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let manual =
            Arc::new(Manual { now: watch::Sender::new(start), elapsed_ms: AtomicI64::new(0), tracker: Arc::default() });
        (Self(Kind::Manual(Arc::clone(&manual))), ManualClock(manual))
    }

    /// Whether this is the machine's clock, and not one that a test or a simulator sets.
    pub fn is_machine(&self) -> bool {
        matches!(self.0, Kind::Machine)
    }

    /// The current civil time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::Machine => {
                #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Kind::Manual(manual) => *manual.now.borrow(),
        }
    }

    /// Monotonic time, for pauses, paces and everything else that measures how much time has
    /// passed: it counts from an arbitrary start and does not go back when civil time is set. Under
    /// a manual clock it is the sum of all moves forwards. Not to be compared with [`Clock::now`],
    /// nor to be stored.
    pub fn monotonic(&self) -> Timestamp {
        match &self.0 {
            Kind::Machine => Timestamp(i64::try_from(STARTED.elapsed().as_millis()).unwrap_or(i64::MAX)),
            Kind::Manual(manual) => Timestamp(manual.elapsed_ms.load(Ordering::Acquire)),
        }
    }

    /// Returns once the time is `at` or later. Dropping the future stops the wait.
    pub async fn sleep_until(&self, at: Timestamp) {
        let _sleeper = self.tracker().map(|tracker| tracker.add_sleeper(at, false));
        while self.now() < at {
            self.reach(at, self.now()).await;
        }
    }

    /// Sleeps for `ms` of monotonic time. For a holder of a [`WorkGuard`]: while it sleeps, its
    /// work does not count as busy.
    pub async fn sleep_in_work_ms(&self, ms: i64) {
        let end = self.monotonic().plus_ms(ms);
        loop {
            let (now, left_ms) = (self.now(), end.since_ms(self.monotonic()));
            if left_ms <= 0 {
                return;
            }
            match &self.0 {
                Kind::Machine => {
                    tokio::time::sleep(Duration::from_millis(u64::try_from(left_ms).unwrap_or_default())).await;
                }
                Kind::Manual(manual) => {
                    let _sleeper = manual.tracker.add_sleeper(now.plus_ms(left_ms), true);
                    // `manual` holds the sender, so only a change ends the wait.
                    let _ = manual.now.subscribe().wait_for(|time| *time != now).await;
                }
            }
        }
    }

    /// Sleeps without being tracked, for housekeeping: an advancing manual clock does not stop at
    /// its end.
    ///
    /// The wait is relative: it ends after `ms` of forward movement, so that a clock that is set
    /// back does not prolong it.
    pub async fn sleep_untracked_ms(&self, ms: i64) {
        let (mut last, mut left_ms) = (self.now(), ms);
        while left_ms > 0 {
            match &self.0 {
                Kind::Machine => {
                    let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or_default());
                    tokio::time::sleep(left.min(REREAD_INTERVAL)).await;
                }
                Kind::Manual(manual) => _ = manual.now.subscribe().wait_for(|now| *now != last).await,
            }
            let now = self.now();
            left_ms -= now.since_ms(last).max(0);
            last = now;
        }
    }

    /// Returns once the time is `at` or later, or earlier than it was: than `last`, or than the
    /// latest time since. Not tracked.
    pub(crate) async fn reach(&self, at: Timestamp, mut last: Timestamp) {
        let mut is_over = |now: Timestamp| {
            let is_set_back = now < last;
            last = now;
            now >= at || is_set_back
        };
        match &self.0 {
            Kind::Machine => loop {
                let now = self.now();
                if is_over(now) {
                    return;
                }
                let left_ms = at.since_ms(now);
                let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX));
                tokio::time::sleep(left.min(REREAD_INTERVAL)).await;
            },
            // `manual` holds the sender, so the channel cannot close and only time ends the wait.
            Kind::Manual(manual) => _ = manual.now.subscribe().wait_for(|now| is_over(*now)).await,
        }
    }

    /// Marks the caller as busy until the guard is dropped: a manual clock is not advanced
    /// meanwhile.
    pub fn work(&self) -> WorkGuard {
        WorkGuard::new(self.tracker())
    }

    /// `None` for the machine's clock, under which nothing is tracked.
    pub(crate) fn tracker(&self) -> Option<&Arc<Tracker>> {
        match &self.0 {
            Kind::Machine => None,
            Kind::Manual(manual) => Some(&manual.tracker),
        }
    }
}

impl ManualClock {
    /// Sets the time, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.now.send_modify(|time| {
            self.0.elapsed_ms.fetch_add(now.since_ms(*time).max(0), Ordering::AcqRel);
            *time = now;
        });
    }

    /// Advances the time.
    pub fn advance_ms(&self, ms: i64) {
        let now = *self.0.now.borrow();
        self.set(now.plus_ms(ms));
    }

    /// The earliest time that a task waits for, whether or not others are busy.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.0.tracker.next_due()
    }

    /// Whether anything that the time started is still running, and what is due next.
    pub fn activity(&self) -> Activity {
        self.0.tracker.activity(*self.0.now.borrow())
    }

    /// Returns once everything is idle. The caller sets the deadline.
    pub async fn wait_until_idle(&self) -> Activity {
        loop {
            let changed = self.0.tracker.changed();
            match self.activity() {
                idle @ Activity::IdleUntil(_) => return idle,
                Activity::Busy => changed.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeper_wakes_when_the_manual_clock_reaches_its_time() {
        let (clock, manual) = Clock::manual(Timestamp(1000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(clock.now().plus_ms(500)).await;
                clock.now()
            }
        });
        while manual.activity() != Activity::IdleUntil(Some(Timestamp(1500))) {
            tokio::task::yield_now().await;
        }
        manual.advance_ms(499);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        manual.advance_ms(1);
        assert_eq!(sleeper.await.unwrap(), Timestamp(1500));
        assert_eq!(manual.activity(), Activity::IdleUntil(None));
    }

    #[tokio::test]
    async fn untracked_sleep_is_not_prolonged_by_a_clock_set_back() {
        const HOUR: i64 = 3_600_000;
        let (clock, manual) = Clock::manual(Timestamp(100 * HOUR));
        let sleeper = tokio::spawn(async move { clock.sleep_untracked_ms(HOUR).await });
        let settle = async || {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        settle().await;
        manual.set(Timestamp(HOUR));
        settle().await;
        manual.advance_ms(HOUR / 2);
        settle().await;
        assert!(!sleeper.is_finished());
        manual.advance_ms(HOUR / 2);
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn sleep_in_work_counts_monotonic_time() {
        let (clock, manual) = Clock::manual(Timestamp(10_000));
        let sleeper = tokio::spawn({
            let (clock, work) = (clock.clone(), clock.work());
            async move {
                let _work = work;
                clock.sleep_in_work_ms(500).await;
            }
        });
        assert_eq!(manual.wait_until_idle().await, Activity::IdleUntil(Some(Timestamp(10_500))));
        manual.advance_ms(400);
        manual.set(Timestamp(1000));
        assert_eq!(clock.monotonic(), Timestamp(400));
        while manual.next_due() != Some(Timestamp(1100)) {
            tokio::task::yield_now().await;
        }
        manual.advance_ms(100);
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn sleeper_waits_for_its_time_although_the_clock_is_set_back() {
        let (clock, manual) = Clock::manual(Timestamp(1000));
        let sleeper = tokio::spawn(async move { clock.sleep_until(Timestamp(1500)).await });
        for now in [1400, 200, 1400] {
            manual.set(Timestamp(now));
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(!sleeper.is_finished(), "{now}");
        }
        manual.set(Timestamp(1500));
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn sleeping_until_a_past_time_returns_at_once() {
        let (clock, _manual) = Clock::manual(Timestamp(1000));
        clock.sleep_until(Timestamp(1000)).await;
        Clock::real().sleep_until(Timestamp(0)).await;
    }
}
