//! Fires configured schedules: which target is due next, and what becomes of each planned time.
//!
//! The in-memory plan is derived from the store and can be rebuilt at any time: every enabled
//! target in an ordered set by its next due time. A step takes the targets that are due, asks
//! `policy` what becomes of their planned times, and commits the result in batches.
//!
//! The plan is rebuilt when the configuration, the subscribed plugins or the zones of members
//! change, when a commit fails, and when the clock is set back. In the last case targets that are
//! ahead of the clock return to the time that it was set to: what already fired has a row in the
//! store and does not fire again, and what was recorded as missed fires at its time. A target whose
//! plugin is unavailable is not in the plan; its planned times are decided when the plugin returns.

use crate::configured::{ConfiguredSchedule, Counts, Target, member_zones};
use crate::firing;
use crate::policy::{self, ActiveZone, Decisions};
use crate::schedule::{Schedule, Zones};
use beadle_clock::Clock;
use beadle_model::event::EventKind;
use beadle_model::{PluginNo, Timestamp};
use beadle_pipeline::SubscriptionsReceiver;
use beadle_store::schedules::{FiringCounts, ScheduleEntry};
use beadle_store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Firings per transaction: about one group commit.
const BATCH: usize = 512;
/// Zones of members are read again when a contact joins or leaves, and at this interval because a
/// number may change. Real time.
const ZONES_INTERVAL: Duration = Duration::from_secs(60);
/// A clock that goes back by less than this is being adjusted; the plan stays.
const CLOCK_SET_BACK_MS: i64 = 1000;
/// An edit applied by a restart takes effect from when the daemon stopped, if that was no longer
/// ago than this, so that planned times in between are not lost.
const RESTART_MS: i64 = 10 * 60_000;
/// When a target is retried whose plugin the store still considers unavailable.
const UNAVAILABLE_RETRY_MS: i64 = 1000;

/// Index into [`Scheduler::schedules`] and into that schedule's targets.
type TargetIndex = (usize, usize);

/// The state of the loop. [`crate::Schedules`] is the handle for everyone else.
pub struct Scheduler {
    store: Store,
    clock: Clock,
    subscriptions: SubscriptionsReceiver,
    /// The plugins in service that were last reported to the store: the timers of others wait.
    in_service: Option<Vec<PluginNo>>,
    configuration: watch::Receiver<Arc<[Arc<Schedule>]>>,
    publish: watch::Sender<Arc<[Arc<ConfiguredSchedule>]>>,
    counts: Arc<Counts>,
    /// The configuration that the store was last brought in line with.
    applied: Option<Arc<[Arc<Schedule>]>>,
    schedules: Arc<[Arc<ConfiguredSchedule>]>,
    due: BTreeSet<(Timestamp, TargetIndex)>,
    available: Vec<PluginNo>,
    member_zones: Vec<ActiveZone>,
    /// When the zones were read, and the store's count of membership changes at that time.
    zones_read_at: Option<(Instant, u64)>,
    /// When `fire_due` last ran: civil time, and monotonic time.
    last_now: (Timestamp, Timestamp),
    /// `due` is out of date.
    must_rebuild: bool,
}

impl Scheduler {
    /// A new one with the same parts, for a loop that starts again. What the old one knew is in the
    /// store.
    pub fn restarted(&self) -> Self {
        let Self { store, clock, subscriptions, configuration, publish, counts, .. } = self;
        let (store, clock, subscriptions) = (store.clone(), clock.clone(), subscriptions.clone());
        Self::new(store, clock, subscriptions, configuration.clone(), publish.clone(), Arc::clone(counts))
    }

    pub(crate) fn new(
        store: Store,
        clock: Clock,
        subscriptions: SubscriptionsReceiver,
        configuration: watch::Receiver<Arc<[Arc<Schedule>]>>,
        publish: watch::Sender<Arc<[Arc<ConfiguredSchedule>]>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            store,
            clock,
            subscriptions,
            in_service: None,
            configuration,
            publish,
            counts,
            applied: None,
            schedules: Arc::default(),
            due: BTreeSet::new(),
            available: Vec::new(),
            member_zones: Vec::new(),
            zones_read_at: None,
            last_now: (Timestamp(i64::MIN), Timestamp(0)),
            must_rebuild: true,
        }
    }

    /// Tells the store which plugins are in service, where that changed. Returns whether the
    /// plugins are known.
    pub(crate) async fn follow_subscriptions(&mut self) -> Result<bool, StoreError> {
        let (is_known, in_service) = {
            let subscriptions = self.subscriptions.borrow_and_update();
            (subscriptions.is_known(), subscriptions.in_service())
        };
        if is_known && self.in_service.as_ref() != Some(&in_service) {
            self.store.set_present_plugins(in_service.clone()).await?;
            self.in_service = Some(in_service);
        }
        Ok(is_known)
    }

    /// Returns when the subscriptions change.
    pub(crate) async fn subscriptions_changed(&mut self) {
        if self.subscriptions.changed().await.is_err() {
            // They are no longer published.
            std::future::pending::<()>().await;
        }
    }

    /// Decides everything that is due and returns the next due time.
    pub(crate) async fn fire_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let (last_now, last_monotonic) = std::mem::replace(&mut self.last_now, (now, self.clock.monotonic()));
        let clock_set_back = last_now.since_ms(now) > CLOCK_SET_BACK_MS;
        // The clock was set to this time or a later one, and what was due since then is not fired.
        let set_back_to = now.plus_ms(-self.last_now.1.since_ms(last_monotonic).max(0));
        let plan_from = if clock_set_back { set_back_to } else { now };
        let available: Vec<PluginNo> =
            self.subscriptions.borrow().of_kind(EventKind::Schedule).map(|subscription| subscription.no()).collect();
        self.must_rebuild |= clock_set_back || available != self.available;
        self.available = available;
        self.apply_configuration(now).await?;
        self.refresh_member_zones(false).await?;
        loop {
            if self.must_rebuild {
                self.rebuild_plan(plan_from);
            }
            match self.due.first() {
                Some((due_at, _)) if *due_at <= now => self.decide_batch(now).await?,
                next => return Ok(next.map(|(due_at, _)| *due_at)),
            }
        }
    }

    /// Brings the store in line with a changed configuration.
    async fn apply_configuration(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let configuration = Arc::clone(&self.configuration.borrow_and_update());
        if self.applied.as_ref().is_some_and(|applied| Arc::ptr_eq(applied, &configuration)) {
            return Ok(());
        }
        self.flush_edited(&configuration, now).await?;
        let edits_apply_from = match self.applied {
            // At the start: see RESTART_MS.
            None => self.store.closed_at().filter(|at| (0..=RESTART_MS).contains(&now.since_ms(*at))).unwrap_or(now),
            Some(_) => now,
        };
        let mut numbers = HashMap::new();
        for plugin in configuration.iter().flat_map(|schedule| &schedule.plugins) {
            if !numbers.contains_key(plugin) {
                numbers.insert(plugin.clone(), self.store.plugin_no(plugin).await?);
            }
        }
        let number = |plugin: &String| numbers.get(plugin).copied();
        let entry = |schedule: &Arc<Schedule>| ScheduleEntry {
            name: schedule.name.as_ref().into(),
            renamed_from: schedule.renamed_from.clone(),
            plan: schedule.plan_hash(),
            plugins: schedule.plugins.iter().filter_map(number).collect(),
        };
        let entries = configuration.iter().map(entry).collect();
        let rows = self.store.configure_schedules(entries, edits_apply_from).await?;
        let names: BTreeMap<PluginNo, &String> = numbers.iter().map(|(name, no)| (*no, name)).collect();
        let target = |(plugin, decided_until): (PluginNo, Timestamp)| {
            let name = names.get(&plugin).map(|name| name.as_str().into()).unwrap_or_default();
            Target::new(plugin, name, decided_until)
        };
        let schedules = configuration.iter().zip(rows).map(|(schedule, row)| {
            let targets = row.plugins.into_iter().map(target).collect();
            Arc::new(ConfiguredSchedule { schedule: Arc::clone(schedule), no: row.no, targets })
        });
        self.schedules = schedules.collect();
        self.publish.send_replace(Arc::clone(&self.schedules));
        self.applied = Some(configuration);
        self.zones_read_at = None;
        self.must_rebuild = true;
        Ok(())
    }

    /// Before an edit replaces a plan, fires what the old plan only held back by jitter. Disabling
    /// a schedule drops it.
    async fn flush_edited(&mut self, next: &[Arc<Schedule>], now: Timestamp) -> Result<(), StoreError> {
        let enabled = next.iter().filter(|schedule| schedule.enabled);
        let plans: HashMap<&str, [u8; 16]> =
            enabled.map(|schedule| (schedule.name.as_ref(), schedule.plan_hash())).collect();
        let is_edited =
            |schedule: &Schedule| plans.get(schedule.name.as_ref()).is_some_and(|plan| *plan != schedule.plan_hash());
        let mut decided = Vec::new();
        for (place, configured) in self.schedules.iter().enumerate() {
            if !configured.schedule.enabled || !is_edited(&configured.schedule) {
                continue;
            }
            let targets = configured.targets.iter().enumerate();
            for (nth, target) in targets.filter(|(_, target)| self.available.contains(&target.plugin)) {
                let decisions = self.decide(configured, target, now, true);
                if !decisions.decided.is_empty() {
                    decided.push(((place, nth), decisions));
                }
            }
        }
        self.commit(decided, now).await
    }

    /// Reads the zones of members, if an enabled schedule needs them and they may have changed.
    async fn refresh_member_zones(&mut self, force: bool) -> Result<(), StoreError> {
        let home = self.schedules.iter().find_map(|configured| match &configured.schedule.zones {
            Zones::Members(home) if configured.schedule.enabled => Some(home.clone()),
            _ => None,
        });
        let Some(home) = home else { return Ok(()) };
        let changes = self.store.memberships();
        let is_fresh = |(at, then): (Instant, u64)| at.elapsed() < ZONES_INTERVAL && then == changes;
        if !force && self.zones_read_at.is_some_and(is_fresh) {
            return Ok(());
        }
        let reader = self.store.reader();
        let read = tokio::task::spawn_blocking(move || reader.member_zones()).await;
        // The blocking pool is gone only while the daemon shuts down.
        let Ok(names) = read else { return Ok(()) };
        let zones = member_zones(&names?, &home);
        self.zones_read_at = Some((Instant::now(), changes));
        self.must_rebuild |= zones != self.member_zones;
        self.member_zones = zones;
        Ok(())
    }

    /// Computes the next due time of every target, from `from` for targets that are ahead of it.
    fn rebuild_plan(&mut self, from: Timestamp) {
        let mut due = BTreeSet::new();
        for (place, configured) in
            self.schedules.iter().enumerate().filter(|(_, configured)| configured.schedule.enabled)
        {
            let zones = policy::active_zones(&configured.schedule, &self.member_zones);
            let targets = configured.targets.iter().enumerate();
            for (nth, target) in targets.filter(|(_, target)| self.available.contains(&target.plugin)) {
                target.set_decided_until(target.decided_until().min(from));
                let install = self.store.install();
                let next = policy::next_due(&configured.schedule, &zones, install, target.decided_until());
                due.extend(next.map(|due_at| (due_at, (place, nth))));
            }
        }
        self.due = due;
        self.must_rebuild = false;
    }

    /// Decides what is due, as much as fits into one transaction.
    async fn decide_batch(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let uses_member_zones = |index: &TargetIndex| {
            self.schedules.get(index.0).is_some_and(|configured| matches!(configured.schedule.zones, Zones::Members(_)))
        };
        // A member who joined since in another zone is due at the same time.
        if self.due.iter().take_while(|(due_at, _)| *due_at <= now).any(|(_, index)| uses_member_zones(index)) {
            self.refresh_member_zones(true).await?;
        }
        let (mut decided, mut firings) = (Vec::new(), 0);
        while let Some((_, index)) = self.due.first().copied().filter(|(due_at, _)| *due_at <= now && firings < BATCH) {
            self.due.pop_first();
            let Some((configured, target)) = self.target(index) else { continue };
            let decisions = self.decide(configured, target, now, false);
            firings += decisions.decided.len();
            decided.push((index, decisions));
        }
        let committed = self.commit(decided, now).await;
        self.must_rebuild |= committed.is_err();
        committed
    }

    fn target(&self, (place, nth): TargetIndex) -> Option<(&ConfiguredSchedule, &Target)> {
        let configured = self.schedules.get(place)?;
        Some((configured, configured.targets.get(nth)?))
    }

    fn decide(&self, configured: &ConfiguredSchedule, target: &Target, now: Timestamp, flush: bool) -> Decisions {
        let zones = policy::active_zones(&configured.schedule, &self.member_zones);
        policy::decide(&configured.schedule, &zones, self.store.install(), target.decided_until(), now, flush)
    }

    /// Writes decisions and moves the progress of their targets.
    async fn commit(&mut self, decided: Vec<(TargetIndex, Decisions)>, now: Timestamp) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for (index, decisions) in &decided {
            let Some((configured, target)) = self.target(*index) else { continue };
            let zones = policy::active_zones(&configured.schedule, &self.member_zones);
            rows.push(firing::planned(configured, target, decisions, &zones, now));
        }
        let tallies = if rows.is_empty() { Vec::new() } else { self.store.fire_schedules(rows, now).await? };
        let mut total = FiringCounts::default();
        for ((index, decisions), tally) in decided.into_iter().zip(tallies) {
            let next_due = match tally {
                Some(tally) => {
                    total += tally;
                    if let Some((_, target)) = self.target(index) {
                        target.set_decided_until(decisions.until);
                    }
                    decisions.next_due
                }
                None => Some(now.plus_ms(UNAVAILABLE_RETRY_MS)),
            };
            self.due.extend(next_due.map(|due_at| (due_at, index)));
        }
        self.counts.add(total);
        if total.missed + total.caught_up > 0 {
            let FiringCounts { missed, caught_up, .. } = total;
            tracing::warn!(missed, caught_up, "planned schedule times had passed before they could fire");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
