//! An alarm: how a loop waits for its next moment, or until somebody rings.
//!
//! A loop that turns over what is due looks, works, and then waits with [`Alarm::wait`] for the earliest moment that it
//! found. Who makes something due rings. A ring is kept until it is heard, so none is lost between two waits, and under a
//! clock that is turned by hand the loop counts as busy from the ring on, not only from when it wakes (see
//! [`crate::rest`]). Where much is made due that is later than what the loop waits for anyhow, [`Alarm::ring_before`] spares
//! it the waking.

use crate::Clock;
use beadle_model::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A loop's alarm. Clones are the same one; one loop waits for it, anybody may ring.
#[derive(Clone, Debug)]
pub struct Alarm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    bell: Notify,
    rung: AtomicBool,
    /// What its loop waits for; while it works, and where it waits for nothing, the end of time.
    until: AtomicI64,
    /// Its number among the activity of a virtual clock.
    number: Option<u64>,
}

impl Alarm {
    pub(crate) fn new(clock: Clock) -> Self {
        let number = clock.activity().map(|activity| activity.add_alarm());
        Self(Arc::new(Inner {
            clock,
            bell: Notify::new(),
            rung: AtomicBool::new(false),
            until: AtomicI64::new(i64::MAX),
            number,
        }))
    }

    /// Wakes the loop, now or when it next waits.
    pub fn ring(&self) {
        self.0.rung.store(true, Ordering::Release);
        self.0.up();
        self.0.bell.notify_one();
    }

    /// The same where the loop does not wait for `due_at` or something before it.
    pub fn ring_before(&self, due_at: Timestamp) {
        if due_at.0 < self.0.until.load(Ordering::Acquire) {
            self.ring();
        }
    }

    /// Returns when it is `until`, or somebody rang since the last time, or after `beat` of real time (against a bell that
    /// was missed). Dropping the future loses nothing.
    pub async fn wait(&self, until: Option<Timestamp>, beat: Duration) {
        let inner = &self.0;
        inner.until.store(until.map_or(i64::MAX, |until| until.0), Ordering::Release);
        let _up_again = UpAgain(inner);
        let moment = async {
            match until {
                Some(until) => inner.clock.reach(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = inner.rung_since(until) => {}
            () = moment => {}
            () = tokio::time::sleep(beat) => {}
        }
    }
}

impl Inner {
    /// Returns when somebody rang. The bell may have been heard before (its last stroke is kept); what counts is `rung`.
    async fn rung_since(&self, until: Option<Timestamp>) {
        loop {
            if let (Some(activity), Some(number)) = (self.clock.activity(), self.number) {
                activity.alarm_waits(number, until, &self.rung);
            }
            if self.rung.swap(false, Ordering::AcqRel) {
                return;
            }
            self.bell.notified().await;
        }
    }

    fn up(&self) {
        if let (Some(activity), Some(number)) = (self.clock.activity(), self.number) {
            activity.alarm_is_up(number);
        }
    }
}

/// However the wait ends, the loop is up then.
struct UpAgain<'a>(&'a Inner);

impl Drop for UpAgain<'_> {
    fn drop(&mut self) {
        self.0.until.store(i64::MAX, Ordering::Release);
        self.0.up();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let (Some(activity), Some(number)) = (self.clock.activity(), self.number) {
            activity.remove_alarm(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rest;

    /// Longer than any test.
    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_ring_is_kept_and_makes_busy_until_the_loop_waits_again() {
        let (clock, hand) = Clock::manual(Timestamp(0));
        let alarm = clock.alarm();
        assert_eq!(hand.rest(), Rest::Busy, "its loop has not looked yet");
        alarm.ring();
        alarm.wait(None, NEVER).await;
        let waiting = tokio::spawn({
            let alarm = alarm.clone();
            async move { alarm.wait(Some(Timestamp(70)), NEVER).await }
        });
        assert_eq!(hand.resting().await, Rest::Until(Some(Timestamp(70))));
        alarm.ring();
        assert_eq!(hand.rest(), Rest::Busy);
        waiting.await.unwrap();
        assert_eq!(hand.rest(), Rest::Busy, "it is working now");
        hand.set(Timestamp(70));
        alarm.wait(Some(Timestamp(70)), NEVER).await;
        drop(alarm);
        assert_eq!(hand.rest(), Rest::Until(None));
    }

    #[tokio::test]
    async fn only_what_is_earlier_than_it_waits_for_wakes_it() {
        let (clock, hand) = Clock::manual(Timestamp(0));
        let alarm = clock.alarm();
        alarm.ring_before(Timestamp(1000));
        alarm.wait(None, NEVER).await;
        let waiting = tokio::spawn({
            let alarm = alarm.clone();
            async move { alarm.wait(Some(Timestamp(70)), NEVER).await }
        });
        assert_eq!(hand.resting().await, Rest::Until(Some(Timestamp(70))));
        alarm.ring_before(Timestamp(70));
        assert_eq!(hand.rest(), Rest::Until(Some(Timestamp(70))));
        alarm.ring_before(Timestamp(69));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn it_does_the_same_under_the_machines_clock() {
        let alarm = Clock::real().alarm();
        alarm.ring();
        alarm.wait(None, NEVER).await;
        alarm.wait(Some(Timestamp(0)), NEVER).await;
        alarm.wait(None, Duration::ZERO).await;
    }
}
