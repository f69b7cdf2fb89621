//! Numbers for plugin names and lists of subscribers. A number is never reused.

use crate::codec::to_json;
use crate::error::StoreError;
use crate::meta::set_meta;
use crate::tx::Tx;
use beadle_model::{EventId, PluginNo};
use rusqlite::{OptionalExtension, params};

impl Tx<'_> {
    pub(crate) fn plugin_no(&self, name: &str) -> Result<PluginNo, StoreError> {
        let known = self
            .conn
            .prepare_cached("SELECT no FROM plugins WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        let no = match known {
            Some(no) => no,
            // Numbers start at 1; 0 is Beadle itself.
            None => {
                let no = self.conn.prepare_cached("INSERT INTO plugins (name) VALUES (?1)")?.insert([name])?;
                self.begin_first_state(PluginNo(no))?;
                no
            }
        };
        Ok(PluginNo(no))
    }

    pub(crate) fn subscriber_list(&self, plugins: &[PluginNo]) -> Result<i64, StoreError> {
        let list = to_json("a subscriber_list", &plugins)?;
        let known = self
            .conn
            .prepare_cached("SELECT id FROM subscriber_lists WHERE plugins = ?1")?
            .query_row([&list], |row| row.get(0))
            .optional()?;
        match known {
            Some(id) => Ok(id),
            None => {
                Ok(self.conn.prepare_cached("INSERT INTO subscriber_lists (plugins) VALUES (?1)")?.insert([list])?)
            }
        }
    }

    /// Raises the watermark of finished events to `id`, or to the first unfinished event below it.
    pub(crate) fn finished_below(&mut self, id: EventId) -> Result<EventId, StoreError> {
        let from = self.cache.finished_below;
        let limit = id.0.min(self.cache.next_event);
        if limit > from {
            let open: Option<i64> = self
                .conn
                .prepare_cached("SELECT id FROM events WHERE id >= ?1 AND id < ?2 AND state < 2 ORDER BY id LIMIT 1")?
                .query_row(params![from, limit], |row| row.get(0))
                .optional()?;
            let below = open.unwrap_or(limit);
            if below > from {
                set_meta(self.conn, "finished_below", below)?;
                self.cache.finished_below = below;
            }
        }
        Ok(EventId(self.cache.finished_below))
    }
}
