//! The handle through which the rest of the daemon configures schedules, reads their progress, and
//! fires one manually.

use crate::configured::{ConfiguredSchedule, Counts, Target, member_zones};
use crate::firing;
use crate::policy::{self, ActiveZone};
use crate::schedule::{Schedule, Zones};
use crate::scheduler::Scheduler;
use crate::zone::Zone;
use beadle_clock::{Alarm, Clock};
use beadle_model::{EventId, PluginNo, Timestamp};
use beadle_pipeline::SubscriptionsReceiver;
use beadle_store::{Store, StoreError};
use std::sync::Arc;
use tokio::sync::watch;

/// The running schedules. Cheap to clone.
#[derive(Clone)]
pub struct Schedules {
    store: Store,
    clock: Clock,
    alarm: Alarm,
    configuration: Arc<watch::Sender<Arc<[Arc<Schedule>]>>>,
    published: watch::Receiver<Arc<[Arc<ConfiguredSchedule>]>>,
    counts: Arc<Counts>,
}

impl Schedules {
    /// Creates the handle, and the loop state for [`crate::run`]. `alarm` is the loop's alarm.
    pub fn new(
        store: Store,
        clock: Clock,
        alarm: Alarm,
        subscriptions: SubscriptionsReceiver,
        schedules: Vec<Arc<Schedule>>,
    ) -> (Self, Scheduler) {
        let (configuration, configurations) = watch::channel(schedules.into());
        let (publish, published) = watch::channel(Arc::default());
        let counts = Arc::<Counts>::default();
        let scheduler =
            Scheduler::new(store.clone(), clock.clone(), subscriptions, configurations, publish, Arc::clone(&counts));
        let configuration = Arc::new(configuration);
        (Self { store, clock, alarm, configuration, published, counts }, scheduler)
    }

    /// Replaces the configuration. Entries that are unchanged are not touched.
    pub fn configure(&self, schedules: Vec<Arc<Schedule>>) {
        let changed = self.configuration.send_if_modified(|current| {
            let differs = **current != *schedules;
            if differs {
                *current = schedules.into();
            }
            differs
        });
        if changed {
            self.alarm.ring();
        }
    }

    /// Returns when the configuration that the handle was created with has taken effect.
    pub async fn started(&self) {
        // The handle's own receiver is never marked as seen, so a publication before this call
        // counts too.
        let _ = self.published.clone().changed().await;
    }

    /// All schedules, in configuration order.
    pub fn all(&self) -> Arc<[Arc<ConfiguredSchedule>]> {
        Arc::clone(&self.published.borrow())
    }

    /// The schedule with this name.
    pub fn find(&self, name: &str) -> Option<Arc<ConfiguredSchedule>> {
        self.published.borrow().iter().find(|configured| configured.schedule.name.as_ref() == name).cloned()
    }

    /// Counters since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The zones in which a schedule fires at present. Blocks while it reads the zones of members.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn active_zones(&self, schedule: &Schedule) -> Result<Vec<ActiveZone>, StoreError> {
        let of_members = match &schedule.zones {
            Zones::One(_) => Vec::new(),
            Zones::Members(home) => member_zones(&self.store.reader().member_zones()?, home),
        };
        Ok(policy::active_zones(schedule, &of_members))
    }

    /// Fires a schedule now for these plugins, outside its plan. Returns the events.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn fire(
        &self,
        configured: &ConfiguredSchedule,
        zones: &[Zone],
        plugins: &[PluginNo],
    ) -> Result<Vec<EventId>, StoreError> {
        let now = self.clock.now();
        let targets = configured.targets.iter().filter(|target| plugins.contains(&target.plugin));
        let rows = targets.map(|target| firing::manual(configured, target, zones, now)).collect();
        self.store.run_schedules_now(rows).await
    }

    /// When a target is due next; `None` if the schedule is disabled or has no further planned
    /// time.
    pub fn next_due(
        &self,
        configured: &ConfiguredSchedule,
        target: &Target,
        zones: &[ActiveZone],
    ) -> Option<Timestamp> {
        let schedule = &configured.schedule;
        let next = || policy::next_due(schedule, zones, self.store.install(), target.decided_until());
        schedule.enabled.then(next).flatten()
    }
}
