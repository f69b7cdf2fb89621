//! Reading schedules: their history, and the zones of members.

use super::{Reader, bounded, readable};
use crate::error::StoreError;
use crate::schedules::FiringOutcome;
use crate::views::{EventState, FiringRow};
use beadle_model::{EventId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

impl Reader {
    /// The number of a schedule that is configured, or was and has a history.
    pub fn schedule_no(&self, name: &str) -> Result<Option<i64>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT no FROM schedules WHERE name = ?1")?;
            Ok(read.query_row([name], |row| row.get(0)).optional()?)
        })
    }

    /// The outcomes of a schedule before `before`, latest first, at most `limit` and 1,000.
    pub fn firings(&self, schedule: i64, before: Option<i64>, limit: usize) -> Result<Vec<FiringRow>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT f.id, planned_at, due_at, plugin, zone, outcome, decided_at, event, moments, state,
                     EXISTS (SELECT 1 FROM dead_letters WHERE dead_letters.event = f.event AND dead_letters.plugin = f.plugin AND message IS NULL)
                 FROM firings AS f LEFT JOIN events ON events.id = f.event
                 WHERE schedule = ?1 AND f.id < ?2 ORDER BY f.id DESC LIMIT ?3",
            )?;
            let mut rows = read.query(params![schedule, before.unwrap_or(i64::MAX), bounded(limit)])?;
            let mut firings = Vec::new();
            while let Some(row) = rows.next()? {
                firings.extend(readable(firing_of(row))?);
            }
            Ok(firings)
        })
    }

    /// The zones of members in order, each with the earliest joining date of its present members.
    /// Members without a zone come first.
    pub fn member_zones(&self) -> Result<Vec<(Option<String>, Timestamp)>, StoreError> {
        self.all(|conn| {
            let unknown: Option<i64> = conn
                .prepare_cached(
                    "SELECT member_since FROM contacts WHERE membership = 1 AND timezone IS NULL
                     ORDER BY member_since LIMIT 1",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            let mut zones: Vec<_> = unknown.map(|since| (None, Timestamp(since))).into_iter().collect();
            // Steps through the index: there may be a million members in a hundred zones.
            let mut next = conn.prepare_cached(
                "SELECT timezone, member_since FROM contacts WHERE membership = 1 AND timezone > ?1
                 ORDER BY timezone, member_since LIMIT 1",
            )?;
            let mut after = String::new();
            let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, Timestamp(row.get(1)?)));
            while let Some((zone, since)) = next.query_row([&after], read).optional()? {
                after.clone_from(&zone);
                zones.push((Some(zone), since));
            }
            Ok(zones)
        })
    }
}

fn firing_of(row: &Row<'_>) -> Result<FiringRow, StoreError> {
    Ok(FiringRow {
        id: row.get(0)?,
        planned_at: Timestamp(row.get(1)?),
        due_at: Timestamp(row.get(2)?),
        plugin: PluginNo(row.get(3)?),
        zone: row.get(4)?,
        outcome: FiringOutcome::from_number(row.get(5)?)?,
        decided_at: Timestamp(row.get(6)?),
        event: row.get::<_, Option<i64>>(7)?.map(EventId),
        moments: row.get(8)?,
        event_state: row.get::<_, Option<i64>>(9)?.map(EventState::from_number),
        is_dead: row.get(10)?,
    })
}
