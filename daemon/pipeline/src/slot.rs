//! A plugin's slot: what stays when its revisions come and go.
//!
//! Lanes, handlings and the roster hold on to the slot; which revision sits in it is looked up anew for each try. So a
//! reload changes what runs and not the order in which it runs: event n+1 of a lane waits for event n whichever revision
//! has it. A call that has begun is ended by the revision that began it.
//!
//! Each try holds the slot from its call to its commit. Whoever has to change a plugin's state together with its code
//! takes the whole slot for that time ([`PluginSlot::pause`]): tries that run are waited for, new ones wait.
//!
//! A revision *on probation* has the one before it beside it, warm. What the new one fails is given to the old one at
//! once, in its place; only a failure that the old one does not share counts against the new one. One that migrated the
//! plugin's state has nobody beside it. What follows from too many is decided by whoever keeps the slot (`catalog`), who
//! is rung.
//!
//! Who sits here and fails again and again rests, and is suspended (`breaker`); so is, from the start, one of whom only
//! the name is known, because loading it is not safe: the slot is *vacant*, and what is for it is kept. One that was
//! switched off, or whose file is gone, is asked no more.

mod health;
mod probation;
mod usage;

pub(crate) use health::Failure;
pub use health::{Availability, Suspension};
pub use probation::Probation;
pub use usage::SlotUsage;

use beadle_model::{EventKind, PluginNo};
use beadle_sandbox::{Handled, LogLine, Plugin, Usage};
use health::Conduct;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{Notify, OwnedRwLockWriteGuard, watch};

/// A plugin, whatever its revision.
pub struct PluginSlot {
    name: Arc<str>,
    no: PluginNo,
    sitting: RwLock<Occupant>,
    /// Tries run side by side under a read lock, from call to commit. Taken whole by one that was three times too late
    /// with its reads, and by a change of code and state together.
    pub(crate) tries: Arc<tokio::sync::RwLock<()>>,
    usage: Mutex<SlotUsage>,
    conduct: Mutex<Conduct>,
    /// Told whenever it may be asked again, or no longer.
    changed: watch::Sender<()>,
    /// Events in lanes that wait for nobody but this plugin.
    held: AtomicUsize,
    /// Rung for whoever keeps the slot.
    bell: Arc<Notify>,
}

/// Who sits here.
enum Occupant {
    Somebody(ActiveRevision),
    /// Nobody; what it is known to want.
    Nobody(BTreeSet<EventKind>),
}

/// What sits in a slot.
#[derive(Clone)]
pub struct ActiveRevision {
    /// What runs.
    pub plugin: Arc<Plugin>,
    /// While it is new.
    pub probation: Option<Arc<Probation>>,
}

/// The slot, whole: no try of this plugin runs while it lives.
pub struct Paused(#[expect(dead_code, reason = "held for its end")] OwnedRwLockWriteGuard<()>);

/// An event that waits for nobody but this plugin, for as long as it lives.
pub(crate) struct Held(Arc<PluginSlot>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PluginSlot {
    /// With this in it. `bell` is rung when its standing changes by itself.
    pub fn new(plugin: Arc<Plugin>, bell: Arc<Notify>) -> Self {
        let (name, no) = (Arc::clone(plugin.name()), plugin.no());
        Self::with(name, no, Occupant::Somebody(ActiveRevision { plugin, probation: None }), bell)
    }

    /// With nobody in it: what is for it is kept, as far as it is known to want it.
    pub fn vacant(
        name: &str,
        no: PluginNo,
        wants: BTreeSet<EventKind>,
        suspension: Suspension,
        bell: Arc<Notify>,
    ) -> Self {
        let slot = Self::with(name.into(), no, Occupant::Nobody(wants), bell);
        slot.suspend(suspension);
        slot
    }

    fn with(name: Arc<str>, no: PluginNo, sitting: Occupant, bell: Arc<Notify>) -> Self {
        Self {
            name,
            no,
            sitting: RwLock::new(sitting),
            tries: Arc::default(),
            usage: Mutex::default(),
            conduct: Mutex::default(),
            changed: watch::Sender::new(()),
            held: AtomicUsize::new(0),
            bell,
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

    fn sitting(&self) -> RwLockReadGuard<'_, Occupant> {
        self.sitting.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What sits here now; none where nobody does.
    pub fn active(&self) -> Option<ActiveRevision> {
        match &*self.sitting() {
            Occupant::Somebody(serving) => Some(serving.clone()),
            Occupant::Nobody(_) => None,
        }
    }

    /// Whether such events are for it.
    pub fn exports(&self, kind: EventKind) -> bool {
        match &*self.sitting() {
            Occupant::Somebody(serving) => serving.plugin.subscriptions().contains(&kind),
            Occupant::Nobody(wants) => wants.contains(&kind),
        }
    }

    /// From now on tries go to this one; those that run are ended by the one that began them. What the one before it did
    /// is not held against it. The roster has to be made anew where the events that it exports are others.
    pub fn activate(&self, serving: ActiveRevision) {
        *self.sitting.write().unwrap_or_else(PoisonError::into_inner) = Occupant::Somebody(serving);
        self.resume();
    }

    /// What sits here is no longer on probation.
    pub fn end_probation(&self) {
        if let Occupant::Somebody(serving) = &mut *self.sitting.write().unwrap_or_else(PoisonError::into_inner) {
            serving.probation = None;
        }
    }

    /// Waits for the tries that run, and holds back new ones for as long as the answer lives.
    pub async fn pause(&self) -> Paused {
        Paused(Arc::clone(&self.tries).write_owned().await)
    }

    /// What it used so far.
    pub fn usage(&self) -> SlotUsage {
        *self.usage_now()
    }

    /// One more event waits for it alone, unless so many do already.
    pub(crate) fn hold(self: &Arc<Self>, most: usize) -> Option<Held> {
        let more = |held: usize| (held < most).then_some(held + 1);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Held(Arc::clone(self)))
    }

    fn usage_now(&self) -> MutexGuard<'_, SlotUsage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more call.
    pub(crate) fn called(&self, usage: &Usage, handled: Option<&Handled>, log: &[LogLine]) {
        self.usage_now().add(usage, handled, log);
    }
}
