//! Civil time, real or turned by hand.
//!
//! Due times, windows, back-off, pacing, expiry and retention ask this clock, so that a test can let a day pass in no
//! time and see what a real day would have done. Elapsed time (time-outs, CPU limits, debounce) does not: a hung call
//! hangs for real, whatever the calendar says.
//!
//! A real clock is re-read at least every second while something waits for it, so that a machine which slept, or whose
//! time was set, is noticed then. It is not a timer wheel: callers wait for the next thing that is due, not for each.
//!
//! Whoever turns a clock by hand has to know when everything that its last turn set off is done, and when the next thing
//! is due: that is [`rest`].

mod alarm;
pub mod rest;

pub use alarm::Alarm;
pub use rest::{Rest, Work};

use beadle_model::Timestamp;
use rest::Activity;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The longest real sleep before civil time is looked at again: a clock that was set is noticed within it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Where civil time is asked. Cheap to clone; clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real,
    Virtual(Arc<Virtual>),
}

#[derive(Debug)]
struct Virtual {
    now: watch::Sender<Timestamp>,
    activity: Arc<Activity>,
}

/// What turns a virtual clock.
#[derive(Clone, Debug)]
pub struct Hand(Arc<Virtual>);

impl Clock {
    /// The machine's own clock.
    pub fn real() -> Self {
        Self(Kind::Real)
    }

    /// A clock that stands still at `start` until its hand is moved.
    pub fn manual(start: Timestamp) -> (Self, Hand) {
        let inner = Arc::new(Virtual { now: watch::Sender::new(start), activity: Arc::default() });
        (Self(Kind::Virtual(Arc::clone(&inner))), Hand(inner))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::Real => {
                #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Kind::Virtual(inner) => *inner.now.borrow(),
        }
    }

    /// Returns when it is `at` or later; at once where it is. Dropping the future stops the waiting.
    pub async fn sleep_until(&self, at: Timestamp) {
        let _awaited = self.activity().map(|activity| activity.await_moment(at, false));
        self.reach(at).await;
    }

    /// The same for whoever holds a [`Work`]: while it sleeps that work waits for nothing but time.
    pub async fn sleep_in_work_until(&self, at: Timestamp) {
        let _awaited = self.activity().map(|activity| activity.await_moment(at, true));
        self.reach(at).await;
    }

    /// The same for upkeep that nobody waits for: a clock that is turned by hand does not stop there.
    pub async fn doze_ms(&self, ms: i64) {
        self.reach(self.now().plus_ms(ms)).await;
    }

    async fn reach(&self, at: Timestamp) {
        match &self.0 {
            Kind::Real => loop {
                let left_ms = at.since_ms(self.now());
                if left_ms <= 0 {
                    return;
                }
                let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX));
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            },
            // The sender lives in `inner`, which we hold, so this ends only by time.
            Kind::Virtual(inner) => _ = inner.now.subscribe().wait_for(|now| *now >= at).await,
        }
    }

    /// Marks that something is being done which the next turn of a hand has to wait for; until the answer is dropped.
    pub fn work(&self) -> Work {
        Work::new(self.activity())
    }

    /// For a loop that waits for its next moment, or until it is rung.
    pub fn alarm(&self) -> Alarm {
        Alarm::new(self.clone())
    }

    /// What is known of the activity under this clock; none where the machine turns it and nobody has to know.
    pub(crate) fn activity(&self) -> Option<&Arc<Activity>> {
        match &self.0 {
            Kind::Real => None,
            Kind::Virtual(inner) => Some(&inner.activity),
        }
    }
}

impl Hand {
    /// Puts the clock at `now`, forwards or back.
    pub fn set(&self, now: Timestamp) {
        self.0.now.send_replace(now);
    }

    /// Moves it on.
    pub fn advance_ms(&self, ms: i64) {
        self.0.now.send_modify(|now| *now = now.plus_ms(ms));
    }

    /// The earliest moment that somebody waits for, whatever else is being done.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.0.activity.next_due()
    }

    /// Whether all that the time set off is done, and what it is waited for next.
    pub fn rest(&self) -> Rest {
        self.0.activity.rest(*self.0.now.borrow())
    }

    /// Returns when everything is at rest. Whoever turns time decides how long to wait for that.
    pub async fn resting(&self) -> Rest {
        loop {
            let changed = self.0.activity.changed();
            match self.rest() {
                rest @ Rest::Until(_) => return rest,
                Rest::Busy => changed.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_sleeper_wakes_when_the_hand_gets_there() {
        let (clock, hand) = Clock::manual(Timestamp(1000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(clock.now().plus_ms(500)).await;
                clock.now()
            }
        });
        while hand.rest() != Rest::Until(Some(Timestamp(1500))) {
            tokio::task::yield_now().await;
        }
        hand.advance_ms(499);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.advance_ms(1);
        assert_eq!(sleeper.await.unwrap(), Timestamp(1500));
        assert_eq!(hand.rest(), Rest::Until(None));
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_not_waited_for() {
        let (clock, _hand) = Clock::manual(Timestamp(1000));
        clock.sleep_until(Timestamp(1000)).await;
        Clock::real().sleep_until(Timestamp(0)).await;
    }
}
