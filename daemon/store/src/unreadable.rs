//! Rows that this version cannot read, because they are damaged or were written by another version.
//!
//! A reader skips such a row, so that it cannot block the others, and reports it here. The writer
//! then sets it aside: it becomes a dead letter that an operator sees, and a later version can
//! retry. Reporting a row again changes nothing.

use crate::codec::to_json;
use crate::error::StoreError;
use crate::queue::{Queue, ask};
use crate::tx::Tx;
use beadle_clock::Clock;
use beadle_model::event::Problem;
use beadle_model::{Coded as _, EventId, MessageId, PluginNo, Timestamp};
use rusqlite::params;
use std::sync::{Arc, OnceLock, Weak};

/// An unreadable row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnreadableRow {
    /// An unfinished event.
    Event(EventId),
    /// An event that waits for a plugin.
    Waiting(EventId, PluginNo),
    /// A message that is queued or sending.
    Send(MessageId),
}

/// Where readers report unreadable rows. Empty until the store is open.
#[derive(Default)]
pub(crate) struct Reports(OnceLock<(Weak<Queue>, Clock)>);

impl Reports {
    /// From now on reports reach the writer through this queue.
    pub(crate) fn connect(&self, queue: &Arc<Queue>, clock: &Clock) {
        // Set once, when the store opens.
        let _ = self.0.set((Arc::downgrade(queue), clock.clone()));
    }

    /// Reports a row. If the writer's queue is full, the next reader reports it again.
    pub(crate) fn report(&self, row: UnreadableRow, error: &StoreError) {
        tracing::error!(?row, %error, "unreadable row skipped");
        let Some((queue, clock)) = self.0.get() else { return };
        let Some(queue) = queue.upgrade() else { return };
        let (code, text, now) = (error.code(), error.to_string(), clock.now());
        let (job, _) = ask(false, move |tx| tx.set_aside(row, code, &text, now));
        if let Err(error) = queue.try_put(job) {
            tracing::debug!(%error, "unreadable row not set aside yet");
        }
    }
}

impl Tx<'_> {
    /// Turns an unreadable row into a dead letter.
    fn set_aside(&mut self, row: UnreadableRow, code: &str, error: &str, now: Timestamp) -> Result<(), StoreError> {
        match row {
            UnreadableRow::Event(event) => {
                self.cache.timers.handled(event);
                let changed = self
                    .conn
                    .prepare_cached("UPDATE events SET state = 2 WHERE id = ?1 AND state < 2")?
                    .execute([event.0])?;
                self.insert_dead_handling(changed, (event, PluginNo::HOST), (code, error), now)
            }
            UnreadableRow::Waiting(event, plugin) => {
                let changed = self
                    .conn
                    .prepare_cached("UPDATE handlings SET state = 2 WHERE event = ?1 AND plugin = ?2 AND state = 3")?
                    .execute([event.0, plugin.0])?;
                self.insert_dead_handling(changed, (event, plugin), (code, error), now)
            }
            UnreadableRow::Send(message) => {
                let (code, title, details, by) = (code.to_owned(), error.to_owned(), None, "host".to_owned());
                let problem = Problem { code, title, details, by };
                let changed = self
                    .conn
                    .prepare_cached("UPDATE outbox SET state = 4, problem = ?2 WHERE id = ?1 AND state IN (0, 1)")?
                    .execute(params![message.0, to_json("a problem", &problem)?])?;
                self.cache.sending.remove(&message.0);
                if changed > 0 { self.insert_dead_send(message, &problem, now) } else { Ok(()) }
            }
        }
    }

    fn insert_dead_handling(
        &self,
        changed: usize,
        (event, plugin): (EventId, PluginNo),
        (code, error): (&str, &str),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if changed > 0 {
            self.conn
                .prepare_cached(
                    "INSERT INTO dead_letters (event, plugin, attempts, code, error, at) VALUES (?1, ?2, 0, ?3, ?4, ?5)
                     ON CONFLICT (event, plugin) WHERE message IS NULL DO NOTHING",
                )?
                .execute(params![event.0, plugin.0, code, error, now.0])?;
        }
        Ok(())
    }
}
