//! What the rest of Beadle holds of the schedules: to configure them, to see how they stand, to have one fire now.

use super::{Keeper, Present, events};
use crate::policy::{self, Area};
use crate::schedule::{Schedule, Zones};
use crate::zone::Zone;
use beadle_clock::{Alarm, Clock};
use beadle_model::{EventId, PluginNo, Timestamp};
use beadle_store::schedules::Tally;
use beadle_store::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use tokio::sync::watch;

/// The schedules that run. Cheap to clone.
#[derive(Clone)]
pub struct Schedules {
    store: Store,
    clock: Clock,
    bell: Alarm,
    configured: Arc<watch::Sender<Arc<[Arc<Schedule>]>>>,
    shown: watch::Receiver<Arc<[Arc<Kept>]>>,
    counts: Arc<Counts>,
}

/// A schedule that is configured, and how far it is.
#[derive(Debug)]
pub struct Kept {
    /// As configured.
    pub schedule: Arc<Schedule>,
    /// Its number in the store.
    pub no: i64,
    /// What each plugin has of it.
    pub shares: Vec<Share>,
}

/// A plugin's share of a schedule.
#[derive(Debug)]
pub struct Share {
    /// Its number.
    pub plugin: PluginNo,
    /// Its name.
    pub name: Arc<str>,
    until: AtomicI64,
}

impl Share {
    pub(super) fn new(plugin: PluginNo, name: Arc<str>, until: Timestamp) -> Self {
        Self { plugin, name, until: AtomicI64::new(until.as_ms()) }
    }

    /// Every moment up to here is decided.
    pub fn until(&self) -> Timestamp {
        Timestamp(self.until.load(Relaxed))
    }

    pub(super) fn move_to(&self, until: Timestamp) {
        self.until.store(until.as_ms(), Relaxed);
    }
}

/// Moments that were decided since the start, by what became of them; they only grow.
#[derive(Debug, Default)]
pub struct Counts {
    fired: AtomicU64,
    caught_up: AtomicU64,
    skipped: AtomicU64,
    missed: AtomicU64,
}

impl Counts {
    pub(super) fn add(&self, tally: Tally) {
        let Tally { fired, caught_up, skipped, missed } = tally;
        for (count, more) in
            [(&self.fired, fired), (&self.caught_up, caught_up), (&self.skipped, skipped), (&self.missed, missed)]
        {
            count.fetch_add(more, Relaxed);
        }
    }

    /// By name.
    pub fn read(&self) -> [(&'static str, u64); 4] {
        [
            ("fired", self.fired.load(Relaxed)),
            ("caught-up", self.caught_up.load(Relaxed)),
            ("skipped", self.skipped.load(Relaxed)),
            ("missed", self.missed.load(Relaxed)),
        ]
    }
}

impl Schedules {
    /// Both sides: everybody's, and the loop's for [`crate::run`]. `bell` is the loop's alarm.
    pub fn new(
        store: Store,
        clock: Clock,
        bell: Alarm,
        present: Present,
        schedules: Vec<Arc<Schedule>>,
    ) -> (Self, Keeper) {
        let (configured, configurations) = watch::channel(schedules.into());
        let (show, shown) = watch::channel(Arc::default());
        let counts = Arc::<Counts>::default();
        let keeper = Keeper::new(store.clone(), clock.clone(), present, configurations, show, Arc::clone(&counts));
        let configured = Arc::new(configured);
        (Self { store, clock, bell, configured, shown, counts }, keeper)
    }

    /// From now on these hold. What is the same as before is not touched.
    pub fn configure(&self, schedules: Vec<Arc<Schedule>>) {
        let changed = self.configured.send_if_modified(|now| {
            let other = **now != *schedules;
            if other {
                *now = schedules.into();
            }
            other
        });
        if changed {
            self.bell.ring();
        }
    }

    /// All of them, as the configuration has them.
    pub fn all(&self) -> Arc<[Arc<Kept>]> {
        Arc::clone(&self.shown.borrow())
    }

    /// The one of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Kept>> {
        self.shown.borrow().iter().find(|kept| kept.schedule.name.as_ref() == name).cloned()
    }

    /// What was decided since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Where a schedule fires today. Blocks while it asks where members live.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn areas(&self, schedule: &Schedule) -> Result<Vec<Area>, StoreError> {
        let of_members = match &schedule.zones {
            Zones::One(_) => Vec::new(),
            Zones::Members(home) => areas_of(&self.store.reader().member_zones()?, home),
        };
        Ok(policy::areas(schedule, &of_members))
    }

    /// Fires a schedule now, because a person says so, for these of its plugins; the events that it became.
    ///
    /// # Errors
    /// Where the store does not write.
    pub async fn fire(&self, kept: &Kept, zones: &[Zone], to: &[PluginNo]) -> Result<Vec<EventId>, StoreError> {
        let now = self.clock.now();
        let shares = kept.shares.iter().filter(|share| to.contains(&share.plugin));
        self.store.fire_by_hand(shares.map(|share| events::by_hand(kept, share, zones, now)).collect()).await
    }

    /// When a share is due next; none where it never is, or is not to be.
    pub fn next_due(&self, kept: &Kept, share: &Share, areas: &[Area]) -> Option<Timestamp> {
        let next = || policy::next_due(&kept.schedule, areas, self.store.install(), share.until());
        kept.schedule.enabled.then(next).flatten()
    }
}

/// The zones of members, each once and in order; those that are not known count as home.
pub(super) fn areas_of(zones: &[(Option<String>, Timestamp)], home: &Zone) -> Vec<Area> {
    let mut areas: BTreeMap<Arc<str>, Area> = BTreeMap::new();
    for (name, since) in zones {
        let zone = name.as_deref().and_then(Zone::named).unwrap_or_else(|| home.clone());
        let area = areas.entry(Arc::clone(zone.name())).or_insert(Area { zone, since: *since });
        area.since = area.since.min(*since);
    }
    areas.into_values().collect()
}
