//! A plugin's seat: what stays when its revisions come and go.
//!
//! Lanes, handlings and the roster hold on to the seat; which revision sits in it is looked up anew for each try. So a
//! reload changes what runs and not the order in which it runs: event n+1 of a lane waits for event n whichever revision
//! has it. A call that has begun is ended by the revision that began it.
//!
//! Each try holds the seat from its call to its commit. Whoever has to change a plugin's state together with its code
//! takes the whole seat for that time ([`Seat::pause`]): tries that run are waited for, new ones wait.
//!
//! A revision *on probation* has the one before it beside it, warm. What the new one fails is given to the old one at
//! once, in its place; only a failure that the old one does not share counts against the new one. What follows from too
//! many is decided by whoever keeps the seat (`catalog`), who is rung.

use beadle_model::{EventKind, PluginNo, effect::StateWrite};
use beadle_sandbox::{Handled, LogLine, Plugin, Usage};
use serde::Serialize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Notify, OwnedRwLockWriteGuard};

/// A plugin, whatever its revision.
pub struct Seat {
    name: Arc<str>,
    no: PluginNo,
    serving: RwLock<Serving>,
    /// Tries run side by side under a read lock, from call to commit. Taken whole by one that was three times too late
    /// with its reads, and by a change of code and state together.
    pub(crate) tries: Arc<tokio::sync::RwLock<()>>,
    spent: Mutex<Spent>,
}

/// What sits in a seat.
#[derive(Clone)]
pub struct Serving {
    /// What runs.
    pub plugin: Arc<Plugin>,
    /// While it is new.
    pub probation: Option<Arc<Probation>>,
}

/// The time in which a new revision has the one before it beside it.
pub struct Probation {
    before: Arc<Plugin>,
    well: AtomicU32,
    failed: AtomicU32,
    enough: u32,
    bell: Arc<Notify>,
}

impl Probation {
    /// `before` stands in where the new one fails; `bell` is rung at each such failure, and when `enough` tries went well.
    pub fn new(before: Arc<Plugin>, enough: u32, bell: Arc<Notify>) -> Self {
        Self { before, well: AtomicU32::new(0), failed: AtomicU32::new(0), enough, bell }
    }

    /// The revision before it.
    pub fn before(&self) -> &Arc<Plugin> {
        &self.before
    }

    /// Tries that went well.
    pub fn well(&self) -> u32 {
        self.well.load(Ordering::Relaxed)
    }

    /// Tries that the new revision failed and the old one did not.
    pub fn failed(&self) -> u32 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn went_well(&self) {
        if self.well.fetch_add(1, Ordering::Relaxed) + 1 == self.enough {
            self.bell.notify_one();
        }
    }

    pub(crate) fn was_stood_in_for(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.bell.notify_one();
    }
}

/// The seat, whole: no try of this plugin runs while it lives.
pub struct Paused(#[expect(dead_code, reason = "held for its end")] OwnedRwLockWriteGuard<()>);

/// What a plugin used since it was loaded, against which its limits can be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Calls.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// CPU in all.
    pub cpu_us: u64,
    /// CPU of the call that took most.
    pub most_cpu_us: u64,
    /// Time of the call that took longest.
    pub most_wall_us: u64,
    /// Memory of the largest instance.
    pub most_memory_bytes: u64,
    /// Effects of the call that asked for most.
    pub most_effects: u64,
    /// The largest value that it wrote.
    pub most_value_bytes: u64,
    /// The most that a call wrote to the log.
    pub most_log_bytes: u64,
}

impl Seat {
    /// With this in it.
    pub fn new(plugin: Arc<Plugin>) -> Self {
        Self {
            name: Arc::clone(plugin.name()),
            no: plugin.no(),
            serving: RwLock::new(Serving { plugin, probation: None }),
            tries: Arc::default(),
            spent: Mutex::default(),
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

    /// What sits here now.
    pub fn serving(&self) -> Serving {
        self.serving.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what sits here wants such events.
    pub fn exports(&self, kind: EventKind) -> bool {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        serving.plugin.subscriptions().contains(&kind)
    }

    /// From now on tries go to this one; those that run are ended by the one that began them. The roster has to be made
    /// anew where the events that it exports are others.
    pub fn seat(&self, serving: Serving) {
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) = serving;
    }

    /// Waits for the tries that run, and holds back new ones for as long as the answer lives.
    pub async fn pause(&self) -> Paused {
        Paused(Arc::clone(&self.tries).write_owned().await)
    }

    /// What it used so far.
    pub fn spent(&self) -> Spent {
        *self.spent_now()
    }

    fn spent_now(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more call.
    pub(crate) fn called(&self, usage: &Usage, handled: Option<&Handled>, log: &[LogLine]) {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut spent = self.spent_now();
        spent.calls += 1;
        spent.cpu_us += usage.cpu_us;
        spent.most_cpu_us = spent.most_cpu_us.max(usage.cpu_us);
        spent.most_wall_us = spent.most_wall_us.max(usage.wall_us);
        spent.most_memory_bytes = spent.most_memory_bytes.max(wide(usage.memory_bytes));
        spent.most_log_bytes = spent.most_log_bytes.max(wide(log.iter().map(|line| line.text.len()).sum()));
        let Some(Handled { effects, .. }) = handled else {
            spent.failed += 1;
            return;
        };
        let asked = effects.state.len() + effects.timers.len() + effects.sends.len();
        spent.most_effects = spent.most_effects.max(wide(asked));
        for write in &effects.state {
            if let StateWrite::Set { value, .. } = write {
                spent.most_value_bytes = spent.most_value_bytes.max(wide(value.len()));
            }
        }
    }
}
