//! Civil time, real or turned by hand.
//!
//! Due times, windows, back-off, pacing, expiry and retention ask this clock, so that a test can let a day pass in no
//! time and see what a real day would have done. Elapsed time (time-outs, CPU limits, debounce) does not: a hung call
//! hangs for real, whatever the calendar says.
//!
//! A real clock is re-read at least every second while something waits for it, so that a machine which slept, or whose
//! time was set, is noticed then. It is not a timer wheel: callers wait for the next thing that is due, not for each.

use beadle_model::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Moments that somebody waits for, with how many do.
    awaited: Mutex<BTreeMap<Timestamp, usize>>,
}

impl Virtual {
    fn awaited(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let inner = Arc::new(Virtual { now: watch::Sender::new(start), awaited: Mutex::default() });
        (Self(Kind::Virtual(Arc::clone(&inner))), Hand(inner))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::Real => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Kind::Virtual(inner) => *inner.now.borrow(),
        }
    }

    /// Returns when it is `at` or later; at once where it is. Dropping the future stops the waiting.
    pub async fn sleep_until(&self, at: Timestamp) {
        match &self.0 {
            Kind::Real => loop {
                let left_ms = at.since_ms(self.now());
                if left_ms <= 0 {
                    return;
                }
                let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX));
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            },
            Kind::Virtual(inner) => {
                let mut now = inner.now.subscribe();
                let _waiting = Waiting::new(inner, at);
                // The sender lives in `inner`, which we hold, so this ends only by time.
                let _ = now.wait_for(|now| *now >= at).await;
            }
        }
    }

    /// Waits for so many milliseconds of civil time.
    pub async fn sleep_ms(&self, ms: i64) {
        self.sleep_until(self.now().plus_ms(ms)).await;
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

    /// The earliest moment that somebody waits for, so that time can be turned from due moment to due moment.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.0.awaited().keys().next().copied()
    }
}

/// Counts one waiter for as long as it lives.
struct Waiting<'a>(&'a Virtual, Timestamp);

impl<'a> Waiting<'a> {
    fn new(inner: &'a Virtual, at: Timestamp) -> Self {
        *inner.awaited().entry(at).or_default() += 1;
        Self(inner, at)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut awaited = self.0.awaited();
        if let Some(count) = awaited.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                awaited.remove(&self.1);
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
                clock.sleep_ms(500).await;
                clock.now()
            }
        });
        while hand.next_due().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(hand.next_due(), Some(Timestamp(1500)));
        hand.advance_ms(499);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.advance_ms(1);
        assert_eq!(sleeper.await.unwrap(), Timestamp(1500));
        assert_eq!(hand.next_due(), None);
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_not_waited_for() {
        let (clock, _hand) = Clock::manual(Timestamp(1000));
        clock.sleep_until(Timestamp(1000)).await;
        Clock::real().sleep_until(Timestamp(0)).await;
    }
}
