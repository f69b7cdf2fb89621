//! Retention: everything goes after its time, a little at once.
//!
//! What is old lies at the left edge of its table, since ids and times grow together. So a slice looks at the first rows
//! behind a cursor, deletes what may go, and stops at the first one that is too young. What must stay however old it is (an
//! unfinished event, one with a dead letter or that waits for its plugin, a message that is still to go) is passed by.

use crate::StoreError;
use crate::shadow::set_meta;
use crate::writer::Tx;
use beadle_model::Timestamp;
use rusqlite::{Statement, params};
use std::sync::atomic::Ordering;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Webhooks are repeated for seven days (whatsapp.md), and an event is its own protection against being taken twice.
const LEAST_EVENTS_MS: i64 = 8 * DAY_MS;

/// A platform keeps an undelivered message for 30 days, and tells of it then.
const LEAST_OUTBOX_MS: i64 = 31 * DAY_MS;

/// Rows of a table in one slice: some milliseconds of the writer's time.
const SLICE: i64 = 500;

/// How long things are kept, in milliseconds of civil time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Finished events with their bodies and handlings, and what became of schedules' moments; at least 8 days.
    pub events_ms: i64,
    /// Messages that are through, with their bodies and receipts; at least 31 days.
    pub outbox_ms: i64,
    /// Dead letters. An event stays for as long as it has one; and so long at most where it waits for a plugin.
    pub dead_ms: i64,
    /// Files that came with messages or were made by plugins.
    pub media_ms: i64,
    /// All files together; above it the oldest go, whatever their age.
    pub media_bytes: i64,
    /// A plugin's state from before a migration.
    pub states_ms: i64,
}

impl Default for Retention {
    /// 30 days for events, files and states of before, 90 for messages and dead letters; 4 GiB of files: a small server's disk holds that.
    fn default() -> Self {
        Self {
            events_ms: 30 * DAY_MS,
            outbox_ms: 90 * DAY_MS,
            dead_ms: 90 * DAY_MS,
            media_ms: 30 * DAY_MS,
            media_bytes: 4 << 30,
            states_ms: 30 * DAY_MS,
        }
    }
}

/// What one slice deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Events.
    pub events: usize,
    /// Messages.
    pub outbox: usize,
    /// Dead letters.
    pub dead: usize,
    /// Moments of schedules.
    pub firings: usize,
    /// Values of plugins that had expired, or were of a state that nobody has any more.
    pub state: usize,
    /// Files.
    pub media: usize,
    /// There is more to do: call again, when others have had their turn.
    pub more: bool,
}

/// How far the present pass is, by table; kept by the caller of the slices.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    events: i64,
    outbox: i64,
    firings: i64,
}

impl Tx<'_> {
    pub(crate) fn retain(
        &mut self,
        policy: &Retention,
        now: Timestamp,
        cursor: &mut Cursor,
    ) -> Result<Retained, StoreError> {
        // Numbers are not given twice, also when the rows that had them are gone.
        set_meta(self.conn, "next_event", self.shadow.next_event)?;
        set_meta(self.conn, "next_message", self.shared.next_message.load(Ordering::Relaxed))?;
        let mut retained = Retained { dead: self.drop_old_letters(policy, now)?, ..Retained::default() };
        let (events, more_events) = self.slice(
            &mut cursor.events,
            &format!(
                "SELECT id, received_at < ?2, NOT EXISTS (SELECT 1 FROM dead WHERE dead.event = events.id)
                     AND (received_at < {} OR NOT EXISTS (SELECT 1 FROM handlings WHERE event = events.id AND state = 3))
                 FROM events WHERE id > ?1 AND id < ?3 ORDER BY id LIMIT ?4",
                now.0.saturating_sub(policy.dead_ms)
            ),
            (now.0.saturating_sub(policy.events_ms.max(LEAST_EVENTS_MS)), self.shadow.finished_below),
            &[
                "DELETE FROM events WHERE id = ?1",
                "DELETE FROM event_bodies WHERE id = ?1",
                "DELETE FROM handlings WHERE event = ?1",
            ],
        )?;
        let (outbox, more_outbox) = self.slice(
            &mut cursor.outbox,
            "SELECT id, created_at < ?2, state IN (2, 3, 5) FROM outbox WHERE id > ?1 AND id < ?3
             ORDER BY id LIMIT ?4",
            (now.0.saturating_sub(policy.outbox_ms.max(LEAST_OUTBOX_MS)), i64::MAX),
            &[
                "DELETE FROM outbox WHERE id = ?1",
                "DELETE FROM outbox_bodies WHERE id = ?1",
                "DELETE FROM group_receipts WHERE message = ?1",
            ],
        )?;
        let cutoff = now.0.saturating_sub(policy.events_ms.max(LEAST_EVENTS_MS));
        // The last word on a schedule that is configured stays.
        let (firings, more_firings) = self.slice(
            &mut cursor.firings,
            "SELECT id, decided_at < ?2, EXISTS (SELECT 1 FROM firings AS later WHERE later.schedule = this.schedule AND later.id > this.id)
                 OR EXISTS (SELECT 1 FROM schedules WHERE no = this.schedule AND removed_at IS NOT NULL)
             FROM firings AS this WHERE id > ?1 AND id < ?3 ORDER BY id LIMIT ?4",
            (cutoff, i64::MAX),
            &["DELETE FROM firings WHERE id = ?1"],
        )?;
        self.forget_schedules(cutoff)?;
        (retained.events, retained.outbox, retained.firings) = (events, outbox, firings);
        let left_before = now.0.saturating_sub(policy.states_ms);
        retained.state = self.sweep_state(now)? + self.sweep_states(left_before, SLICE)?;
        let old_media = now.0.saturating_sub(policy.media_ms.max(DAY_MS));
        retained.media = self.retain_media(old_media, policy.media_bytes.max(0), SLICE)?;
        set_meta(self.conn, "next_media", self.shared.files.next())?;
        let full = |count: usize| count as i64 >= SLICE;
        retained.more = more_events
            || more_outbox
            || more_firings
            || full(retained.dead)
            || full(retained.state)
            || full(retained.media);
        Ok(retained)
    }

    /// Schedules that were removed long ago and have no history any more.
    fn forget_schedules(&self, cutoff: i64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "DELETE FROM schedules WHERE removed_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM firings WHERE schedule = schedules.no)",
            )?
            .execute([cutoff])?;
        Ok(())
    }

    /// Looks at one slice behind the cursor; how many rows went, and whether to go on behind it.
    fn slice(
        &self,
        cursor: &mut i64,
        select: &str,
        (cutoff, below): (i64, i64),
        deletes: &[&str],
    ) -> Result<(usize, bool), StoreError> {
        let mut read = self.conn.prepare(select)?;
        let rows: Vec<(i64, bool, bool)> = read
            .query_map(params![*cursor, cutoff, below, SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut deletes: Vec<Statement<'_>> =
            deletes.iter().map(|sql| self.conn.prepare(sql)).collect::<Result<_, _>>()?;
        let seen = rows.len() as i64;
        let mut gone = 0;
        for (id, old, may_go) in rows {
            if !old {
                *cursor = 0;
                return Ok((gone, false));
            }
            *cursor = id;
            if may_go {
                gone += 1;
                deletes.iter_mut().try_for_each(|delete| delete.execute([id]).map(drop))?;
            }
        }
        if seen < SLICE {
            *cursor = 0;
        }
        Ok((gone, seen == SLICE))
    }

    fn drop_old_letters(&mut self, policy: &Retention, now: Timestamp) -> Result<usize, StoreError> {
        let cutoff = now.0.saturating_sub(policy.dead_ms.max(DAY_MS));
        let letters: Vec<(Option<i64>, i64, Option<i64>, i64)> = self
            .conn
            .prepare_cached(
                "SELECT event, plugin, message, id FROM dead WHERE max(at, coalesce(retried_at, 0)) < ?1 LIMIT ?2",
            )?
            .query_map([cutoff, SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        for (event, plugin, message, id) in &letters {
            self.conn.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([id])?;
            match (event, message) {
                (_, Some(message)) => {
                    self.conn
                        .prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1 AND state = 4")?
                        .execute([message])?;
                }
                (Some(event), None) => {
                    self.shadow.watched.remove(&(*event, *plugin));
                }
                (None, None) => {}
            }
        }
        Ok(letters.len() + self.drop_old_webhooks(cutoff, SLICE)?)
    }

    /// Values of plugins that have expired.
    fn sweep_state(&self, now: Timestamp) -> Result<usize, StoreError> {
        let expired: Vec<(i64, i64, i64, String, i64)> = self
            .conn
            .prepare_cached(
                "SELECT state_no, scope, scope_id, key, octet_length(key) + CASE typeof(value) WHEN 'integer' THEN 8
                     ELSE octet_length(value) END FROM state WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
            )?
            .query_map([now.0, SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
            .collect::<Result<_, _>>()?;
        for (state, scope, id, key, bytes) in &expired {
            self.conn
                .prepare_cached("DELETE FROM state WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4")?
                .execute(params![state, scope, id, key])?;
            self.conn
                .prepare_cached("UPDATE states SET bytes = max(0, bytes - ?2) WHERE no = ?1")?
                .execute([state, bytes])?;
        }
        Ok(expired.len())
    }
}
