//! A plugin's whole states: the current one, the copy that a migration makes, and the previous one.
//!
//! A migration does not change a state in place. It copies the state slice by slice, so that no
//! other step waits long; changes the copy page by page; and then the plugin takes the copy, in one
//! transaction with its record. Until then the copy is invisible, and after a crash it is deleted.
//! The previous state stays complete; a rollback takes it again.
//!
//! The decision to migrate is made in `catalog`, the plugin's code runs in `sandbox`.

use crate::error::StoreError;
use crate::handle::Store;
use crate::read::Reader;
use crate::state::{bytes_of, size_of};
use crate::tx::Tx;
use beadle_model::effect::StateWrite;
use beadle_model::{PluginNo, Scope, StateNo, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

/// The rows that are copied in one step: some milliseconds of the writer's time.
const COPY_ROWS: usize = 1000;
const COPY_BYTES: i64 = 1 << 20;
/// The rows that are deleted in one step.
const DELETE_ROWS: i64 = 500;

/// A position between two keys of a state.
pub type StateCursor = (Scope, String);

/// A value with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The scope.
    pub scope: Scope,
    /// The key.
    pub key: String,
    /// The value; a counter is decimal text.
    pub value: Vec<u8>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl StateEntry {
    /// The position of the entry.
    pub fn place(&self) -> StateCursor {
        (self.scope, self.key.clone())
    }
}

/// A current or previous state of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateInfo {
    /// Its number.
    pub no: StateNo,
    /// The plugin's number for the form of its state; 0 if it does not number them.
    pub version: u32,
    /// The size of keys and values.
    pub bytes: u64,
    /// The number of values.
    pub values: u64,
    /// When the plugin took another state; `None` for the current one.
    pub retired_at: Option<Timestamp>,
}

/// The position as columns; without one, before the first key.
fn cursor_columns(after: Option<&StateCursor>) -> (i64, i64, &str) {
    after.map_or((-1, 0, ""), |(scope, key)| {
        let (kind, id) = scope.as_columns();
        (kind, id, key)
    })
}

fn scope_of(kind: i64, id: i64) -> Result<Scope, StoreError> {
    Scope::from_columns(kind, id).ok_or_else(|| StoreError::unreadable("a plugin's state", format!("scope {kind}")))
}

impl Tx<'_> {
    /// Creates the first state of a plugin.
    pub(crate) fn begin_first_state(&self, plugin: PluginNo) -> Result<(), StoreError> {
        let no = self.conn.prepare_cached("INSERT INTO states (plugin, version) VALUES (?1, 0)")?.insert([plugin.0])?;
        self.conn.prepare_cached("UPDATE plugins SET state_no = ?2 WHERE no = ?1")?.execute([plugin.0, no])?;
        Ok(())
    }

    fn begin_state(&self, plugin: PluginNo, version: u32) -> Result<StateNo, StoreError> {
        let begin = "INSERT INTO states (plugin, version, draft) VALUES (?1, ?2, ?3)";
        let no = self.conn.prepare_cached(begin)?.insert(params![plugin.0, version, self.shared.fence])?;
        Ok(StateNo(no))
    }

    /// Fails if the state is an abandoned draft, which may be deleted and its number reused.
    fn check_draft(&self, state: StateNo) -> Result<(), StoreError> {
        let is_current = "SELECT 1 FROM states WHERE no = ?1 AND (draft IS NULL OR draft = ?2)";
        match self.conn.prepare_cached(is_current)?.exists([state.0, self.shared.fence])? {
            true => Ok(()),
            false => Err(StoreError::StateMoved),
        }
    }

    /// Copies a slice that starts after `after`. Returns its end if there is more.
    fn copy_state(
        &self,
        from: StateNo,
        to: StateNo,
        after: Option<&StateCursor>,
        now: Timestamp,
    ) -> Result<Option<StateCursor>, StoreError> {
        type Row = (i64, i64, String, Value, i64, Option<i64>);
        self.check_draft(to)?;
        let (kind, id, key) = cursor_columns(after);
        let mut read = self.conn.prepare_cached(
            "SELECT scope, scope_id, key, value, version, expires_at FROM state_values
             WHERE state_no = ?1 AND (scope, scope_id, key) > (?2, ?3, ?4) AND (expires_at IS NULL OR expires_at > ?5)
             ORDER BY scope, scope_id, key",
        )?;
        let mut rows = read.query(params![from.0, kind, id, key, now.0])?;
        let (mut slice, mut bytes, mut more) = (Vec::<Row>::new(), 0, false);
        while let Some(row) = rows.next()? {
            if slice.len() >= COPY_ROWS || bytes >= COPY_BYTES {
                more = true;
                break;
            }
            let row: Row = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
            bytes += row.2.len() as i64 + size_of((&row.3).into());
            slice.push(row);
        }
        drop(rows);
        let mut write = self.conn.prepare_cached(
            "INSERT INTO state_values (state_no, scope, scope_id, key, value, version, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (kind, id, key, value, version, expires_at) in &slice {
            write.execute(params![to.0, kind, id, key, value, version, expires_at])?;
        }
        self.conn.prepare_cached("UPDATE states SET bytes = bytes + ?2 WHERE no = ?1")?.execute([to.0, bytes])?;
        match slice.pop().filter(|_| more) {
            Some((kind, id, key, ..)) => Ok(Some((scope_of(kind, id)?, key))),
            None => Ok(None),
        }
    }

    /// Abandons all copies in progress, because they are stale now.
    pub(crate) fn abandon_drafts(&self) -> Result<(), StoreError> {
        self.conn.prepare_cached("UPDATE states SET draft = 0 WHERE draft IS NOT NULL")?.execute([])?;
        Ok(())
    }

    /// Makes this the plugin's state. The previous one is kept for a rollback, or abandoned.
    fn take_state(
        &self,
        plugin: PluginNo,
        to: StateNo,
        keep: bool,
        record: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.check_draft(to)?;
        let step = |sql: &str, numbers: [i64; 2]| self.conn.prepare_cached(sql)?.execute(numbers);
        // Abandons all other states of the plugin …
        step("UPDATE states SET draft = 0, retired_at = NULL WHERE plugin = ?1 AND no <> ?2", [plugin.0, to.0])?;
        if keep {
            // … except the present one, if it has values.
            step(
                "UPDATE states SET draft = NULL, retired_at = ?2
                 WHERE no = (SELECT state_no FROM plugins WHERE no = ?1) AND bytes > 0",
                [plugin.0, now.0],
            )?;
        }
        step("UPDATE plugins SET state_no = ?2 WHERE no = ?1", [plugin.0, to.0])?;
        step("UPDATE states SET draft = NULL, retired_at = NULL WHERE plugin = ?1 AND no = ?2", [plugin.0, to.0])?;
        self.set_plugin_record(plugin, record)
    }

    /// Deletes a slice of a state, and the state itself with its last value. Returns the number of
    /// values.
    fn delete_slice(&self, no: i64, limit: i64) -> Result<usize, StoreError> {
        let deleted = self
            .conn
            .prepare_cached(
                "DELETE FROM state_values WHERE state_no = ?1 AND (scope, scope_id, key) IN
                     (SELECT scope, scope_id, key FROM state_values WHERE state_no = ?1 LIMIT ?2)",
            )?
            .execute([no, limit])?;
        if (deleted as i64) < limit {
            self.conn.prepare_cached("DELETE FROM states WHERE no = ?1")?.execute([no])?;
        }
        Ok(deleted)
    }

    /// Deletes a slice of a draft.
    fn delete_draft(&self, state: StateNo, limit: i64) -> Result<usize, StoreError> {
        let is_draft = "SELECT 1 FROM states WHERE no = ?1 AND draft IS NOT NULL";
        match self.conn.prepare_cached(is_draft)?.exists([state.0])? {
            true => self.delete_slice(state.0, limit),
            false => Ok(0),
        }
    }

    /// Deletes a slice of an abandoned draft, or of a state that was retired before `left_before`.
    pub(crate) fn delete_abandoned_states(&self, left_before: i64, limit: i64) -> Result<usize, StoreError> {
        let abandoned: Option<i64> = self
            .conn
            .prepare_cached("SELECT no FROM states WHERE draft <> ?1 OR retired_at < ?2 LIMIT 1")?
            .query_row([self.shared.fence, left_before], |row| row.get(0))
            .optional()?;
        abandoned.map_or(Ok(0), |no| self.delete_slice(no, limit))
    }
}

impl Store {
    /// Creates an empty draft. It is deleted with this process unless the plugin takes it.
    pub async fn begin_state(&self, plugin: PluginNo, version: u32) -> Result<StateNo, StoreError> {
        self.ask(move |tx| tx.begin_state(plugin, version)).await
    }

    /// Copies a slice of one state into another, starting after `after`, without values that have
    /// expired by `now`. Returns the end of the slice if there is more. [`StoreError::StateMoved`]
    /// if contacts were merged meanwhile: the copy may lack a value and was abandoned.
    pub async fn copy_state(
        &self,
        from: StateNo,
        to: StateNo,
        after: Option<StateCursor>,
        now: Timestamp,
    ) -> Result<Option<StateCursor>, StoreError> {
        self.ask(move |tx| tx.copy_state(from, to, after.as_ref(), now)).await
    }

    /// Writes into a draft. [`StoreError::StateMoved`] as for [`Store::copy_state`].
    pub async fn change_state(
        &self,
        state: StateNo,
        writes: Vec<StateWrite>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.ask(move |tx| {
            tx.check_draft(state)?;
            tx.write_state(state, &writes, now)
        })
        .await
    }

    /// Makes this the plugin's state and stores its record, in one transaction. With `keep` the
    /// previous state is kept for a rollback; older ones are abandoned. [`StoreError::StateMoved`]
    /// as for [`Store::copy_state`], or if the state no longer exists.
    pub async fn take_state(
        &self,
        plugin: PluginNo,
        to: StateNo,
        keep: bool,
        record: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.ask(move |tx| tx.take_state(plugin, to, keep, &record, now)).await
    }

    /// Deletes a draft. A current or previous state is left alone.
    pub async fn forget_state(&self, state: StateNo) -> Result<(), StoreError> {
        while self.ask(move |tx| tx.delete_draft(state, DELETE_ROWS)).await? as i64 == DELETE_ROWS {}
        Ok(())
    }
}

impl Reader {
    /// The plugin's current state, and the previous one if it was kept.
    pub fn plugin_states(&self, plugin: PluginNo) -> Result<(StateInfo, Option<StateInfo>), StoreError> {
        self.all(|conn| {
            let has: i64 = conn
                .prepare_cached("SELECT state_no FROM plugins WHERE no = ?1")?
                .query_row([plugin.0], |row| row.get(0))?;
            let retired: Option<i64> = conn
                .prepare_cached("SELECT no FROM states WHERE plugin = ?1 AND retired_at IS NOT NULL AND draft IS NULL")?
                .query_row([plugin.0], |row| row.get(0))
                .optional()?;
            Ok((state_info(conn, has)?, retired.map(|no| state_info(conn, no)).transpose()?))
        })
    }

    /// The number of the plugin's current state.
    pub fn state_of(&self, plugin: PluginNo) -> Result<StateNo, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT state_no FROM plugins WHERE no = ?1")?;
            Ok(StateNo(read.query_row([plugin.0], |row| row.get(0))?))
        })
    }

    /// A page of a state that starts after `after`, in the order of scopes and keys: at most
    /// `limit` values and `max_bytes`, at least one value, without those that have expired by
    /// `now`. Empty at the end.
    pub fn state_page(
        &self,
        state: StateNo,
        after: Option<&StateCursor>,
        (limit, max_bytes): (usize, usize),
        now: Timestamp,
    ) -> Result<Vec<StateEntry>, StoreError> {
        let (kind, id, key) = cursor_columns(after);
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT scope, scope_id, key, value, expires_at FROM state_values
                 WHERE state_no = ?1 AND (scope, scope_id, key) > (?2, ?3, ?4)
                   AND (expires_at IS NULL OR expires_at > ?5) ORDER BY scope, scope_id, key",
            )?;
            let mut rows = read.query(params![state.0, kind, id, key, now.0])?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            while page.len() < limit
                && let Some(row) = rows.next()?
            {
                let entry = StateEntry {
                    scope: scope_of(row.get(0)?, row.get(1)?)?,
                    key: row.get(2)?,
                    value: bytes_of(row.get_ref(3)?),
                    expires_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
                };
                bytes += entry.key.len() + entry.value.len();
                if bytes > max_bytes && !page.is_empty() {
                    break;
                }
                page.push(entry);
            }
            Ok(page)
        })
    }
}

fn state_info(conn: &Connection, no: i64) -> Result<StateInfo, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT version, bytes, (SELECT count(*) FROM state_values WHERE state_no = no), retired_at FROM states WHERE no = ?1",
    )?;
    Ok(read.query_row([no], |row| {
        Ok(StateInfo {
            no: StateNo(no),
            version: row.get(0)?,
            bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            values: row.get::<_, i64>(2)?.unsigned_abs(),
            retired_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        })
    })?)
}
