//! A schedule with its progress for each plugin: what the scheduler publishes and everyone else
//! reads.

use crate::policy::ActiveZone;
use crate::schedule::Schedule;
use crate::zone::Zone;
use beadle_model::{PluginNo, Timestamp};
use beadle_store::schedules::FiringCounts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A configured schedule and its progress.
#[derive(Debug)]
pub struct ConfiguredSchedule {
    /// The configuration entry.
    pub schedule: Arc<Schedule>,
    /// Its number in the store.
    pub no: i64,
    /// One for each plugin that it names.
    pub targets: Vec<Target>,
}

/// A plugin that a schedule fires for, with its own progress: a plugin that was unavailable catches
/// up by itself.
#[derive(Debug)]
pub struct Target {
    /// The plugin's number.
    pub plugin: PluginNo,
    /// The plugin's name.
    pub name: Arc<str>,
    decided_until: AtomicI64,
}

impl Target {
    pub(crate) fn new(plugin: PluginNo, name: Arc<str>, decided_until: Timestamp) -> Self {
        Self { plugin, name, decided_until: AtomicI64::new(decided_until.as_ms()) }
    }

    /// Every planned time up to and including this one has been fired, skipped or missed.
    pub fn decided_until(&self) -> Timestamp {
        Timestamp(self.decided_until.load(Relaxed))
    }

    pub(crate) fn set_decided_until(&self, until: Timestamp) {
        self.decided_until.store(until.as_ms(), Relaxed);
    }
}

/// Counters of decided planned times since the start, by outcome.
#[derive(Debug, Default)]
pub struct Counts {
    fired: AtomicU64,
    caught_up: AtomicU64,
    skipped: AtomicU64,
    missed: AtomicU64,
}

impl Counts {
    pub(crate) fn add(&self, tally: FiringCounts) {
        let FiringCounts { fired, caught_up, skipped, missed } = tally;
        for (counter, increment) in
            [(&self.fired, fired), (&self.caught_up, caught_up), (&self.skipped, skipped), (&self.missed, missed)]
        {
            counter.fetch_add(increment, Relaxed);
        }
    }

    /// The current values by name.
    pub fn read(&self) -> [(&'static str, u64); 4] {
        [
            ("fired", self.fired.load(Relaxed)),
            ("caught-up", self.caught_up.load(Relaxed)),
            ("skipped", self.skipped.load(Relaxed)),
            ("missed", self.missed.load(Relaxed)),
        ]
    }
}

/// The distinct zones of members, in name order. Unknown and invalid names count as `home`.
pub(crate) fn member_zones(zones: &[(Option<String>, Timestamp)], home: &Zone) -> Vec<ActiveZone> {
    let mut active: BTreeMap<Arc<str>, ActiveZone> = BTreeMap::new();
    for (name, since) in zones {
        let zone = name.as_deref().and_then(Zone::named).unwrap_or_else(|| home.clone());
        let entry = active.entry(Arc::clone(zone.name())).or_insert(ActiveZone { zone, since: *since });
        entry.since = entry.since.min(*since);
    }
    active.into_values().collect()
}
