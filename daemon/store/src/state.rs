//! State values: by state, scope and key, each with the number of the commit that wrote it.
//!
//! A handling commits only if the versions that it read are unchanged. Counters are stored as
//! numbers, so that two handlings can add to one without having read it.

use crate::error::StoreError;
use crate::tx::Tx;
use beadle_model::effect::{Scope, StateRead, StateVersion, StateWrite};
use beadle_model::{StateNo, Timestamp};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

/// A value as a plugin gets it; a counter is decimal text.
pub(crate) fn bytes_of(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Integer(number) => number.to_string().into_bytes(),
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
        ValueRef::Null | ValueRef::Real(_) => Vec::new(),
    }
}

/// The size of a value for the quota; a counter counts as eight bytes.
pub(crate) fn size_of(value: ValueRef<'_>) -> i64 {
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Null => 8,
    }
}

/// SQL for the current id of the scope of kind ?2 and id ?3, which may have been merged. Readers
/// resolve it here, in the snapshot that they read.
pub(crate) const SCOPE_ID: &str = "CASE ?2 WHEN 1 THEN coalesce((SELECT merged_into FROM contacts WHERE id = ?3), ?3)
     WHEN 2 THEN coalesce((SELECT merged_into FROM conversations WHERE id = ?3), ?3) ELSE ?3 END";

/// Lists keys, values and versions in key order, without expired ones. `each` returns whether to go
/// on.
pub(crate) fn scan(
    conn: &Connection,
    state: StateNo,
    scope: Scope,
    (prefix, after): (&str, Option<&str>),
    now: Timestamp,
    mut each: impl FnMut(&str, ValueRef<'_>, i64) -> bool,
) -> Result<(), StoreError> {
    let (kind, id) = scope.as_columns();
    let mut list = conn.prepare_cached(&format!(
        "SELECT key, value, version FROM state_values
         WHERE state_no = ?1 AND scope = ?2 AND scope_id = {SCOPE_ID} AND key >= ?4 AND (?5 IS NULL OR key > ?5)
           AND (expires_at IS NULL OR expires_at > ?6) ORDER BY key"
    ))?;
    // SQLite would test a second lower bound row by row, so only the higher one is passed.
    let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let mut rows = list.query(params![state.0, kind, id, from, after, now.0])?;
    while let Some(row) = rows.next()? {
        let key =
            row.get_ref(0)?.as_str().map_err(|error| StoreError::unreadable("a key of a plugin's state", error))?;
        if !key.starts_with(prefix) || !each(key, row.get_ref(1)?, row.get(2)?) {
            break;
        }
    }
    Ok(())
}

impl Tx<'_> {
    /// Fails if any of these reads is stale.
    pub(crate) fn check_reads(&self, state: StateNo, reads: &[StateRead], now: Timestamp) -> Result<(), StoreError> {
        for read in reads {
            let (fresh, key) = match read {
                StateRead::Key { scope, key, version } => {
                    let scope = self.cache.people.resolve(*scope);
                    (self.version(state, scope, key, now)? == *version, key)
                }
                StateRead::Scan { scope, prefix, after, until, seen } => {
                    let scope = self.cache.people.resolve(*scope);
                    let mut seen = seen.iter();
                    let mut same = true;
                    scan(self.conn, state, scope, (prefix, after.as_deref()), now, |key, _, version| {
                        if until.as_deref().is_some_and(|until| key > until) {
                            return false;
                        }
                        same = seen.next().is_some_and(|(was, at)| was == key && *at == version);
                        same
                    })?;
                    (same && seen.next().is_none(), prefix)
                }
            };
            if !fresh {
                return Err(StoreError::StaleRead { key: key.clone() });
            }
        }
        Ok(())
    }

    fn version(&self, state: StateNo, scope: Scope, key: &str, now: Timestamp) -> Result<StateVersion, StoreError> {
        let (kind, id) = scope.as_columns();
        let mut read = self.conn.prepare_cached(
            "SELECT version FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4
               AND (expires_at IS NULL OR expires_at > ?5)",
        )?;
        Ok(read.query_row(params![state.0, kind, id, key, now.0], |row| row.get(0)).optional()?)
    }

    pub(crate) fn write_state(
        &mut self,
        state: StateNo,
        writes: &[StateWrite],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let version = self.cache.next_version();
        let mut grown = 0;
        for write in writes {
            let (StateWrite::Set { scope, .. } | StateWrite::Delete { scope, .. } | StateWrite::Add { scope, .. }) =
                write;
            if self.cache.people.is_erased(*scope) {
                continue;
            }
            grown += match write {
                StateWrite::Set { scope, key, value, expires_at } => {
                    let value = Value::Blob(value.clone());
                    let scope = self.cache.people.resolve(*scope);
                    self.put(state, (scope, key), value, version, expires_at.map(|at| at.0))?
                }
                StateWrite::Delete { scope, key } => self.delete(state, self.cache.people.resolve(*scope), key)?,
                StateWrite::Add { scope, key, delta } => {
                    let scope = self.cache.people.resolve(*scope);
                    let (before, expires_at) = self.counter(state, scope, key, now)?;
                    let value = Value::Integer(before.saturating_add(*delta));
                    self.put(state, (scope, key), value, version, expires_at)?
                }
            };
        }
        if grown != 0 {
            self.conn
                .prepare_cached("UPDATE states SET bytes = max(0, bytes + ?2) WHERE no = ?1")?
                .execute([state.0, grown])?;
        }
        Ok(())
    }

    /// Writes a value; returns by how much the state has grown.
    fn put(
        &self,
        state: StateNo,
        (scope, key): (Scope, &str),
        value: Value,
        version: i64,
        expires_at: Option<i64>,
    ) -> Result<i64, StoreError> {
        let (kind, id) = scope.as_columns();
        let before = self.value_bytes(state, scope, key)?;
        let after = key.len() as i64 + size_of((&value).into());
        self.conn
            .prepare_cached(
                "INSERT INTO state_values (state_no, scope, scope_id, key, value, version, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (state_no, scope, scope_id, key) DO UPDATE
                 SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at",
            )?
            .execute(params![state.0, kind, id, key, value, version, expires_at])?;
        Ok(after - before)
    }

    fn delete(&self, state: StateNo, scope: Scope, key: &str) -> Result<i64, StoreError> {
        let (kind, id) = scope.as_columns();
        let before = self.value_bytes(state, scope, key)?;
        if before > 0 {
            self.conn
                .prepare_cached(
                    "DELETE FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4",
                )?
                .execute(params![state.0, kind, id, key])?;
        }
        Ok(-before)
    }

    /// The size of a key and its value, 0 if there is none. Expired values count until they are
    /// deleted.
    pub(crate) fn value_bytes(&self, state: StateNo, scope: Scope, key: &str) -> Result<i64, StoreError> {
        let (kind, id) = scope.as_columns();
        let mut read = self.conn.prepare_cached(
            "SELECT value FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4",
        )?;
        let size = read.query_row(params![state.0, kind, id, key], |row| Ok(size_of(row.get_ref(0)?)));
        Ok(size.optional()?.map_or(0, |size| size + key.len() as i64))
    }

    /// A counter's value and expiry; 0 if there is none, or if it has expired or is not a decimal
    /// number.
    fn counter(
        &self,
        state: StateNo,
        scope: Scope,
        key: &str,
        now: Timestamp,
    ) -> Result<(i64, Option<i64>), StoreError> {
        let (kind, id) = scope.as_columns();
        let mut read = self.conn.prepare_cached(
            "SELECT value, expires_at FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4
               AND (expires_at IS NULL OR expires_at > ?5)",
        )?;
        let counter = read.query_row(params![state.0, kind, id, key, now.0], |row| {
            let text = bytes_of(row.get_ref(0)?);
            let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
            Ok((number.unwrap_or(0), row.get(1)?))
        });
        Ok(counter.optional()?.unwrap_or_default())
    }
}
