//! Schedules: the configured entries, each plugin's progress, and the outcome of each planned time.
//!
//! The scheduler decides outcomes; this module records them in one transaction: the event, its row,
//! and the progress. A planned time that fired has a row, so it does not fire again if the plan is
//! repeated (after the clock was set back or an edit); the key of its event would prevent it too.

use crate::error::StoreError;
use crate::step::EventKey;
use crate::tx::Tx;
use beadle_model::{EventBody, EventId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use std::collections::HashSet;

/// A configured schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// Its name, which identifies it.
    pub name: String,
    /// Its former name (`renamed_from`). Its history moves to the new name unless another entry has
    /// it.
    pub renamed_from: Option<String>,
    /// A hash of what determines its times.
    pub plan: [u8; 16],
    /// The plugins that it fires for.
    pub plugins: Vec<PluginNo>,
}

/// A schedule in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its number, which a renaming keeps.
    pub no: i64,
    /// For each plugin, the time up to which everything is decided.
    pub plugins: Vec<(PluginNo, Timestamp)>,
}

/// The outcome of a planned time. The store keeps the numbers: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FiringOutcome {
    /// Fired on time.
    Fired = 1,
    /// Missed, and fired later.
    CaughtUp = 2,
    /// Skipped, because the previous event was still being handled.
    Skipped = 3,
    /// Missed for good.
    Missed = 4,
    /// Run by an operator, outside the plan.
    Manual = 5,
}

impl FiringOutcome {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            FiringOutcome::Fired => "fired",
            FiringOutcome::CaughtUp => "caught-up",
            FiringOutcome::Skipped => "skipped",
            FiringOutcome::Missed => "missed",
            FiringOutcome::Manual => "manual",
        }
    }

    pub(crate) fn from_number(number: i64) -> Result<Self, StoreError> {
        use FiringOutcome::{CaughtUp, Fired, Manual, Missed, Skipped};
        [Fired, CaughtUp, Skipped, Missed, Manual]
            .into_iter()
            .find(|outcome| *outcome as i64 == number)
            .ok_or_else(|| StoreError::unreadable("a firing", format!("outcome {number}")))
    }
}

/// A planned time and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// The planned time.
    pub planned_at: Timestamp,
    /// The planned time plus jitter.
    pub due_at: Timestamp,
    /// The zone of members that it is for; empty for all.
    pub zone: String,
    /// The outcome. The store changes it to `Skipped` where events overlap.
    pub outcome: FiringOutcome,
    /// The number of planned times that it covers.
    pub moments: u32,
    /// The event, with its key (`None` for a run by an operator); `None` if it does not fire.
    pub event: Option<(Option<EventKey>, EventBody)>,
}

/// The outcomes of one schedule for one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleDecision {
    /// The schedule's number.
    pub schedule: i64,
    /// The plugin.
    pub plugin: PluginNo,
    /// The time up to which everything is decided.
    pub until: Timestamp,
    /// The outcomes in order.
    pub firings: Vec<Firing>,
    /// Whether to skip a firing while the previous event is still being handled.
    pub skip_overlap: bool,
}

/// Planned times by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiringCounts {
    /// Fired on time.
    pub fired: u64,
    /// Missed, and fired later.
    pub caught_up: u64,
    /// Skipped, because the previous event was still being handled.
    pub skipped: u64,
    /// Missed for good.
    pub missed: u64,
}

impl std::ops::AddAssign for FiringCounts {
    fn add_assign(&mut self, more: Self) {
        self.fired += more.fired;
        self.caught_up += more.caught_up;
        self.skipped += more.skipped;
        self.missed += more.missed;
    }
}

impl FiringCounts {
    fn count(&mut self, outcome: FiringOutcome, moments: u32) {
        match outcome {
            FiringOutcome::Fired | FiringOutcome::Manual => self.fired += 1,
            FiringOutcome::CaughtUp => self.caught_up += 1,
            FiringOutcome::Skipped => self.skipped += 1,
            FiringOutcome::Missed => self.missed += u64::from(moments),
        }
    }
}

impl Tx<'_> {
    /// Brings the known schedules in line with these. New, edited and re-added ones start after
    /// `from`.
    pub(crate) fn configure_schedules(
        &self,
        entries: &[ScheduleEntry],
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<ScheduleRow>, StoreError> {
        let names: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let rows: Result<Vec<_>, _> =
            entries.iter().map(|entry| self.configure_schedule(entry, &names, from)).collect();
        let known: Vec<(i64, String)> = self
            .conn
            .prepare_cached("SELECT no, name FROM schedules WHERE removed_at IS NULL")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (no, _) in known.iter().filter(|(_, name)| !names.contains(name.as_str())) {
            self.conn
                .prepare_cached("UPDATE schedules SET removed_at = ?2 WHERE no = ?1")?
                .execute(params![no, now.0])?;
            self.conn.prepare_cached("DELETE FROM schedule_plugins WHERE schedule = ?1")?.execute([no])?;
        }
        rows
    }

    fn configure_schedule(
        &self,
        entry: &ScheduleEntry,
        names: &HashSet<&str>,
        from: Timestamp,
    ) -> Result<ScheduleRow, StoreError> {
        let mut known = self.find_schedule(&entry.name)?;
        if let (None, Some(former)) = (&known, entry.renamed_from.as_deref().filter(|former| !names.contains(former))) {
            known = self.find_schedule(former)?;
            if let Some((no, ..)) = known {
                self.conn
                    .prepare_cached("UPDATE schedules SET name = ?2 WHERE no = ?1")?
                    .execute(params![no, entry.name])?;
            }
        }
        let no = match known {
            Some((no, plan, false)) if plan == entry.plan => no,
            Some((no, ..)) => {
                self.conn
                    .prepare_cached("UPDATE schedules SET plan = ?2, removed_at = NULL WHERE no = ?1")?
                    .execute(params![no, entry.plan])?;
                self.conn
                    .prepare_cached("UPDATE schedule_plugins SET decided_until = ?2 WHERE schedule = ?1")?
                    .execute(params![no, from.0])?;
                no
            }
            None => self
                .conn
                .prepare_cached("INSERT INTO schedules (name, plan) VALUES (?1, ?2)")?
                .insert(params![entry.name, entry.plan])?,
        };
        Ok(ScheduleRow { no, plugins: self.set_schedule_plugins(no, &entry.plugins, from)? })
    }

    /// Its number, its plan, and whether it was removed.
    fn find_schedule(&self, name: &str) -> Result<Option<(i64, [u8; 16], bool)>, StoreError> {
        let mut find =
            self.conn.prepare_cached("SELECT no, plan, removed_at IS NOT NULL FROM schedules WHERE name = ?1")?;
        // A plan that cannot be read counts as an edited one.
        let plan = |row: &Row<'_>| row.get_ref(1).ok()?.as_blob().ok()?.try_into().ok();
        Ok(find.query_row([name], |row| Ok((row.get(0)?, plan(row).unwrap_or_default(), row.get(2)?))).optional()?)
    }

    /// Sets the plugins of a schedule. Returns each with its progress.
    fn set_schedule_plugins(
        &self,
        no: i64,
        plugins: &[PluginNo],
        from: Timestamp,
    ) -> Result<Vec<(PluginNo, Timestamp)>, StoreError> {
        let known: Vec<(PluginNo, Timestamp)> = self
            .conn
            .prepare_cached("SELECT plugin, decided_until FROM schedule_plugins WHERE schedule = ?1")?
            .query_map([no], |row| Ok((PluginNo(row.get(0)?), Timestamp(row.get(1)?))))?
            .collect::<Result<_, _>>()?;
        for (plugin, _) in known.iter().filter(|(plugin, _)| !plugins.contains(plugin)) {
            self.conn
                .prepare_cached("DELETE FROM schedule_plugins WHERE schedule = ?1 AND plugin = ?2")?
                .execute([no, plugin.0])?;
        }
        let mut decisions = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            match known.iter().find(|(known, _)| known == plugin) {
                Some(decision) => decisions.push(*decision),
                None => {
                    self.conn
                        .prepare_cached(
                            "INSERT INTO schedule_plugins (schedule, plugin, decided_until) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![no, plugin.0, from.0])?;
                    decisions.push((*plugin, from));
                }
            }
        }
        Ok(decisions)
    }

    /// Records outcomes: events, rows and progress. Returns the counts per decision; `None` if the
    /// plugin is absent or the schedule is no longer for it, and nothing was recorded.
    pub(crate) fn fire_schedules(
        &mut self,
        decisions: &[ScheduleDecision],
        now: Timestamp,
    ) -> Result<Vec<Option<FiringCounts>>, StoreError> {
        decisions.iter().map(|decision| self.record_decision(decision, now)).collect()
    }

    fn record_decision(
        &mut self,
        decision: &ScheduleDecision,
        now: Timestamp,
    ) -> Result<Option<FiringCounts>, StoreError> {
        let moved = self
            .conn
            .prepare_cached(
                "UPDATE schedule_plugins SET decided_until = ?3 WHERE schedule = ?1 AND plugin = ?2
                 AND plugin NOT IN (SELECT no FROM plugins WHERE absent = 1)",
            )?
            .execute(params![decision.schedule, decision.plugin.0, decision.until.0])?;
        if moved == 0 {
            return Ok(None);
        }
        let mut counts = FiringCounts::default();
        for firing in &decision.firings {
            if let Some((outcome, _)) = self.record_firing(decision, firing, now)? {
                counts.count(outcome, firing.moments);
            }
        }
        Ok(Some(counts))
    }

    /// Records runs by an operator. Returns the events.
    pub(crate) fn run_schedules_now(
        &mut self,
        decisions: &[ScheduleDecision],
        now: Timestamp,
    ) -> Result<Vec<EventId>, StoreError> {
        let mut events = Vec::new();
        for decision in decisions {
            for firing in &decision.firings {
                events.extend(self.record_firing(decision, firing, now)?.and_then(|(_, event)| event));
            }
        }
        Ok(events)
    }

    /// Records one planned time. Returns its outcome and event; `None` if it had an outcome
    /// already.
    fn record_firing(
        &mut self,
        decision: &ScheduleDecision,
        firing: &Firing,
        now: Timestamp,
    ) -> Result<Option<(FiringOutcome, Option<EventId>)>, StoreError> {
        if firing.outcome != FiringOutcome::Manual && !self.is_undecided(decision, firing)? {
            return Ok(None);
        }
        let overlaps = decision.skip_overlap
            && firing.outcome == FiringOutcome::Fired
            && self.is_still_running(decision, &firing.zone)?;
        let outcome = if overlaps { FiringOutcome::Skipped } else { firing.outcome };
        let mut event = None;
        if let (Some((key, body)), false) = (&firing.event, overlaps) {
            if let Some(key) = key
                && self.seen(*key)?
            {
                return Ok(None);
            }
            event = Some(EventId(self.cache.next_event));
            self.append_own(*key, body.clone(), None, (now, now))?;
        }
        self.conn
            .prepare_cached(
                "INSERT INTO firings (schedule, planned_at, due_at, plugin, zone, outcome, decided_at, event, moments)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                decision.schedule,
                firing.planned_at.0,
                firing.due_at.0,
                decision.plugin.0,
                firing.zone,
                outcome as i64,
                now.0,
                event.map(|event| event.0),
                firing.moments,
            ])?;
        Ok(Some((outcome, event)))
    }

    /// Whether a planned time has no outcome yet. One that was missed only because the clock was
    /// ahead counts as new.
    fn is_undecided(&self, decision: &ScheduleDecision, firing: &Firing) -> Result<bool, StoreError> {
        let place = params![decision.schedule, firing.planned_at.0, decision.plugin.0, firing.zone];
        let known: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT outcome FROM firings
                 WHERE schedule = ?1 AND planned_at = ?2 AND plugin = ?3 AND zone = ?4 AND outcome <> 5",
            )?
            .query_row(place, |row| row.get(0))
            .optional()?;
        match known {
            None => Ok(true),
            Some(outcome) if outcome == FiringOutcome::Missed as i64 => {
                self.conn
                    .prepare_cached(
                        "DELETE FROM firings
                         WHERE schedule = ?1 AND planned_at = ?2 AND plugin = ?3 AND zone = ?4 AND outcome = 4",
                    )?
                    .execute(place)?;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    /// Whether the plugin has not finished the previous event.
    fn is_still_running(&self, decision: &ScheduleDecision, zone: &str) -> Result<bool, StoreError> {
        let state: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT events.state FROM firings JOIN events ON events.id = firings.event
                 WHERE firings.schedule = ?1 AND firings.plugin = ?2 AND firings.zone = ?3 ORDER BY firings.id DESC LIMIT 1",
            )?
            .query_row(params![decision.schedule, decision.plugin.0, zone], |row| row.get(0))
            .optional()?;
        Ok(state.is_some_and(|state| state < 2))
    }
}
