//! The schedules that are configured, while the daemon runs: which is due next, for whom, and how far each is.
//!
//! What is in memory is a picture of the store that can be made anew at any time: each plugin's share of each schedule,
//! with the moment up to which everything is decided, in an ordered set by when it is due next. A turn takes those that are
//! due, asks `policy` what becomes of their moments, and has the store make it so, some hundred firings to a transaction.
//!
//! The picture is made anew where the configuration, the plugins that take part or the zones of members are other, and where
//! the clock was set back: then a plan that is ahead of it is taken back to now. What has fired has its row in the store and
//! does not fire again; what a clock that ran ahead took for missed comes in its own time. A plugin that is away has no place in it: what it missed is decided when it is back.

mod events;
mod handle;

pub use handle::{Counts, Kept, Schedules, Share};

use crate::policy::{self, Area, Turn};
use crate::schedule::{Schedule, Zones};
use beadle_clock::Clock;
use beadle_model::{PluginNo, Timestamp};
use beadle_store::schedules::{ScheduleEntry, Tally};
use beadle_store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Which plugins take part now and want such events.
pub type Present = Arc<dyn Fn() -> Vec<PluginNo> + Send + Sync>;

/// Firings in one transaction: one group commit's worth.
const AT_ONCE: usize = 512;
/// The zones of members are asked for when somebody joins or leaves, and this often: a number may have changed. Real time.
const ZONES_EVERY: Duration = Duration::from_secs(60);
/// A clock that goes back by less is being corrected, and nothing that was planned changes by it.
const SET_BACK_MS: i64 = 1000;
/// An edit that came with a restart counts from when the daemon was stopped, if that is no longer ago than this: what was
/// planned for the moments between is not swallowed.
const RESTART_MS: i64 = 10 * 60_000;
/// When a share of which the store says that its plugin is away is looked at again.
const AWAY_MS: i64 = 1000;

/// A share of a schedule, by place in [`Keeper::kept`] and in its own list.
type Place = (usize, usize);

/// The loop's side; [`Schedules`] is everybody else's.
pub struct Keeper {
    store: Store,
    clock: Clock,
    present: Present,
    configured: watch::Receiver<Arc<[Arc<Schedule>]>>,
    show: watch::Sender<Arc<[Arc<Kept>]>>,
    counts: Arc<Counts>,
    /// What was configured when the store was last told.
    applied: Option<Arc<[Arc<Schedule>]>>,
    kept: Arc<[Arc<Kept>]>,
    due: BTreeSet<(Timestamp, Place)>,
    here: Vec<PluginNo>,
    of_members: Vec<Area>,
    /// When they were asked for, and how many had come and gone then.
    zones_at: Option<(Instant, u64)>,
    last_now: Timestamp,
    /// `due` is not what it should be: something that it goes by is other, or a transaction failed.
    must_plan: bool,
}

impl Keeper {
    fn new(
        store: Store,
        clock: Clock,
        present: Present,
        configured: watch::Receiver<Arc<[Arc<Schedule>]>>,
        show: watch::Sender<Arc<[Arc<Kept>]>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            store,
            clock,
            present,
            configured,
            show,
            counts,
            applied: None,
            kept: Arc::default(),
            due: BTreeSet::new(),
            here: Vec::new(),
            of_members: Vec::new(),
            zones_at: None,
            last_now: Timestamp(i64::MIN),
            must_plan: true,
        }
    }

    /// Decides all that is due. Returns when the next thing is.
    pub(crate) async fn turn(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let set_back = self.last_now.since_ms(now) > SET_BACK_MS;
        self.last_now = now;
        let here = (self.present)();
        self.must_plan |= set_back || here != self.here;
        self.here = here;
        self.configure(now).await?;
        self.look_at_zones(false).await?;
        loop {
            if self.must_plan {
                self.plan_anew(now);
            }
            match self.due.first() {
                Some((due_at, _)) if *due_at <= now => self.decide(now).await?,
                next => return Ok(next.map(|(due_at, _)| *due_at)),
            }
        }
    }

    /// Brings the store into line with the configuration, where that is another one.
    async fn configure(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let configured = Arc::clone(&self.configured.borrow_and_update());
        if self.applied.as_ref().is_some_and(|applied| Arc::ptr_eq(applied, &configured)) {
            return Ok(());
        }
        self.let_go_of_edited(&configured, now).await?;
        let from = match self.applied {
            // The first time: see RESTART_MS.
            None => self.store.closed_at().filter(|at| (0..=RESTART_MS).contains(&now.since_ms(*at))).unwrap_or(now),
            Some(_) => now,
        };
        let mut numbers = HashMap::new();
        for plugin in configured.iter().flat_map(|schedule| &schedule.plugins) {
            if !numbers.contains_key(plugin) {
                numbers.insert(plugin.clone(), self.store.plugin_no(plugin).await?);
            }
        }
        let number = |plugin: &String| numbers.get(plugin).copied();
        let entry = |schedule: &Arc<Schedule>| ScheduleEntry {
            name: schedule.name.as_ref().into(),
            renamed_from: schedule.renamed_from.clone(),
            plan: schedule.plan(),
            plugins: schedule.plugins.iter().filter_map(number).collect(),
        };
        let rows = self.store.configure_schedules(configured.iter().map(entry).collect(), from).await?;
        let names: BTreeMap<PluginNo, &String> = numbers.iter().map(|(name, no)| (*no, name)).collect();
        let share = |(plugin, until): (PluginNo, Timestamp)| {
            Share::new(plugin, names.get(&plugin).map(|name| name.as_str().into()).unwrap_or_default(), until)
        };
        let kept = configured.iter().zip(rows).map(|(schedule, row)| {
            let shares = row.plugins.into_iter().map(share).collect();
            Arc::new(Kept { schedule: Arc::clone(schedule), no: row.no, shares })
        });
        self.kept = kept.collect();
        self.show.send_replace(Arc::clone(&self.kept));
        self.applied = Some(configured);
        self.zones_at = None;
        self.must_plan = true;
        Ok(())
    }

    /// What only its jitter held back of a schedule that was edited, and not switched off, fires under the plan that it was
    /// planned by.
    async fn let_go_of_edited(&mut self, next: &[Arc<Schedule>], now: Timestamp) -> Result<(), StoreError> {
        let plans: HashMap<&str, [u8; 16]> = next
            .iter()
            .filter(|schedule| schedule.enabled)
            .map(|schedule| (schedule.name.as_ref(), schedule.plan()))
            .collect();
        let is_edited =
            |schedule: &Schedule| plans.get(schedule.name.as_ref()).is_some_and(|plan| *plan != schedule.plan());
        let was_on = |schedule: &Schedule| schedule.enabled && is_edited(schedule);
        let mut turns = Vec::new();
        for (place, kept) in self.kept.iter().enumerate().filter(|(_, kept)| was_on(&kept.schedule)) {
            for (nth, share) in kept.shares.iter().enumerate().filter(|(_, it)| self.here.contains(&it.plugin)) {
                let turn = self.turn_of(kept, share, now, true);
                if !turn.decided.is_empty() {
                    turns.push(((place, nth), turn));
                }
            }
        }
        self.make_so(turns, now).await
    }

    /// Where members live, where a schedule goes by that.
    async fn look_at_zones(&mut self, must: bool) -> Result<(), StoreError> {
        let home = self.kept.iter().find_map(|kept| match &kept.schedule.zones {
            Zones::Members(home) if kept.schedule.enabled => Some(home.clone()),
            _ => None,
        });
        let Some(home) = home else { return Ok(()) };
        let moved = self.store.memberships();
        let is_fresh = |(at, then): (Instant, u64)| at.elapsed() < ZONES_EVERY && then == moved;
        if !must && self.zones_at.is_some_and(is_fresh) {
            return Ok(());
        }
        let reader = self.store.reader();
        let read = tokio::task::spawn_blocking(move || reader.member_zones()).await;
        // Where that thread is gone we are on our way out.
        let Ok(names) = read else { return Ok(()) };
        let areas = handle::areas_of(&names?, &home);
        self.zones_at = Some((Instant::now(), moved));
        self.must_plan |= areas != self.of_members;
        self.of_members = areas;
        Ok(())
    }

    /// When each share is due next.
    fn plan_anew(&mut self, now: Timestamp) {
        let mut due = BTreeSet::new();
        for (place, kept) in self.kept.iter().enumerate().filter(|(_, kept)| kept.schedule.enabled) {
            let areas = policy::areas(&kept.schedule, &self.of_members);
            for (nth, share) in kept.shares.iter().enumerate().filter(|(_, share)| self.here.contains(&share.plugin)) {
                share.move_to(share.until().min(now));
                let next = policy::next_due(&kept.schedule, &areas, self.store.install(), share.until());
                due.extend(next.map(|due_at| (due_at, (place, nth))));
            }
        }
        self.due = due;
        self.must_plan = false;
    }

    /// Decides what is due now, as much as fits into one transaction.
    async fn decide(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let by_members =
            |place: &Place| self.kept.get(place.0).is_some_and(|kept| matches!(kept.schedule.zones, Zones::Members(_)));
        // Somebody may have joined from elsewhere since, whose own moment has come too.
        if self.due.iter().take_while(|(due_at, _)| *due_at <= now).any(|(_, place)| by_members(place)) {
            self.look_at_zones(true).await?;
        }
        let (mut turns, mut firings) = (Vec::new(), 0);
        while let Some((_, place)) = self.due.first().copied().filter(|(due_at, _)| *due_at <= now && firings < AT_ONCE)
        {
            self.due.pop_first();
            let Some((kept, share)) = self.share(place) else { continue };
            let turn = self.turn_of(kept, share, now, false);
            firings += turn.decided.len();
            turns.push((place, turn));
        }
        let done = self.make_so(turns, now).await;
        self.must_plan |= done.is_err();
        done
    }

    fn share(&self, (place, nth): Place) -> Option<(&Kept, &Share)> {
        let kept = self.kept.get(place)?;
        Some((kept, kept.shares.get(nth)?))
    }

    fn turn_of(&self, kept: &Kept, share: &Share, now: Timestamp, flush: bool) -> Turn {
        let areas = policy::areas(&kept.schedule, &self.of_members);
        policy::turn(&kept.schedule, &areas, self.store.install(), share.until(), now, flush)
    }

    /// Has the store make it so, and notes how far each share is now.
    async fn make_so(&mut self, turns: Vec<(Place, Turn)>, now: Timestamp) -> Result<(), StoreError> {
        let mut shares = Vec::new();
        for (place, turn) in &turns {
            let Some((kept, share)) = self.share(*place) else { continue };
            let areas = policy::areas(&kept.schedule, &self.of_members);
            shares.push(events::share(kept, share, turn, &areas, now));
        }
        let tallies = if shares.is_empty() { Vec::new() } else { self.store.fire_schedules(shares, now).await? };
        let mut all = Tally::default();
        for ((place, turn), tally) in turns.into_iter().zip(tallies) {
            let next_due = match tally {
                Some(tally) => {
                    all += tally;
                    if let Some((_, share)) = self.share(place) {
                        share.move_to(turn.until);
                    }
                    turn.next_due
                }
                None => Some(now.plus_ms(AWAY_MS)),
            };
            self.due.extend(next_due.map(|due_at| (due_at, place)));
        }
        self.counts.add(all);
        if all.missed + all.caught_up > 0 {
            let Tally { missed, caught_up, .. } = all;
            tracing::warn!(
                missed,
                caught_up,
                "Schedules were due while nobody was there to fire them; see `beadle schedules list`."
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
