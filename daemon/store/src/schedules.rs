//! Schedules: which are configured, how far each plugin is with each, and what became of their planned moments.
//!
//! What is to happen is decided above, by a function that knows patterns and zones. Here it becomes true, in one transaction:
//! the event, the row that tells of it, and how far the plan is. A moment that has fired has its row, so it does not fire
//! again where the plan is gone through once more (a clock that was set back, an edit); its event's key would refuse it too.

use crate::StoreError;
use crate::step::EventKey;
use crate::writer::Tx;
use beadle_model::{EventBody, EventId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};
use std::collections::HashSet;

/// An entry of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// Its identity.
    pub name: String,
    /// The name that it had before, where nothing else is called so now.
    pub renamed_from: Option<String>,
    /// A hash of what decides its moments.
    pub plan: [u8; 16],
    /// For whom it fires.
    pub plugins: Vec<PluginNo>,
}

/// An entry as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its number, which stays when it is renamed.
    pub no: i64,
    /// For each plugin the moment up to which everything is decided.
    pub plugins: Vec<(PluginNo, Timestamp)>,
}

/// What becomes of a planned moment. The numbers are what the store keeps: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FiringOutcome {
    /// It fired.
    Fired = 1,
    /// It was missed, and fired later.
    CaughtUp = 2,
    /// The one before it was still being handled.
    Skipped = 3,
    /// It was missed, and did not fire.
    Missed = 4,
    /// A person had it fire, at no planned time.
    ByHand = 5,
}

impl FiringOutcome {
    /// For people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            FiringOutcome::Fired => "fired",
            FiringOutcome::CaughtUp => "caught-up",
            FiringOutcome::Skipped => "skipped",
            FiringOutcome::Missed => "missed",
            FiringOutcome::ByHand => "by-hand",
        }
    }

    pub(crate) fn from_number(number: i64) -> Result<Self, StoreError> {
        use FiringOutcome::{ByHand, CaughtUp, Fired, Missed, Skipped};
        [Fired, CaughtUp, Skipped, Missed, ByHand]
            .into_iter()
            .find(|outcome| *outcome as i64 == number)
            .ok_or_else(|| StoreError::unreadable("a firing", format!("outcome {number}")))
    }
}

/// A moment, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// When it was to be.
    pub planned_at: Timestamp,
    /// The same with its jitter.
    pub due_at: Timestamp,
    /// The zone of members that it is for; empty where it is for all.
    pub zone: String,
    /// What becomes of it: `Skipped` is found out here.
    pub outcome: FiringOutcome,
    /// Moments that it stands for.
    pub moments: u32,
    /// The event that it becomes, with its key (none for what a person fires); none where it does not fire.
    pub event: Option<(Option<EventKey>, EventBody)>,
}

/// What has come of one schedule for one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The schedule's number.
    pub schedule: i64,
    /// For whom.
    pub plugin: PluginNo,
    /// Everything up to here is decided by it.
    pub until: Timestamp,
    /// In order.
    pub firings: Vec<Firing>,
    /// What fires in its time does not while the one before is still being handled.
    pub skip_overlap: bool,
}

/// Moments that were decided, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Fired in their time.
    pub fired: u64,
    /// Fired after they had been missed.
    pub caught_up: u64,
    /// Left out because the one before was still being handled.
    pub skipped: u64,
    /// Missed for good.
    pub missed: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.fired += more.fired;
        self.caught_up += more.caught_up;
        self.skipped += more.skipped;
        self.missed += more.missed;
    }
}

impl Tally {
    fn count(&mut self, outcome: FiringOutcome, moments: u32) {
        match outcome {
            FiringOutcome::Fired | FiringOutcome::ByHand => self.fired += 1,
            FiringOutcome::CaughtUp => self.caught_up += 1,
            FiringOutcome::Skipped => self.skipped += 1,
            FiringOutcome::Missed => self.missed += u64::from(moments),
        }
    }
}

impl Tx<'_> {
    /// Brings what is known into line with what is configured. What is new, was edited or came back begins behind `from`.
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
        if let (None, Some(was)) = (&known, entry.renamed_from.as_deref().filter(|was| !names.contains(was))) {
            known = self.find_schedule(was)?;
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
        Ok(ScheduleRow { no, plugins: self.share_schedule(no, &entry.plugins, from)? })
    }

    /// Its number, its plan, and whether it was removed.
    fn find_schedule(&self, name: &str) -> Result<Option<(i64, [u8; 16], bool)>, StoreError> {
        let mut find =
            self.conn.prepare_cached("SELECT no, plan, removed_at IS NOT NULL FROM schedules WHERE name = ?1")?;
        Ok(find.query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?)
    }

    /// These plugins have a share in it, and no others.
    fn share_schedule(
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
        let mut shares = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            match known.iter().find(|(known, _)| known == plugin) {
                Some(share) => shares.push(*share),
                None => {
                    self.conn
                        .prepare_cached(
                            "INSERT INTO schedule_plugins (schedule, plugin, decided_until) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![no, plugin.0, from.0])?;
                    shares.push((*plugin, from));
                }
            }
        }
        Ok(shares)
    }

    /// Makes it so: events, rows, and how far the plan is. Says for each share what became of its moments; none where the
    /// plugin has no share any more or is away, and nothing was decided.
    pub(crate) fn fire_schedules(
        &mut self,
        shares: &[Share],
        now: Timestamp,
    ) -> Result<Vec<Option<Tally>>, StoreError> {
        shares.iter().map(|share| self.fire_share(share, now)).collect()
    }

    fn fire_share(&mut self, share: &Share, now: Timestamp) -> Result<Option<Tally>, StoreError> {
        let moved = self
            .conn
            .prepare_cached(
                "UPDATE schedule_plugins SET decided_until = ?3 WHERE schedule = ?1 AND plugin = ?2
                 AND plugin NOT IN (SELECT no FROM plugins WHERE away = 1)",
            )?
            .execute(params![share.schedule, share.plugin.0, share.until.0])?;
        if moved == 0 {
            return Ok(None);
        }
        let mut tally = Tally::default();
        for firing in &share.firings {
            if let Some((outcome, _)) = self.fire_one(share, firing, now)? {
                tally.count(outcome, firing.moments);
            }
        }
        Ok(Some(tally))
    }

    /// What a person has fire now; the events that it became.
    pub(crate) fn fire_by_hand(&mut self, shares: &[Share], now: Timestamp) -> Result<Vec<EventId>, StoreError> {
        let mut events = Vec::new();
        for share in shares {
            for firing in &share.firings {
                events.extend(self.fire_one(share, firing, now)?.and_then(|(_, event)| event));
            }
        }
        Ok(events)
    }

    /// One moment: what became of it, and the event. None where something had become of it before.
    fn fire_one(
        &mut self,
        share: &Share,
        firing: &Firing,
        now: Timestamp,
    ) -> Result<Option<(FiringOutcome, Option<EventId>)>, StoreError> {
        if firing.outcome != FiringOutcome::ByHand && !self.is_new_moment(share, firing)? {
            return Ok(None);
        }
        let overlaps = share.skip_overlap
            && firing.outcome == FiringOutcome::Fired
            && self.is_still_handled(share, &firing.zone)?;
        let outcome = if overlaps { FiringOutcome::Skipped } else { firing.outcome };
        let mut event = None;
        if let (Some((key, body)), false) = (&firing.event, overlaps) {
            if let Some(key) = key
                && self.seen(*key)?
            {
                return Ok(None);
            }
            event = Some(EventId(self.shadow.next_event));
            self.append_own(*key, body.clone(), None, (now, now))?;
        }
        self.conn
            .prepare_cached(
                "INSERT INTO firings (schedule, planned_at, due_at, plugin, zone, outcome, decided_at, event, moments)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                share.schedule,
                firing.planned_at.0,
                firing.due_at.0,
                share.plugin.0,
                firing.zone,
                outcome as i64,
                now.0,
                event.map(|event| event.0),
                firing.moments,
            ])?;
        Ok(Some((outcome, event)))
    }

    /// Whether nothing became of a moment yet. One that a clock which ran ahead took for missed is new again.
    fn is_new_moment(&self, share: &Share, firing: &Firing) -> Result<bool, StoreError> {
        let place = params![share.schedule, firing.planned_at.0, share.plugin.0, firing.zone];
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

    /// Whether the plugin is not through yet with the event before.
    fn is_still_handled(&self, share: &Share, zone: &str) -> Result<bool, StoreError> {
        let state: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT events.state FROM firings JOIN events ON events.id = firings.event
                 WHERE firings.schedule = ?1 AND firings.plugin = ?2 AND firings.zone = ?3 ORDER BY firings.id DESC LIMIT 1",
            )?
            .query_row(params![share.schedule, share.plugin.0, zone], |row| row.get(0))
            .optional()?;
        Ok(state.is_some_and(|state| state < 2))
    }
}
