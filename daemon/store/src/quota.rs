//! The quotas of a plugin, checked where a handling commits: two handlings that run at the same
//! time may each fit and together not.
//!
//! The check writes nothing, so that a refused commit does not roll back its group. A commit that
//! does not grow what is stored is never refused, so a plugin above a lowered quota can still
//! delete.

use crate::error::StoreError;
use crate::step::Commit;
use crate::tx::Tx;
use beadle_model::effect::{Scope, StateWrite, TimerWrite};
use beadle_model::{PluginNo, StateNo};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// What a timer counts besides its key and payload, so that empty ones are not free. The triggers
/// of `timers` add the same.
pub const TIMER_ROW_BYTES: usize = 64;

/// What a counter counts besides its key.
const COUNTER_BYTES: usize = 8;

/// The size of a plugin's state and timers.
pub(crate) fn stored_bytes(conn: &Connection, plugin: PluginNo, state: StateNo) -> Result<i64, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT coalesce((SELECT bytes FROM states WHERE no = ?2), 0)
              + coalesce((SELECT timer_bytes FROM plugins WHERE no = ?1), 0)",
    )?;
    Ok(read.query_row([plugin.0, state.0], |row| row.get(0))?)
}

/// The size of the files that a plugin created.
pub(crate) fn media_bytes(conn: &Connection, plugin: PluginNo) -> Result<i64, StoreError> {
    let mut read = conn.prepare_cached("SELECT bytes FROM media_totals WHERE plugin = ?1")?;
    Ok(read.query_row([plugin.0], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// What a timer counts; 0 if there is none.
pub(crate) fn timer_bytes(conn: &Connection, plugin: PluginNo, scope: Scope, key: &str) -> Result<i64, StoreError> {
    let (kind, id) = scope.as_columns();
    let mut read = conn.prepare_cached(
        "SELECT length(payload) FROM timers WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4",
    )?;
    let payload: Option<i64> = read.query_row(params![plugin.0, kind, id, key], |row| row.get(0)).optional()?;
    Ok(payload.map_or(0, |payload| payload + bytes(key.len() + TIMER_ROW_BYTES)))
}

fn bytes(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// What a write leaves under its key; `None` if it leaves the size as it is.
fn written(write: &StateWrite) -> (Scope, &str, Option<usize>) {
    match write {
        StateWrite::Set { scope, key, value, .. } => (*scope, key, Some(key.len() + value.len())),
        StateWrite::Add { scope, key, .. } => (*scope, key, Some(key.len() + COUNTER_BYTES)),
        StateWrite::Delete { scope, key } => (*scope, key, Some(0)),
    }
}

fn timer_written(write: &TimerWrite) -> (Scope, &str, Option<usize>) {
    match write {
        TimerWrite::Set { scope, key, payload, .. } => (*scope, key, Some(key.len() + payload.len() + TIMER_ROW_BYTES)),
        TimerWrite::Move { scope, key, .. } => (*scope, key, None),
        TimerWrite::Cancel { scope, key } => (*scope, key, Some(0)),
    }
}

impl Tx<'_> {
    /// Fails if the commit grows what the plugin has stored beyond a quota.
    pub(crate) fn check_quotas(&self, commit: &Commit) -> Result<(), StoreError> {
        let created: i64 = commit.media.iter().map(|file| file.bytes.max(0)).sum();
        if created > 0 {
            let after = media_bytes(self.conn, commit.plugin)?.saturating_add(created);
            check("files", after, commit.quotas.media_bytes)?;
        }
        let most = commit.state.iter().map(written).chain(commit.timers.iter().map(timer_written));
        let most: i64 = most.filter_map(|(_, _, size)| size.map(bytes)).sum();
        if most == 0 {
            return Ok(());
        }
        let before = stored_bytes(self.conn, commit.plugin, commit.state_no)?;
        // Usually even the sum of all writes fits, and what they replace need not be read.
        if check("state and timers", before.saturating_add(most), commit.quotas.state_bytes).is_ok() {
            return Ok(());
        }
        match self.growth(commit)? {
            growth if growth <= 0 => Ok(()),
            growth => check("state and timers", before.saturating_add(growth), commit.quotas.state_bytes),
        }
    }

    /// By how much the commit grows the plugin's state and timers.
    fn growth(&self, commit: &Commit) -> Result<i64, StoreError> {
        let last = |writes: &mut dyn Iterator<Item = (Scope, &str, Option<usize>)>| {
            let writes = writes.filter_map(|(scope, key, size)| Some(((scope, key.to_owned()), size?)));
            writes.map(|((scope, key), size)| ((self.cache.people.resolve(scope), key), size)).collect()
        };
        let values: HashMap<(Scope, String), usize> = last(&mut commit.state.iter().map(written));
        let timers: HashMap<(Scope, String), usize> = last(&mut commit.timers.iter().map(timer_written));
        let mut growth = 0;
        for ((scope, key), size) in &values {
            growth += bytes(*size) - self.value_bytes(commit.state_no, *scope, key)?;
        }
        for ((scope, key), size) in &timers {
            growth += bytes(*size) - timer_bytes(self.conn, commit.plugin, *scope, key)?;
        }
        Ok(growth)
    }
}

fn check(resource: &'static str, after: i64, quota: u64) -> Result<(), StoreError> {
    let after = after.unsigned_abs();
    if after <= quota { Ok(()) } else { Err(StoreError::OverQuota { resource, after, quota }) }
}
