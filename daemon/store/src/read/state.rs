//! Reading plugins' state.

use super::{MAX_ROWS, Reader};
use crate::error::StoreError;
use crate::quota;
use crate::state::{SCOPE_ID, bytes_of, scan};
use beadle_model::{PluginNo, Scope, StateNo, Timestamp};
use rusqlite::{OptionalExtension, params};

impl Reader {
    /// A value and its version; a counter is decimal text, an expired value does not exist.
    pub fn state_get(
        &self,
        state: StateNo,
        scope: Scope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<(Vec<u8>, i64)>, StoreError> {
        let (kind, id) = scope.as_columns();
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!(
                "SELECT value, version FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = {SCOPE_ID} AND key = ?4
                   AND (expires_at IS NULL OR expires_at > ?5)"
            ))?;
            let value = read
                .query_row(params![state.0, kind, id, key, now.0], |row| Ok((bytes_of(row.get_ref(0)?), row.get(1)?)));
            Ok(value.optional()?)
        })
    }

    /// Up to `limit` and 1,000 keys with this prefix after `after`, in key order, with values and
    /// versions. Fewer mean that there are no more.
    pub fn state_scan(
        &self,
        state: StateNo,
        scope: Scope,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, Vec<u8>, i64)>, StoreError> {
        let limit = limit.min(MAX_ROWS);
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.one(|conn| {
            scan(conn, state, scope, (prefix, after), now, |key, value, version| {
                found.push((key.to_owned(), bytes_of(value), version));
                found.len() < limit
            })
        })?;
        Ok(found)
    }

    /// The size of a state's keys and values (eight bytes for a counter), including expired ones
    /// that were not deleted yet.
    pub fn state_bytes(&self, state: StateNo) -> Result<u64, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT bytes FROM states WHERE no = ?1")?;
            let bytes: Option<i64> = read.query_row([state.0], |row| row.get(0)).optional()?;
            Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
        })
    }

    /// What counts against a plugin's quota of state: the sizes of its state and of its timers.
    pub fn quota_bytes(&self, plugin: PluginNo, state: StateNo) -> Result<u64, StoreError> {
        self.one(|conn| Ok(quota::stored_bytes(conn, plugin, state)?.unsigned_abs()))
    }

    /// What one timer counts against the quota; 0 if there is none.
    pub fn timer_bytes(&self, plugin: PluginNo, scope: Scope, key: &str) -> Result<u64, StoreError> {
        self.one(|conn| Ok(quota::timer_bytes(conn, plugin, scope, key)?.unsigned_abs()))
    }

    /// All plugins that ever had a number, with their names.
    pub fn plugin_names(&self) -> Result<Vec<(PluginNo, String)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT no, name FROM plugins ORDER BY no")?;
            let names = read.query_map([], |row| Ok((PluginNo(row.get(0)?), row.get(1)?)))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }
}
