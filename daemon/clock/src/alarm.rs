//! An alarm: how a loop waits for its next due time, or until it is rung.
//!
//! A loop processes what is due and then calls [`Alarm::wait`] with the earliest time that it
//! found. A caller that makes something due earlier rings it. Invariants: a ring is kept until the
//! loop has seen it, so none is lost between two waits; under a manual clock the loop counts as
//! busy from the ring on, not only from when it wakes (see [`crate::activity`]).
//! [`Alarm::ring_before`] spares the loop a wake-up for what is due later than it waits for.

use crate::clock::Clock;
use beadle_model::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A loop's alarm. Clones are the same alarm; one loop waits for it, anyone may ring it.
#[derive(Clone, Debug)]
pub struct Alarm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    bell: Notify,
    rung: AtomicBool,
    /// The time that the loop waits for, in milliseconds; `i64::MAX` while it runs or waits for no
    /// time.
    until: AtomicI64,
    /// The time when the loop began to look for what is due, in milliseconds: what it found due is
    /// not later.
    began_at: AtomicI64,
    /// Its number in the manual clock's tracker.
    number: Option<u64>,
}

impl Clock {
    /// An alarm for a loop that waits for its next due time or for a wake-up.
    pub fn alarm(&self) -> Alarm {
        let clock = self.clone();
        let number = clock.tracker().map(|tracker| tracker.add_alarm());
        let began_at = AtomicI64::new(clock.now().0);
        Alarm(Arc::new(Inner {
            clock,
            bell: Notify::new(),
            rung: AtomicBool::new(false),
            until: AtomicI64::new(i64::MAX),
            began_at,
            number,
        }))
    }
}

impl Alarm {
    /// Wakes the loop, now or when it next waits.
    pub fn ring(&self) {
        self.0.rung.store(true, Ordering::Release);
        self.0.mark_running();
        self.0.bell.notify_one();
    }

    /// Wakes the loop unless it already waits for `due_at` or an earlier time.
    pub fn ring_before(&self, due_at: Timestamp) {
        if due_at.0 < self.0.until.load(Ordering::Acquire) {
            self.ring();
        }
    }

    /// Marks that the loop begins to look for what is due. The end of a wait does, too; a loop that
    /// has not waited yet, or that paused otherwise, calls this, so that its next wait notices a
    /// clock that is set back from now on.
    pub fn begin(&self) {
        self.0.began_at.store(self.0.clock.now().0, Ordering::Release);
    }

    /// Returns when civil time is `until`, when the clock was set back or the alarm was rung since
    /// the last wait, or after `max_wait` of real time (a safeguard against a missed ring).
    /// Dropping the future loses nothing.
    pub async fn wait(&self, until: Option<Timestamp>, max_wait: Duration) {
        let inner = &self.0;
        inner.until.store(until.map_or(i64::MAX, |until| until.0), Ordering::Release);
        let _running_again = RunningAgain(inner);
        // After a clock that was ahead, other things are due than the loop waits for.
        let began_at = Timestamp(inner.began_at.load(Ordering::Acquire));
        let due = inner.clock.reach(until.unwrap_or(Timestamp(i64::MAX)), began_at);
        tokio::select! {
            () = inner.rung(until) => {}
            () = due => {}
            () = tokio::time::sleep(max_wait) => {}
        }
    }
}

impl Inner {
    /// Returns when the alarm was rung. `rung` decides: the bell keeps its last notification, which
    /// may be an old one.
    async fn rung(&self, until: Option<Timestamp>) {
        loop {
            if let (Some(tracker), Some(number)) = (self.clock.tracker(), self.number) {
                tracker.alarm_waiting(number, until, &self.rung);
            }
            if self.rung.swap(false, Ordering::AcqRel) {
                return;
            }
            self.bell.notified().await;
        }
    }

    fn mark_running(&self) {
        if let (Some(tracker), Some(number)) = (self.clock.tracker(), self.number) {
            tracker.alarm_running(number);
        }
    }
}

/// Marks the loop as running however its wait ends.
struct RunningAgain<'a>(&'a Inner);

impl Drop for RunningAgain<'_> {
    fn drop(&mut self) {
        self.0.until.store(i64::MAX, Ordering::Release);
        self.0.began_at.store(self.0.clock.now().0, Ordering::Release);
        self.0.mark_running();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let (Some(tracker), Some(number)) = (self.clock.tracker(), self.number) {
            tracker.remove_alarm(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activity;

    /// Longer than any test runs.
    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn ring_is_kept_and_counts_as_busy_until_the_loop_waits_again() {
        let (clock, manual) = Clock::manual(Timestamp(0));
        let alarm = clock.alarm();
        assert_eq!(manual.activity(), Activity::Busy, "its loop has not waited yet");
        alarm.ring();
        alarm.wait(None, NEVER).await;
        let waiting = tokio::spawn({
            let alarm = alarm.clone();
            async move { alarm.wait(Some(Timestamp(70)), NEVER).await }
        });
        assert_eq!(manual.wait_until_idle().await, Activity::IdleUntil(Some(Timestamp(70))));
        alarm.ring();
        assert_eq!(manual.activity(), Activity::Busy);
        waiting.await.unwrap();
        assert_eq!(manual.activity(), Activity::Busy, "the loop runs now");
        manual.set(Timestamp(70));
        alarm.wait(Some(Timestamp(70)), NEVER).await;
        drop(alarm);
        assert_eq!(manual.activity(), Activity::IdleUntil(None));
    }

    #[tokio::test]
    async fn ring_before_wakes_only_for_an_earlier_time() {
        let (clock, manual) = Clock::manual(Timestamp(0));
        let alarm = clock.alarm();
        alarm.ring_before(Timestamp(1000));
        alarm.wait(None, NEVER).await;
        let waiting = tokio::spawn({
            let alarm = alarm.clone();
            async move { alarm.wait(Some(Timestamp(70)), NEVER).await }
        });
        assert_eq!(manual.wait_until_idle().await, Activity::IdleUntil(Some(Timestamp(70))));
        alarm.ring_before(Timestamp(70));
        assert_eq!(manual.activity(), Activity::IdleUntil(Some(Timestamp(70))));
        alarm.ring_before(Timestamp(69));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn clock_that_is_set_back_ends_the_wait() {
        for until in [Some(Timestamp(i64::MAX)), Some(Timestamp(200)), None] {
            let (clock, manual) = Clock::manual(Timestamp(100));
            let alarm = clock.alarm();
            let wait = || {
                let alarm = alarm.clone();
                tokio::spawn(async move { alarm.wait(until, NEVER).await })
            };
            let waiting = wait();
            manual.wait_until_idle().await;
            manual.set(Timestamp(50));
            waiting.await.unwrap();
            // Set back while the loop ran: it has looked at what was due before.
            manual.set(Timestamp(40));
            wait().await.unwrap();
            // Seen now.
            let waiting = wait();
            manual.wait_until_idle().await;
            manual.advance_ms(10);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(!waiting.is_finished());
            waiting.abort();
        }
    }

    #[tokio::test]
    async fn alarm_works_under_the_machine_clock() {
        let alarm = Clock::real().alarm();
        alarm.ring();
        alarm.wait(None, NEVER).await;
        alarm.wait(Some(Timestamp(0)), NEVER).await;
        alarm.wait(None, Duration::ZERO).await;
    }
}
