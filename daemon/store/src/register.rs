//! Numbers for names: plugins, and lists of subscribers. Given once, and never to another.

use crate::StoreError;
use crate::codec::to_json;
use crate::shadow::set_meta;
use crate::writer::Tx;
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
            // From 1: 0 is Beadle itself.
            None => {
                let no = self.conn.prepare_cached("INSERT INTO plugins (name) VALUES (?1)")?.insert([name])?;
                self.begin_first_state(PluginNo(no))?;
                no
            }
        };
        Ok(PluginNo(no))
    }

    pub(crate) fn roster(&self, plugins: &[PluginNo]) -> Result<i64, StoreError> {
        let list = to_json("a roster", &plugins)?;
        let known = self
            .conn
            .prepare_cached("SELECT id FROM rosters WHERE plugins = ?1")?
            .query_row([&list], |row| row.get(0))
            .optional()?;
        match known {
            Some(id) => Ok(id),
            None => Ok(self.conn.prepare_cached("INSERT INTO rosters (plugins) VALUES (?1)")?.insert([list])?),
        }
    }

    /// Moves the watermark of finished events up; never above one that is not, and never back.
    pub(crate) fn finished_below(&mut self, id: EventId) -> Result<EventId, StoreError> {
        let from = self.shadow.finished_below;
        let most = id.0.min(self.shadow.next_event);
        if most > from {
            let open: Option<i64> = self
                .conn
                .prepare_cached("SELECT id FROM events WHERE id >= ?1 AND id < ?2 AND state < 2 ORDER BY id LIMIT 1")?
                .query_row(params![from, most], |row| row.get(0))
                .optional()?;
            let below = open.unwrap_or(most);
            if below > from {
                set_meta(self.conn, "finished_below", below)?;
                self.shadow.finished_below = below;
            }
        }
        Ok(EventId(self.shadow.finished_below))
    }
}
