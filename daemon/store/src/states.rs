//! A plugin's state as a whole: the one it has, the one that a migration makes, and the one that it had before.
//!
//! A migration does not rewrite a state in its place. It copies it beside itself, slice by slice, so that no other step
//! waits long; the copy is changed page by page; then the plugin takes it, in one transaction with what is to be
//! remembered of the plugin. Until then nobody sees anything of it, and what a crash leaves behind is swept up. The state
//! of before stays whole, and going back is to take that one again.
//!
//! It is not: the place where one decides to migrate (`catalog`), or where a plugin is asked to (`sandbox`).

use crate::read::Reader;
use crate::state::{bytes_of, size_of};
use crate::writer::Tx;
use crate::{Store, StoreError};
use beadle_model::effect::StateWrite;
use beadle_model::{PluginNo, Scope, StateNo, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

/// Copied in one step: what the writer does in some milliseconds.
const COPIED_ROWS: usize = 1000;
const COPIED_BYTES: i64 = 1 << 20;
/// Forgotten in one step.
const FORGOTTEN_ROWS: i64 = 500;

/// A place in a state, between two keys.
pub type StatePlace = (Scope, String);

/// A value with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// Whom it is about.
    pub scope: Scope,
    /// Its key.
    pub key: String,
    /// Bytes; a counter reads as decimal text.
    pub value: Vec<u8>,
    /// It is gone from then on.
    pub expires_at: Option<Timestamp>,
}

impl StateEntry {
    /// Where it is.
    pub fn place(&self) -> StatePlace {
        (self.scope, self.key.clone())
    }
}

/// A state that a plugin has, or had and could go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateShown {
    /// Its number.
    pub no: StateNo,
    /// As the plugin numbers the forms of what it keeps; 0 where it does not.
    pub version: u32,
    /// Keys and values.
    pub bytes: u64,
    /// Values.
    pub values: u64,
    /// When the plugin took another; none: it has this one.
    pub left_at: Option<Timestamp>,
}

/// The first place of all, before any key.
fn from_place(after: Option<&StatePlace>) -> (i64, i64, &str) {
    after.map_or((-1, 0, ""), |(scope, key)| {
        let (kind, id) = scope.as_columns();
        (kind, id, key)
    })
}

fn scope_of(kind: i64, id: i64) -> Result<Scope, StoreError> {
    Scope::from_columns(kind, id).ok_or_else(|| StoreError::unreadable("a plugin's state", format!("scope {kind}")))
}

impl Tx<'_> {
    /// The state of a plugin that has none.
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

    /// Whether somebody has this state or makes it: what was given up is swept, and its number is another's then.
    fn stands(&self, state: StateNo) -> Result<(), StoreError> {
        let stands = "SELECT 1 FROM states WHERE no = ?1 AND (draft IS NULL OR draft = ?2)";
        match self.conn.prepare_cached(stands)?.exists([state.0, self.shared.fence])? {
            true => Ok(()),
            false => Err(StoreError::StateMoved),
        }
    }

    /// Copies a slice from behind `after`; where it ended, if there is more.
    fn copy_state(
        &self,
        from: StateNo,
        to: StateNo,
        after: Option<&StatePlace>,
        now: Timestamp,
    ) -> Result<Option<StatePlace>, StoreError> {
        type Row = (i64, i64, String, Value, i64, Option<i64>);
        self.stands(to)?;
        let (kind, id, key) = from_place(after);
        let mut read = self.conn.prepare_cached(
            "SELECT scope, scope_id, key, value, version, expires_at FROM state
             WHERE state_no = ?1 AND (scope, scope_id, key) > (?2, ?3, ?4) AND (expires_at IS NULL OR expires_at > ?5)
             ORDER BY scope, scope_id, key",
        )?;
        let mut rows = read.query(params![from.0, kind, id, key, now.0])?;
        let (mut slice, mut bytes, mut more) = (Vec::<Row>::new(), 0, false);
        while let Some(row) = rows.next()? {
            if slice.len() >= COPIED_ROWS || bytes >= COPIED_BYTES {
                more = true;
                break;
            }
            let row: Row = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
            bytes += row.2.len() as i64 + size_of((&row.3).into());
            slice.push(row);
        }
        drop(rows);
        let mut write = self.conn.prepare_cached(
            "INSERT INTO state (state_no, scope, scope_id, key, value, version, expires_at)
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

    /// Copies that are being made of states hold from now on what is no longer so: nobody can take them.
    pub(crate) fn give_up_drafts(&self) -> Result<(), StoreError> {
        self.conn.prepare_cached("UPDATE states SET draft = 0 WHERE draft IS NOT NULL")?.execute([])?;
        Ok(())
    }

    /// The plugin takes this state. The one it had is kept to go back to, or forgotten.
    fn take_state(
        &self,
        plugin: PluginNo,
        to: StateNo,
        keep: bool,
        record: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.stands(to)?;
        let step = |sql: &str, numbers: [i64; 2]| self.conn.prepare_cached(sql)?.execute(numbers);
        // What else it had is nobody's from now on …
        step("UPDATE states SET draft = 0, left_at = NULL WHERE plugin = ?1 AND no <> ?2", [plugin.0, to.0])?;
        if keep {
            // … but for the one that it has, where there is something in it to go back to.
            step(
                "UPDATE states SET draft = NULL, left_at = ?2
                 WHERE no = (SELECT state_no FROM plugins WHERE no = ?1) AND bytes > 0",
                [plugin.0, now.0],
            )?;
        }
        step("UPDATE plugins SET state_no = ?2 WHERE no = ?1", [plugin.0, to.0])?;
        step("UPDATE states SET draft = NULL, left_at = NULL WHERE plugin = ?1 AND no = ?2", [plugin.0, to.0])?;
        self.set_plugin_record(plugin, record)
    }

    /// Forgets a slice of this state; how many values went. With the last of them it is gone.
    fn forget_slice(&self, no: i64, most: i64) -> Result<usize, StoreError> {
        let gone = self
            .conn
            .prepare_cached(
                "DELETE FROM state WHERE state_no = ?1 AND (scope, scope_id, key) IN
                     (SELECT scope, scope_id, key FROM state WHERE state_no = ?1 LIMIT ?2)",
            )?
            .execute([no, most])?;
        if (gone as i64) < most {
            self.conn.prepare_cached("DELETE FROM states WHERE no = ?1")?.execute([no])?;
        }
        Ok(gone)
    }

    /// Forgets a slice of a state that nobody took.
    fn forget_draft(&self, state: StateNo, most: i64) -> Result<usize, StoreError> {
        let is_draft = "SELECT 1 FROM states WHERE no = ?1 AND draft IS NOT NULL";
        match self.conn.prepare_cached(is_draft)?.exists([state.0])? {
            true => self.forget_slice(state.0, most),
            false => Ok(0),
        }
    }

    /// Forgets a slice of what is nobody's: drafts that were given up or that a crash left behind, and states that were
    /// left before then.
    pub(crate) fn sweep_states(&self, left_before: i64, most: i64) -> Result<usize, StoreError> {
        let nobodys: Option<i64> = self
            .conn
            .prepare_cached("SELECT no FROM states WHERE draft <> ?1 OR left_at < ?2 LIMIT 1")?
            .query_row([self.shared.fence, left_before], |row| row.get(0))
            .optional()?;
        nobodys.map_or(Ok(0), |no| self.forget_slice(no, most))
    }
}

impl Store {
    /// A state to be, empty and nobody's: it is gone with this process unless a plugin takes it.
    pub async fn begin_state(&self, plugin: PluginNo, version: u32) -> Result<StateNo, StoreError> {
        self.ask(move |tx| tx.begin_state(plugin, version)).await
    }

    /// Copies a slice of one state into another, from behind `after`; where it ended, if there is more. What has expired
    /// by `now` is left out. [`StoreError::StateMoved`]: two contacts were made one meanwhile, so it may miss a value and was
    /// given up.
    pub async fn copy_state(
        &self,
        from: StateNo,
        to: StateNo,
        after: Option<StatePlace>,
        now: Timestamp,
    ) -> Result<Option<StatePlace>, StoreError> {
        self.ask(move |tx| tx.copy_state(from, to, after.as_ref(), now)).await
    }

    /// Writes into a state that nobody has yet; [`StoreError::StateMoved`] as with [`Store::copy_state`].
    pub async fn change_state(
        &self,
        state: StateNo,
        writes: Vec<StateWrite>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.ask(move |tx| {
            tx.stands(state)?;
            tx.write_state(state, &writes, now)
        })
        .await
    }

    /// The plugin takes this state, and this is remembered of it: one transaction. The one it had is kept, to go back to,
    /// or forgotten; one from before that is forgotten. [`StoreError::StateMoved`] as with [`Store::copy_state`], or where it
    /// is no longer kept.
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

    /// Forgets a state that nobody took; one that somebody has, or could go back to, stays.
    pub async fn forget_state(&self, state: StateNo) -> Result<(), StoreError> {
        while self.ask(move |tx| tx.forget_draft(state, FORGOTTEN_ROWS)).await? as i64 == FORGOTTEN_ROWS {}
        Ok(())
    }
}

impl Reader {
    /// The state that a plugin has, and the one that it could go back to.
    pub fn plugin_states(&self, plugin: PluginNo) -> Result<(StateShown, Option<StateShown>), StoreError> {
        self.all(|conn| {
            let has: i64 = conn
                .prepare_cached("SELECT state_no FROM plugins WHERE no = ?1")?
                .query_row([plugin.0], |row| row.get(0))?;
            let left: Option<i64> = conn
                .prepare_cached("SELECT no FROM states WHERE plugin = ?1 AND left_at IS NOT NULL AND draft IS NULL")?
                .query_row([plugin.0], |row| row.get(0))
                .optional()?;
            Ok((shown(conn, has)?, left.map(|no| shown(conn, no)).transpose()?))
        })
    }

    /// The number of the state that a plugin has.
    pub fn state_of(&self, plugin: PluginNo) -> Result<StateNo, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT state_no FROM plugins WHERE no = ?1")?;
            Ok(StateNo(read.query_row([plugin.0], |row| row.get(0))?))
        })
    }

    /// A page of a state, from behind `after`, in the order of scopes and keys: `most` values and `most_bytes` at most,
    /// one at least. What has expired by `now` is not in it. Empty: there is no more.
    pub fn state_page(
        &self,
        state: StateNo,
        after: Option<&StatePlace>,
        (most, most_bytes): (usize, usize),
        now: Timestamp,
    ) -> Result<Vec<StateEntry>, StoreError> {
        let (kind, id, key) = from_place(after);
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT scope, scope_id, key, value, expires_at FROM state
                 WHERE state_no = ?1 AND (scope, scope_id, key) > (?2, ?3, ?4)
                   AND (expires_at IS NULL OR expires_at > ?5) ORDER BY scope, scope_id, key",
            )?;
            let mut rows = read.query(params![state.0, kind, id, key, now.0])?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            while page.len() < most
                && let Some(row) = rows.next()?
            {
                let entry = StateEntry {
                    scope: scope_of(row.get(0)?, row.get(1)?)?,
                    key: row.get(2)?,
                    value: bytes_of(row.get_ref(3)?),
                    expires_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
                };
                bytes += entry.key.len() + entry.value.len();
                if bytes > most_bytes && !page.is_empty() {
                    break;
                }
                page.push(entry);
            }
            Ok(page)
        })
    }
}

fn shown(conn: &Connection, no: i64) -> Result<StateShown, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT version, bytes, (SELECT count(*) FROM state WHERE state_no = no), left_at FROM states WHERE no = ?1",
    )?;
    Ok(read.query_row([no], |row| {
        Ok(StateShown {
            no: StateNo(no),
            version: row.get(0)?,
            bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            values: row.get::<_, i64>(2)?.unsigned_abs(),
            left_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        })
    })?)
}
