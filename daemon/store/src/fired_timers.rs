//! Timers that fired lately, as far as they count against the limits of [`crate::timers`].

use crate::error::StoreError;
use beadle_model::{EventId, EventKind, PluginNo, Timestamp};
use rusqlite::Connection;
use std::collections::HashMap;

/// What counts against the limits of each plugin.
#[derive(Default)]
pub(crate) struct FiredTimers {
    /// The second of civil time, and the timers that fired in it.
    second: i64,
    in_second: HashMap<PluginNo, usize>,
    /// The events that are not handled, each with its plugin. `None`: not read from the database
    /// yet.
    open: Option<HashMap<i64, PluginNo>>,
}

impl FiredTimers {
    /// What is known from memory no longer holds, because a transaction was rolled back.
    pub(crate) fn forget_open(&mut self) {
        self.open = None;
    }

    /// An event was handled, or is waiting for its plugin.
    pub(crate) fn handled(&mut self, event: EventId) {
        if let Some(open) = self.open.as_mut().filter(|open| !open.is_empty()) {
            open.remove(&event.0);
        }
    }

    pub(crate) fn fired(&mut self, plugin: PluginNo, event: EventId) {
        *self.in_second.entry(plugin).or_default() += 1;
        if let Some(open) = &mut self.open {
            open.insert(event.0, plugin);
        }
    }

    /// The timers of a plugin that fired in this second, and its events that are not handled.
    pub(crate) fn counts(
        &mut self,
        conn: &Connection,
        finished_below: i64,
        plugin: PluginNo,
        now: Timestamp,
    ) -> Result<(usize, usize), StoreError> {
        let second = now.0.div_euclid(1000);
        if self.second != second {
            self.second = second;
            self.in_second.clear();
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(load_open(conn, finished_below)?),
        };
        let open = open.values().filter(|owner| **owner == plugin).count();
        Ok((self.in_second.get(&plugin).copied().unwrap_or(0), open))
    }
}

/// The unfinished timer events, each with its plugin.
fn load_open(conn: &Connection, finished_below: i64) -> Result<HashMap<i64, PluginNo>, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT id, CASE WHEN json_valid(body) THEN json_extract(body, '$.plugin') END
         FROM events JOIN event_bodies USING (id) WHERE id >= ?1 AND state < 2 AND kind = ?2",
    )?;
    let rows = read.query_map([finished_below, EventKind::Timer as i64], |row| {
        Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(PluginNo)))
    })?;
    let mut open = HashMap::new();
    for row in rows {
        let (event, plugin) = row?;
        open.extend(plugin.map(|plugin| (event, plugin)));
    }
    Ok(open)
}
