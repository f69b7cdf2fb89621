//! Activity under a manual clock: whether everything that the last advance started is done.
//!
//! A simulator advances from one due time to the next and must not go on while something still
//! runs: what a timer starts at nine has to happen at nine. Three things count as busy: a
//! [`WorkGuard`] that is held, a sleeper whose time has come but that has not woken, and an
//! [`crate::Alarm`] whose loop runs or was rung.
//!
//! Invariants: all three are under one lock, so that the answer describes one instant; a task that
//! hands work on acquires the new guard before releasing the old one. Under the machine's clock
//! nothing is tracked and nothing is paid.

use beadle_model::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Whether anything runs under a manual clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Something runs.
    Busy,
    /// Nothing runs, and nothing will before this time unless something arrives from outside.
    IdleUntil(Option<Timestamp>),
}

/// Marks work that must be done before a manual clock is advanced.
#[derive(Debug)]
pub struct WorkGuard(Option<Arc<Tracker>>);

impl WorkGuard {
    pub(crate) fn new(tracker: Option<&Arc<Tracker>>) -> Self {
        if let Some(tracker) = tracker {
            tracker.state().working += 1;
        }
        Self(tracker.map(Arc::clone))
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        if let Some(tracker) = &self.0 {
            tracker.change(|state| state.working = state.working.saturating_sub(1));
        }
    }
}

/// What runs and waits under one manual clock.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    state: Mutex<TrackerState>,
    /// Notified at every change that may end the activity.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct TrackerState {
    working: usize,
    /// Times that tasks sleep until, with the number of sleepers.
    sleepers: BTreeMap<Timestamp, usize>,
    alarms: BTreeMap<u64, AlarmState>,
    next_alarm: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AlarmState {
    /// Its loop runs, or was rung and is about to.
    Running,
    /// Its loop waits for this time; `None`: only to be rung.
    Waiting(Option<Timestamp>),
}

impl TrackerState {
    fn next_due(&self) -> Option<Timestamp> {
        let alarms = self.alarms.values().filter_map(|alarm| match alarm {
            AlarmState::Running => None,
            AlarmState::Waiting(until) => *until,
        });
        alarms.chain(self.sleepers.keys().next().copied()).min()
    }
}

impl Tracker {
    fn state(&self) -> MutexGuard<'_, TrackerState> {
        self.state.lock()
    }

    fn change<T>(&self, change: impl FnOnce(&mut TrackerState) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.notify_waiters();
        changed
    }

    /// Completes at the next change after this call.
    pub(crate) fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }

    pub(crate) fn activity(&self, now: Timestamp) -> Activity {
        let state = self.state();
        let next = state.next_due();
        let busy = state.working > 0 || state.alarms.values().any(|alarm| *alarm == AlarmState::Running);
        if busy || next.is_some_and(|next| next <= now) { Activity::Busy } else { Activity::IdleUntil(next) }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.state().next_due()
    }

    /// Registers a sleeper. With `in_work`, the work of its [`WorkGuard`] does not count while it
    /// sleeps.
    pub(crate) fn add_sleeper(self: &Arc<Self>, until: Timestamp, in_work: bool) -> Sleeper {
        self.change(|state| {
            *state.sleepers.entry(until).or_default() += 1;
            state.working = state.working.saturating_sub(usize::from(in_work));
        });
        Sleeper { tracker: Arc::clone(self), until, in_work }
    }

    pub(crate) fn add_alarm(&self) -> u64 {
        let mut state = self.state();
        let number = state.next_alarm;
        state.next_alarm += 1;
        state.alarms.insert(number, AlarmState::Running);
        number
    }

    pub(crate) fn remove_alarm(&self, number: u64) {
        self.change(|state| state.alarms.remove(&number));
    }

    pub(crate) fn alarm_running(&self, number: u64) {
        self.state().alarms.insert(number, AlarmState::Running);
    }

    /// Marks an alarm's loop as waiting unless it was rung: the caller of `ring` sets `rung` first
    /// and marks the alarm as running second.
    pub(crate) fn alarm_waiting(&self, number: u64, until: Option<Timestamp>, rung: &AtomicBool) {
        self.change(|state| {
            if !rung.load(Ordering::Acquire) {
                state.alarms.insert(number, AlarmState::Waiting(until));
            }
        });
    }
}

/// Registers one sleeper until it is dropped.
pub(crate) struct Sleeper {
    tracker: Arc<Tracker>,
    until: Timestamp,
    in_work: bool,
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.tracker.change(|state| {
            if let Some(count) = state.sleepers.get_mut(&self.until) {
                *count -= 1;
                if *count == 0 {
                    state.sleepers.remove(&self.until);
                }
            }
            state.working += usize::from(self.in_work);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    #[tokio::test]
    async fn work_counts_as_busy_except_while_it_sleeps() {
        let (clock, manual) = Clock::manual(Timestamp(0));
        assert_eq!(manual.activity(), Activity::IdleUntil(None));
        let working = tokio::spawn({
            let (clock, work) = (clock.clone(), clock.work());
            async move {
                let _work = work;
                clock.sleep_in_work_ms(100).await;
            }
        });
        assert_eq!(manual.activity(), Activity::Busy);
        assert_eq!(manual.wait_until_idle().await, Activity::IdleUntil(Some(Timestamp(100))));
        manual.set(Timestamp(100));
        // Busy until the sleeper has woken, because its time has come.
        assert_eq!(manual.activity(), Activity::Busy);
        working.await.unwrap();
        assert_eq!(manual.activity(), Activity::IdleUntil(None));
    }
}
