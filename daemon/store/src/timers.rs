//! Timers: set by a commit, turned into one event each when due.

use crate::error::StoreError;
use crate::tx::Tx;
use beadle_model::effect::{Scope, TimerWrite};
use beadle_model::{ConversationId, EventBody, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};

/// Timers of absent plugins wait.
const PRESENT: &str = "plugin NOT IN (SELECT no FROM plugins WHERE absent = 1)";

struct Due {
    id: i64,
    conversation: Option<ConversationId>,
    body: EventBody,
}

impl Tx<'_> {
    pub(crate) fn write_timer(
        &self,
        plugin: PluginNo,
        write: &TimerWrite,
        conversation: Option<ConversationId>,
    ) -> Result<(), StoreError> {
        match write {
            TimerWrite::Set { scope, key, due_at, payload } => {
                let (kind, id) = self.cache.people.resolve(*scope).as_columns();
                self.conn
                    .prepare_cached(
                        "INSERT INTO timers (plugin, scope, scope_id, key, due_at, conversation, payload)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (plugin, scope, scope_id, key) DO UPDATE
                         SET due_at = excluded.due_at, conversation = excluded.conversation, payload = excluded.payload",
                    )?
                    .execute(params![plugin.0, kind, id, key, due_at.0, conversation.map(|id| id.0), payload])?;
            }
            TimerWrite::Move { scope, key, due_at } => {
                let (kind, id) = self.cache.people.resolve(*scope).as_columns();
                self.conn
                    .prepare_cached(
                        "UPDATE timers SET due_at = ?5 WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4",
                    )?
                    .execute(params![plugin.0, kind, id, key, due_at.0])?;
            }
            TimerWrite::Cancel { scope, key } => {
                let (kind, id) = self.cache.people.resolve(*scope).as_columns();
                self.conn
                    .prepare_cached(
                        "DELETE FROM timers WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4",
                    )?
                    .execute(params![plugin.0, kind, id, key])?;
            }
        }
        Ok(())
    }

    /// Turns up to `limit` due timers into events, earliest first. Returns their number and the due
    /// time of the next one, which is in the past if more are due.
    pub(crate) fn fire(&mut self, now: Timestamp, limit: usize) -> Result<(usize, Option<Timestamp>), StoreError> {
        let due = self.due(now, limit)?;
        let fired = due.len();
        for timer in due {
            self.conn.prepare_cached("DELETE FROM timers WHERE id = ?1")?.execute([timer.id])?;
            self.append_own(None, timer.body, timer.conversation, (now, now))?;
        }
        let next: Option<i64> = self
            .conn
            .prepare_cached(&format!("SELECT due_at FROM timers WHERE {PRESENT} ORDER BY due_at LIMIT 1"))?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok((fired, next.map(Timestamp)))
    }

    /// A timer of an unknown scope must not block the others: it waits for a later version.
    fn postpone_unreadable(&self, id: i64, kind: i64) -> Result<(), StoreError> {
        tracing::error!(timer = id, scope = kind, "unreadable timer postponed for good");
        self.conn.prepare_cached("UPDATE timers SET due_at = ?2 WHERE id = ?1")?.execute([id, i64::MAX])?;
        Ok(())
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        let mut read = self.conn.prepare_cached(&format!(
            "SELECT id, plugin, scope, scope_id, key, due_at, conversation, payload FROM timers
             WHERE due_at <= ?1 AND {PRESENT} ORDER BY due_at, id LIMIT ?2"
        ))?;
        let mut rows = read.query(params![now.0, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut due = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, id) = (row.get(2)?, row.get(3)?);
            let Some(scope) = Scope::from_columns(kind, id) else {
                self.postpone_unreadable(row.get(0)?, kind)?;
                continue;
            };
            due.push(Due {
                id: row.get(0)?,
                conversation: row.get::<_, Option<i64>>(6)?.map(ConversationId),
                body: EventBody::Timer {
                    plugin: PluginNo(row.get(1)?),
                    scope,
                    key: row.get(4)?,
                    due_at: Timestamp(row.get(5)?),
                    payload: row.get(7)?,
                },
            });
        }
        Ok(due)
    }
}
