//! Plugins in the store, apart from their state: whether they run, and the catalog's record, which
//! is opaque text here.

use crate::codec::to_json;
use crate::error::StoreError;
use crate::read::Reader;
use crate::tx::Tx;
use beadle_model::PluginNo;
use rusqlite::{OptionalExtension as _, params};

/// A plugin that has a number. Not all of them are installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRow {
    /// Its number.
    pub no: PluginNo,
    /// Its name.
    pub name: String,
    /// The record written by [`crate::Store::set_plugin_record`].
    pub record: Option<String>,
}

/// What a purge deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// State values, including those of previous states.
    pub values: usize,
    /// Timers.
    pub timers: usize,
    /// Durable requests.
    pub requests: usize,
    /// Waiting events.
    pub events: usize,
}

impl Tx<'_> {
    pub(crate) fn set_plugin_record(&self, plugin: PluginNo, record: &str) -> Result<(), StoreError> {
        let set = "UPDATE plugins SET record = ?2 WHERE no = ?1";
        self.conn.prepare_cached(set)?.execute(params![plugin.0, record])?;
        Ok(())
    }

    pub(crate) fn set_present_plugins(&self, plugins: &[PluginNo]) -> Result<(), StoreError> {
        let list = to_json("a list of plugins", &plugins)?;
        self.conn
            .prepare_cached("UPDATE plugins SET absent = no NOT IN (SELECT value FROM json_each(?1))")?
            .execute([list])?;
        Ok(())
    }

    pub(crate) fn purge_plugin(&self, plugin: PluginNo) -> Result<PurgeReport, StoreError> {
        let purged = PurgeReport {
            values: self
                .conn
                .prepare_cached("DELETE FROM state_values WHERE state_no IN (SELECT no FROM states WHERE plugin = ?1)")?
                .execute([plugin.0])?,
            timers: self.conn.prepare_cached("DELETE FROM timers WHERE plugin = ?1")?.execute([plugin.0])?,
            requests: self.delete_requests_of(plugin)?,
            events: self
                .conn
                .prepare_cached("UPDATE handlings SET state = 4, next_at = NULL WHERE plugin = ?1 AND state = 3")?
                .execute([plugin.0])?,
        };
        self.conn.prepare_cached("DELETE FROM documents WHERE plugin = ?1")?.execute([plugin.0])?;
        self.conn.prepare_cached("UPDATE plugins SET record = NULL WHERE no = ?1")?.execute([plugin.0])?;
        self.conn.prepare_cached("DELETE FROM states WHERE plugin = ?1")?.execute([plugin.0])?;
        let mut read = self.conn.prepare_cached("SELECT name FROM plugins WHERE no = ?1")?;
        let name: Option<String> = read.query_row([plugin.0], |row| row.get(0)).optional()?;
        drop(read);
        if let Some(name) = name {
            self.delete_refresh_tokens(&name)?;
        }
        self.begin_first_state(plugin)?;
        Ok(purged)
    }
}

impl Reader {
    /// All plugins with a number.
    pub fn plugins(&self) -> Result<Vec<PluginRow>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT no, name, record FROM plugins ORDER BY no")?;
            let rows = read.query_map([], |row| {
                Ok(PluginRow { no: PluginNo(row.get(0)?), name: row.get(1)?, record: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
