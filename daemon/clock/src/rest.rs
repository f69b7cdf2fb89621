//! Rest: whether everything that a turn of the clock set off is done.
//!
//! Who turns time by hand goes from due moment to due moment, and must not go on while something is still being done:
//! what a timer set off at nine has to be seen at nine. Three things tell. *Work* is being done for as long as its mark is
//! held. A *moment* that somebody waits for and that has come is work that has not woken yet. An *alarm* (a loop that waits
//! for its next moment) that was rung is work too. All three stand under one lock, so that the answer is of one instant:
//! whoever hands work on takes the new mark before the old one goes.
//!
//! It is kept only where a hand turns the clock; under the machine's own clock all of it costs nothing.

use beadle_model::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Whether anything is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Something is.
    Busy,
    /// Nothing is, and nothing will be before this moment (or before something comes in from outside).
    Until(Option<Timestamp>),
}

/// Held by whoever does something that the next turn of the clock has to wait for.
#[derive(Debug)]
pub struct Work(Option<Arc<Activity>>);

impl Work {
    pub(crate) fn new(activity: Option<&Arc<Activity>>) -> Self {
        if let Some(activity) = activity {
            activity.state().working += 1;
        }
        Self(activity.map(Arc::clone))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(activity) = &self.0 {
            activity.change(|state| state.working = state.working.saturating_sub(1));
        }
    }
}

/// What goes on under one virtual clock.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    state: Mutex<State>,
    /// Rung when it may have come to rest.
    quieter: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    working: usize,
    /// Moments that somebody waits for, with how many do.
    awaited: BTreeMap<Timestamp, usize>,
    alarms: BTreeMap<u64, Face>,
    next_alarm: u64,
}

/// How an alarm is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    /// Its loop is doing something, or was rung and is about to.
    Up,
    /// Its loop waits for this moment, or only to be rung.
    Waits(Option<Timestamp>),
}

impl State {
    fn next_due(&self) -> Option<Timestamp> {
        let alarms = self.alarms.values().filter_map(|face| match face {
            Face::Up => None,
            Face::Waits(until) => *until,
        });
        alarms.chain(self.awaited.keys().next().copied()).min()
    }
}

impl Activity {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.quieter.notify_waiters();
        changed
    }

    /// Ready at the next change after this call.
    pub(crate) fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.quieter).notified_owned()
    }

    pub(crate) fn rest(&self, now: Timestamp) -> Rest {
        let state = self.state();
        let next = state.next_due();
        let busy = state.working > 0 || state.alarms.values().any(|face| *face == Face::Up);
        if busy || next.is_some_and(|next| next <= now) { Rest::Busy } else { Rest::Until(next) }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.state().next_due()
    }

    /// Somebody waits for a moment; `in_work`: in the middle of a [`Work`], which rests for as long.
    pub(crate) fn await_moment(self: &Arc<Self>, at: Timestamp, in_work: bool) -> Awaited {
        self.change(|state| {
            *state.awaited.entry(at).or_default() += 1;
            state.working = state.working.saturating_sub(usize::from(in_work));
        });
        Awaited { activity: Arc::clone(self), at, in_work }
    }

    pub(crate) fn add_alarm(&self) -> u64 {
        let mut state = self.state();
        let number = state.next_alarm;
        state.next_alarm += 1;
        state.alarms.insert(number, Face::Up);
        number
    }

    pub(crate) fn remove_alarm(&self, number: u64) {
        self.change(|state| state.alarms.remove(&number));
    }

    pub(crate) fn alarm_is_up(&self, number: u64) {
        self.state().alarms.insert(number, Face::Up);
    }

    /// Its loop waits, unless it was `rung` meanwhile. Who rings notes that first and then says that it is up.
    pub(crate) fn alarm_waits(&self, number: u64, until: Option<Timestamp>, rung: &AtomicBool) {
        self.change(|state| {
            if !rung.load(Ordering::Acquire) {
                state.alarms.insert(number, Face::Waits(until));
            }
        });
    }
}

/// Counts one who waits, for as long as it lives.
pub(crate) struct Awaited {
    activity: Arc<Activity>,
    at: Timestamp,
    in_work: bool,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.activity.change(|state| {
            if let Some(count) = state.awaited.get_mut(&self.at) {
                *count -= 1;
                if *count == 0 {
                    state.awaited.remove(&self.at);
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
    async fn work_is_waited_for_but_not_while_it_sleeps() {
        let (clock, hand) = Clock::manual(Timestamp(0));
        assert_eq!(hand.rest(), Rest::Until(None));
        let working = tokio::spawn({
            let (clock, work) = (clock.clone(), clock.work());
            async move {
                let _work = work;
                clock.sleep_in_work_until(Timestamp(100)).await;
            }
        });
        assert_eq!(hand.rest(), Rest::Busy);
        assert_eq!(hand.resting().await, Rest::Until(Some(Timestamp(100))));
        hand.set(Timestamp(100));
        // Until the sleeper has woken its moment is one that has come.
        assert_eq!(hand.rest(), Rest::Busy);
        working.await.unwrap();
        assert_eq!(hand.rest(), Rest::Until(None));
    }
}
