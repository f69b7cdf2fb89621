//! A plugin's slot: what stays when its revisions come and go.
//!
//! Lanes, handlings and subscriptions refer to the slot, and each attempt looks up the active
//! revision. So a reload changes what runs and not the order in which it runs: event n+1 of a lane
//! waits for event n whichever revision handles it. A call is ended by the revision that began it.
//! Each attempt holds the slot from its call to its commit; a change of code and state together
//! takes the whole slot ([`PluginSlot::pause`]): running attempts are awaited, new ones wait
//! (docs/design.md#reload).
//!
//! The slot also knows whether its plugin is called ([`Availability`]) and the resources that it
//! used. A vacant slot knows only the plugin's name and events; its events are kept. The catalog,
//! which `wake` wakes, decides what follows from a failed probation or a suspension.

mod probation;
mod usage;

pub use probation::Probation;
pub use usage::SlotUsage;

use crate::admission::Amount;
use crate::breaker::{Breaker, Transition};
use crate::lane::LaneKey;
use crate::policy::{Availability, Failure, Suspension};
use beadle_model::{EventKind, PluginNo, Timestamp};
use beadle_sandbox::{Handled, LogLine, Plugin, Usage};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, watch};

/// A plugin, independent of its revision.
pub struct PluginSlot {
    name: Arc<str>,
    no: PluginNo,
    occupant: RwLock<Occupant>,
    /// Attempts run side by side under a read lock, from call to commit.
    attempts: Arc<tokio::sync::RwLock<()>>,
    usage: Mutex<SlotUsage>,
    breaker: Mutex<Breaker>,
    /// Sent whenever the availability changed, except by time passing.
    changed: watch::Sender<()>,
    /// Events in lanes that wait for this plugin alone.
    held: Mutex<Amount>,
    /// Notified when the availability changed because of failures or successes.
    wake: Arc<Notify>,
}

enum Occupant {
    Active(ActiveRevision),
    /// No revision is loaded; the events that it is known to subscribe to.
    Vacant(BTreeSet<EventKind>),
}

/// The revision that new attempts use.
#[derive(Clone)]
pub struct ActiveRevision {
    /// What runs.
    pub plugin: Arc<Plugin>,
    /// While it is new.
    pub probation: Option<Arc<Probation>>,
}

/// The whole slot: no attempt of this plugin runs until it is dropped.
pub struct SlotPause(#[expect(dead_code, reason = "held for its end")] OwnedRwLockWriteGuard<()>);

/// Counts an event that waits for one plugin alone until it is dropped.
pub(crate) struct Held(Arc<PluginSlot>, usize);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.lock().remove(self.1);
    }
}

/// An attempt's hold on the slot, from its call to its commit.
pub(crate) enum AttemptHold {
    /// Concurrently with other attempts.
    Shared(#[expect(dead_code, reason = "held for its end")] OwnedRwLockReadGuard<()>),
    /// Alone.
    Exclusive(#[expect(dead_code, reason = "held for its end")] OwnedRwLockWriteGuard<()>),
}

impl PluginSlot {
    /// A slot with an active revision. `wake` is notified when the availability changes because of
    /// its handlings.
    pub fn new(plugin: Arc<Plugin>, wake: Arc<Notify>) -> Self {
        let (name, no) = (Arc::clone(plugin.name()), plugin.no());
        Self::with(name, no, Occupant::Active(ActiveRevision { plugin, probation: None }), wake)
    }

    /// A suspended slot without a revision: the events in `subscribed` are kept for it.
    pub fn vacant(
        name: &str,
        no: PluginNo,
        subscribed: BTreeSet<EventKind>,
        suspension: Suspension,
        wake: Arc<Notify>,
    ) -> Self {
        let slot = Self::with(name.into(), no, Occupant::Vacant(subscribed), wake);
        slot.suspend(suspension);
        slot
    }

    fn with(name: Arc<str>, no: PluginNo, occupant: Occupant, wake: Arc<Notify>) -> Self {
        Self {
            name,
            no,
            occupant: RwLock::new(occupant),
            attempts: Arc::default(),
            usage: Mutex::default(),
            breaker: Mutex::default(),
            changed: watch::Sender::new(()),
            held: Mutex::default(),
            wake,
        }
    }

    /// The plugin's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its number in the store.
    pub fn no(&self) -> PluginNo {
        self.no
    }

    /// The active revision, unless the slot is vacant.
    pub fn active(&self) -> Option<ActiveRevision> {
        match &*self.occupant.read() {
            Occupant::Active(active) => Some(active.clone()),
            Occupant::Vacant(_) => None,
        }
    }

    /// The events that the active revision subscribes to, or is known to.
    pub fn subscribed(&self) -> BTreeSet<EventKind> {
        match &*self.occupant.read() {
            Occupant::Active(active) => active.plugin.subscriptions().iter().copied().collect(),
            Occupant::Vacant(subscribed) => subscribed.clone(),
        }
    }

    /// Gives this revision to new attempts; running attempts end with the revision that began them.
    /// Earlier failures are forgotten. The caller must publish the subscriptions again.
    pub fn activate(&self, revision: ActiveRevision) {
        *self.occupant.write() = Occupant::Active(revision);
        self.resume();
    }

    /// Ends the probation of the active revision.
    pub fn end_probation(&self) {
        if let Occupant::Active(active) = &mut *self.occupant.write() {
            active.probation = None;
        }
    }

    /// Waits for running attempts, and holds back new ones for as long as the answer lives.
    pub async fn pause(&self) -> SlotPause {
        SlotPause(Arc::clone(&self.attempts).write_owned().await)
    }

    /// Waits for permission to run an attempt: concurrently with others, or alone.
    pub(crate) async fn hold_for_attempt(&self, alone: bool) -> AttemptHold {
        match alone {
            false => AttemptHold::Shared(Arc::clone(&self.attempts).read_owned().await),
            true => AttemptHold::Exclusive(Arc::clone(&self.attempts).write_owned().await),
        }
    }

    /// The resources that it used.
    pub fn usage(&self) -> SlotUsage {
        *self.usage.lock()
    }

    /// Counts a call.
    pub(crate) fn called(&self, usage: &Usage, handled: Option<&Handled>, log: &[LogLine]) {
        self.usage.lock().add(usage, handled, log);
    }

    /// Counts one more event that waits for this plugin alone, with the size of its body; `None` if
    /// `most` do already.
    pub(crate) fn hold_event(self: &Arc<Self>, bytes: usize, most: Amount) -> Option<Held> {
        let mut held = self.held.lock();
        if held.is_full(most) {
            return None;
        }
        held.add(bytes);
        Some(Held(Arc::clone(self), bytes))
    }
}

/// Permission to call a plugin with one event. Where it is the trial after a rest, its outcome
/// decides whether the rest is over; dropped without an outcome, the next event is the trial.
pub(crate) struct Permit {
    slot: Arc<PluginSlot>,
    trial: AtomicBool,
}

impl Permit {
    /// For a person's retry: regardless of the availability, and not a trial.
    pub fn unconditional(slot: &Arc<PluginSlot>) -> Self {
        Self { slot: Arc::clone(slot), trial: AtomicBool::new(false) }
    }

    /// Whether it is a trial without an outcome.
    pub fn is_trial(&self) -> bool {
        self.trial.load(Ordering::Relaxed)
    }

    /// An attempt succeeded. `counts`: see [`Breaker::succeeded`].
    pub fn succeeded(&self, lane: LaneKey, counts: bool) {
        let trial = self.trial.swap(false, Ordering::Relaxed);
        let is_available_again = self.slot.breaker.lock().succeeded(lane, counts, trial);
        if is_available_again {
            tracing::info!(plugin = %self.slot.name, "plugin available again");
            self.slot.notify();
        }
    }

    /// An attempt failed by the plugin's own fault. `counts`: see [`Breaker::failed`].
    pub fn failed(&self, lane: LaneKey, counts: bool, failure: &Failure, now: Timestamp) {
        let trial = self.trial.swap(false, Ordering::Relaxed);
        let transition = self.slot.breaker.lock().failed(lane, counts, trial, failure, now);
        let (plugin, code, error) = (&self.slot.name, failure.code, &failure.error);
        match transition {
            None => return,
            Some(Transition::Rested(until)) => tracing::warn!(%plugin, code, %until, error, "plugin rests"),
            Some(Transition::Suspended) => tracing::error!(%plugin, code, error, "plugin suspended"),
        }
        self.slot.notify();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.trial.swap(false, Ordering::Relaxed) {
            self.slot.breaker.lock().undecided();
            self.slot.changed.send_replace(());
        }
    }
}

impl PluginSlot {
    /// Whether its plugin is called.
    pub fn availability(&self) -> Availability {
        self.breaker.lock().availability().clone()
    }

    /// Whether only a person or a new revision can make it available again.
    pub fn is_out_of_service(&self) -> bool {
        self.breaker.lock().availability().is_out_of_service()
    }

    /// The plugin is not called until [`PluginSlot::resume`] or another revision.
    pub fn suspend(&self, suspension: Suspension) {
        self.breaker.lock().suspend(suspension);
        self.changed.send_replace(());
    }

    /// The plugin is called again, and earlier failures are forgotten.
    pub fn resume(&self) {
        *self.breaker.lock() = Breaker::default();
        self.changed.send_replace(());
    }

    /// The plugin is no longer called: dispatched events are kept or passed over.
    pub fn disable(&self) {
        self.breaker.lock().disable();
        self.changed.send_replace(());
    }

    /// Asks to call the plugin once.
    pub(crate) fn acquire(self: &Arc<Self>, now: Timestamp) -> Result<Permit, Availability> {
        let trial = AtomicBool::new(self.breaker.lock().acquire(now)?);
        Ok(Permit { slot: Arc::clone(self), trial })
    }

    /// Changes whenever the availability changes, except by time passing.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// An event of this lane was given up.
    pub(crate) fn gave_up(&self, lane: LaneKey) {
        let mut breaker = self.breaker.lock();
        let was_poisoned = breaker.is_poisoned(lane);
        let count = breaker.gave_up(lane);
        if !was_poisoned && breaker.is_poisoned(lane) {
            tracing::warn!(plugin = %self.name, ?lane, count, "lane keeps failing: one attempt per event");
        }
    }

    /// Whether events of this lane get one attempt each.
    pub(crate) fn is_poisoned(&self, lane: LaneKey) -> bool {
        self.breaker.lock().is_poisoned(lane)
    }

    fn notify(&self) {
        self.changed.send_replace(());
        self.wake.notify_one();
    }
}
