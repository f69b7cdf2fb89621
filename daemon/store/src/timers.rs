//! Timers: set by a commit, turned into one event each when due.
//!
//! A handling of a timer may set a hundred more, so a plugin could multiply its timers until
//! nothing else runs. Therefore they count against its quota ([`crate::quota`]), at most
//! [`TIMERS_PER_SECOND`] of one plugin fire in a second, and none while [`OPEN_TIMERS`] of its
//! events are not handled. What is over a limit stays a timer and fires late. Each plugin's timers
//! are read for themselves, so that one plugin's limits do not delay another. See ADR 0071.
//!
//! A timer that was set while the clock was ahead is moved once the clock is right again, or it
//! would fire years late (ADR 0097).

use crate::error::StoreError;
use crate::tx::Tx;
use beadle_model::effect::{Scope, TimerWrite};
use beadle_model::time::CLOCK_AHEAD_MS;
use beadle_model::{ConversationId, EventBody, EventId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

/// The maximum number of timers of one plugin that fire in a second of civil time: a business
/// number sends 80 messages a second (`docs/whatsapp.md#limits`), so a plugin that sends one for
/// each timer is not slowed down.
pub const TIMERS_PER_SECOND: usize = 100;

/// The maximum number of timer events of one plugin that are not handled, or wait for it. Ten
/// seconds of its timers; more would not be handled sooner.
pub const OPEN_TIMERS: usize = 1000;

/// A timer that is due.
struct Due {
    id: i64,
    plugin: PluginNo,
    due_at: Timestamp,
    conversation: Option<ConversationId>,
    body: EventBody,
}

impl Tx<'_> {
    pub(crate) fn write_timer(
        &self,
        plugin: PluginNo,
        write: &TimerWrite,
        conversation: Option<ConversationId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (TimerWrite::Set { scope, .. } | TimerWrite::Move { scope, .. } | TimerWrite::Cancel { scope, .. }) = write;
        if self.cache.people.is_erased(*scope) {
            return Ok(());
        }
        match write {
            TimerWrite::Set { scope, key, due_at, payload } => {
                let (kind, id) = self.cache.people.resolve(*scope).as_columns();
                self.conn
                    .prepare_cached(
                        "INSERT INTO timers (plugin, scope, scope_id, key, due_at, conversation, payload, set_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (plugin, scope, scope_id, key) DO UPDATE
                         SET due_at = excluded.due_at, conversation = excluded.conversation,
                             payload = excluded.payload, set_at = excluded.set_at",
                    )?
                    .execute(params![plugin.0, kind, id, key, due_at.0, conversation.map(|id| id.0), payload, now.0])?;
            }
            TimerWrite::Move { scope, key, due_at } => {
                let (kind, id) = self.cache.people.resolve(*scope).as_columns();
                self.conn
                    .prepare_cached(
                        "UPDATE timers SET due_at = ?5, set_at = ?6
                         WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4",
                    )?
                    .execute(params![plugin.0, kind, id, key, due_at.0, now.0])?;
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

    /// Turns up to `limit` due timers into events, earliest first, within the limits of each
    /// plugin. Returns their number and when to fire again, which is in the past if more may fire.
    pub(crate) fn fire(&mut self, now: Timestamp, limit: usize) -> Result<(usize, Option<Timestamp>), StoreError> {
        let plugins = self.plugins_with_timers(now)?;
        let mut due = Vec::new();
        for plugin in &plugins {
            let allowed = self.allowed(*plugin, now)?.min(limit);
            if allowed > 0 {
                due.append(&mut self.due(*plugin, now, allowed)?);
            }
        }
        due.sort_by_key(|timer| (timer.due_at, timer.id));
        due.truncate(limit);
        let fired = due.len();
        for timer in due {
            self.conn.prepare_cached("DELETE FROM timers WHERE id = ?1")?.execute([timer.id])?;
            let event = EventId(self.cache.next_event);
            self.append_own(None, timer.body, timer.conversation, (now, now))?;
            self.cache.timers.fired(timer.plugin, event);
        }
        let mut next = None;
        for plugin in plugins {
            let Some(first) = self.first_due(plugin)? else { continue };
            let is_limited = first <= now && self.allowed(plugin, now)? == 0;
            let due_at = if is_limited { next_second(now) } else { first };
            next = next.into_iter().chain([due_at]).min();
        }
        Ok((fired, next))
    }

    /// Plugins that have timers and run. Their timers are right for the present time.
    fn plugins_with_timers(&self, now: Timestamp) -> Result<Vec<PluginNo>, StoreError> {
        // One step in the index for each plugin, however many timers it has.
        let mut next = self.conn.prepare_cached("SELECT min(plugin) FROM timers WHERE plugin > ?1")?;
        let mut facts = self.conn.prepare_cached("SELECT absent, timers_set_at FROM plugins WHERE no = ?1")?;
        let mut plugins = Vec::new();
        let mut at = i64::MIN;
        while let Some(plugin) = next.query_row([at], |row| row.get::<_, Option<i64>>(0))? {
            let facts = facts.query_row([plugin], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
            let (absent, set_at) = facts.optional()?.unwrap_or_default();
            if absent == 0 {
                if set_at > now.plus_ms(CLOCK_AHEAD_MS).0 {
                    self.move_timers_of_a_clock_ahead(PluginNo(plugin), now)?;
                }
                plugins.push(PluginNo(plugin));
            }
            at = plugin;
        }
        Ok(plugins)
    }

    /// Lets the timers that were set by a clock that was ahead be due as long after the present
    /// time as they were to be after that one. It reads all timers of the plugin, once.
    fn move_timers_of_a_clock_ahead(&self, plugin: PluginNo, now: Timestamp) -> Result<(), StoreError> {
        let moved = self
            .conn
            .prepare_cached(
                "UPDATE timers SET set_at = ?2,
                     due_at = CASE WHEN due_at > set_at THEN ?2 + (due_at - set_at) ELSE min(due_at, ?2) END
                 WHERE plugin = ?1 AND set_at > ?3 AND due_at < ?4",
            )?
            .execute([plugin.0, now.0, now.plus_ms(CLOCK_AHEAD_MS).0, i64::MAX])?;
        self.conn.prepare_cached("UPDATE plugins SET timers_set_at = ?2 WHERE no = ?1")?.execute([plugin.0, now.0])?;
        tracing::warn!(plugin = plugin.0, timers = moved, "timers set by a clock that was ahead moved");
        Ok(())
    }

    fn first_due(&self, plugin: PluginNo) -> Result<Option<Timestamp>, StoreError> {
        let mut first = self.conn.prepare_cached("SELECT min(due_at) FROM timers WHERE plugin = ?1")?;
        Ok(first.query_row([plugin.0], |row| row.get::<_, Option<i64>>(0))?.map(Timestamp))
    }

    /// How many timers of a plugin may fire now.
    fn allowed(&mut self, plugin: PluginNo, now: Timestamp) -> Result<usize, StoreError> {
        let finished_below = self.cache.finished_below;
        let (fired, open) = self.cache.timers.counts(self.conn, finished_below, plugin, now)?;
        let waiting: i64 = self
            .conn
            .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM handlings WHERE plugin = ?1 AND state = 3 LIMIT ?2)")?
            .query_row(params![plugin.0, OPEN_TIMERS as i64], |row| row.get(0))?;
        let waiting = usize::try_from(waiting).unwrap_or(OPEN_TIMERS);
        Ok(TIMERS_PER_SECOND.saturating_sub(fired).min(OPEN_TIMERS.saturating_sub(open + waiting)))
    }

    /// Sets a timer aside that cannot be read, so that it does not block the others: it waits for a
    /// later version.
    fn postpone_unreadable(&self, id: i64, error: &StoreError) -> Result<(), StoreError> {
        tracing::error!(timer = id, %error, "unreadable timer postponed for good");
        self.conn.prepare_cached("UPDATE timers SET due_at = ?2 WHERE id = ?1")?.execute([id, i64::MAX])?;
        Ok(())
    }

    fn due(&self, plugin: PluginNo, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        let mut read = self.conn.prepare_cached(
            "SELECT id, scope, scope_id, key, due_at, conversation, payload FROM timers
             WHERE plugin = ?1 AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3",
        )?;
        let mut rows = read.query(params![plugin.0, now.0, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let (mut due, mut unreadable) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            match due_of(plugin, row) {
                Ok(timer) => due.push(timer),
                Err(error @ StoreError::Unreadable { .. }) => unreadable.push((row.get(0)?, error)),
                Err(error) => return Err(error),
            }
        }
        drop(rows);
        unreadable.iter().try_for_each(|(id, error)| self.postpone_unreadable(*id, error))?;
        Ok(due)
    }
}

fn due_of(plugin: PluginNo, row: &Row<'_>) -> Result<Due, StoreError> {
    let (kind, id) = (row.get(1)?, row.get(2)?);
    let scope =
        Scope::from_columns(kind, id).ok_or_else(|| StoreError::unreadable("a timer", format!("scope {kind}")))?;
    let due_at = Timestamp(row.get(4)?);
    Ok(Due {
        id: row.get(0)?,
        plugin,
        due_at,
        conversation: row.get::<_, Option<i64>>(5)?.map(ConversationId),
        body: EventBody::Timer { plugin, scope, key: row.get(3)?, due_at, payload: row.get(6)? },
    })
}

fn next_second(now: Timestamp) -> Timestamp {
    Timestamp(now.0.div_euclid(1000).saturating_add(1).saturating_mul(1000))
}
