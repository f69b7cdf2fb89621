//! Retention: deletes what has passed its time, slice by slice.
//!
//! Ids and times grow together, so old rows are at the left edge of their table. A slice examines
//! the first rows after a cursor, deletes what may go, and stops at the first one that is too
//! young. What must stay regardless of age is skipped: an unfinished event, one with a dead letter
//! or one that waits for a plugin, an unsent message. Files are found by their age instead, with an
//! index: one that was stored by a clock that was ahead would end each slice.

use crate::error::StoreError;
use crate::meta::{meta, set_meta};
use crate::read::Reader;
use crate::tx::Tx;
use beadle_model::Timestamp;
use beadle_model::time::DAY_MS;
use rusqlite::{Connection, Statement, params};
use std::sync::atomic::Ordering;

/// The platform repeats webhooks for seven days (`docs/whatsapp.md#delivery`), and only the event's
/// row prevents a duplicate.
const MIN_EVENTS_MS: i64 = 8 * DAY_MS;

/// The platform keeps an undelivered message for 30 days and reports on it then.
const MIN_OUTBOX_MS: i64 = 31 * DAY_MS;

/// For 30 days a question may be open, and the earlier ones count against asking again.
const MIN_UNANSWERED_MS: i64 = 31 * DAY_MS;

/// The rows per table in a slice: some milliseconds of the writer's time.
const SLICE: i64 = 500;

/// The longest step of the clock between two runs that is believed at once: runs are an hour apart,
/// and a weekend without power is no jump.
const MAX_STEP_MS: i64 = 4 * DAY_MS;

/// Keys in `meta`: the time by which the last run measured age; when a jump ahead was first and
/// last seen.
const TRUSTED_AT: &str = "retention_trusted_at";
const JUMPED_AT: &str = "retention_jumped_at";
const JUMP_SEEN_AT: &str = "retention_jump_seen_at";

/// How long to keep data, in milliseconds of civil time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Finished events with bodies and handlings, and the history of schedules; at least 8 days.
    pub events_ms: i64,
    /// Completed messages with bodies and receipts; at least 31 days.
    pub outbox_ms: i64,
    /// Dead letters. An event stays while it has one, and at most this long while it waits for a
    /// plugin.
    pub dead_ms: i64,
    /// Files that arrived with messages or were created by plugins.
    pub media_ms: i64,
    /// The total size of files, above which the oldest are deleted.
    pub media_bytes: i64,
    /// A plugin's state from before a migration.
    pub states_ms: i64,
    /// What people asked for, once it is closed, and what they did not confirm.
    pub requests_ms: i64,
    /// What erased people had refused.
    pub erased_identities_ms: i64,
    /// People whom only a web form has named, after they were asked last; at least 31 days.
    pub unanswered_ms: i64,
    /// Copies of the database before schema upgrades.
    pub upgrade_copies_ms: i64,
}

impl Default for Retention {
    /// 30 days for events, files, previous states and copies before upgrades, 90 for messages and
    /// dead letters, a year for requests, three for what erased people had refused (claims about
    /// advertising expire then in most countries), 31 for people who did not answer, 4 GiB of
    /// files, which fits the disk of a small server.
    fn default() -> Self {
        Self {
            events_ms: 30 * DAY_MS,
            outbox_ms: 90 * DAY_MS,
            dead_ms: 90 * DAY_MS,
            media_ms: 30 * DAY_MS,
            media_bytes: 4 << 30,
            states_ms: 30 * DAY_MS,
            requests_ms: 365 * DAY_MS,
            erased_identities_ms: 3 * 365 * DAY_MS,
            unanswered_ms: 31 * DAY_MS,
            upgrade_copies_ms: 30 * DAY_MS,
        }
    }
}

/// What retention would delete now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPlan {
    /// The time by which age is measured: an earlier one after the clock jumped ahead (ADR 0069).
    pub measured_at: Timestamp,
    /// The kind and the number of rows or files; whether there may be more, because not all were
    /// counted.
    pub kinds: Vec<(&'static str, u64, bool)>,
}

/// The rows that a plan counts by reading them: a second's work.
const COUNTED: i64 = 1_000_000;

/// The number and time of an event, and whether it may go: it has no dead letter, and does not wait
/// for a plugin.
fn events_select(policy: &Retention, now: Timestamp) -> String {
    format!(
        "SELECT id, received_at, NOT EXISTS (SELECT 1 FROM dead_letters WHERE dead_letters.event = events.id)
             AND (received_at < {} OR NOT EXISTS (SELECT 1 FROM handlings WHERE event = events.id AND state = 3))
         FROM events WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        now.0.saturating_sub(policy.dead_ms)
    )
}

/// Closed requests, and those that were never confirmed; a request for a person to talk to stays
/// until it is closed.
const OLD_REQUESTS: &str = "FROM contact_requests
     WHERE coalesce(closed_at, asked_at) < ?1 AND (closed_at IS NOT NULL OR (confirmed_at IS NULL AND kind <> 1))";

const OUTBOX_SELECT: &str =
    "SELECT id, created_at, state IN (2, 3, 5) FROM outbox WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3";

/// The latest outcome of a configured schedule stays.
const FIRINGS_SELECT: &str =
    "SELECT id, decided_at, EXISTS (SELECT 1 FROM firings AS later WHERE later.schedule = this.schedule AND later.id > this.id)
         OR EXISTS (SELECT 1 FROM schedules WHERE no = this.schedule AND removed_at IS NOT NULL)
     FROM firings AS this WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3";

/// What a slice deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Events.
    pub events: usize,
    /// Messages.
    pub outbox: usize,
    /// Dead letters.
    pub dead: usize,
    /// Outcomes of schedules.
    pub firings: usize,
    /// State values that had expired or belonged to an abandoned state.
    pub state: usize,
    /// Files.
    pub media: usize,
    /// Requests of people, and what erased people had refused.
    pub requests: usize,
    /// Whether there is more to delete: call again after other work had a turn.
    pub more: bool,
}

/// The progress of the present pass, by table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    events: i64,
    outbox: i64,
    firings: i64,
}

impl Reader {
    /// The time by which the last run of retention measured age, for other code that deletes by
    /// age: a clock that jumped ahead is not believed (ADR 0069). `None` before the first run.
    pub fn retention_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.one(|conn| Ok(meta(conn, TRUSTED_AT)?.map(Timestamp)))
    }

    /// What retention would delete now, by kind.
    pub fn retention_plan(&self, policy: &Retention, now: Timestamp) -> Result<RetentionPlan, StoreError> {
        self.all(|conn| plan(conn, policy, now))
    }
}

/// The time by which to measure age. A clock that jumped ahead is not believed until it has gone on
/// from there for a day, so that a wrong clock deletes nothing; a long downtime only delays the
/// deletion. See ADR 0069.
#[derive(Clone, Copy, Debug)]
enum MeasuredTime {
    /// The clock did not jump.
    Now(Timestamp),
    /// It jumped ahead a day ago, and has gone on since.
    Believed(Timestamp),
    /// It jumped ahead since the trusted time; whether that was not seen before.
    Jumped { trusted: Timestamp, is_new: bool },
}

impl MeasuredTime {
    fn read(conn: &Connection, now: Timestamp) -> Result<Self, StoreError> {
        let trusted = meta(conn, TRUSTED_AT)?.unwrap_or(now.0);
        if now.0 - trusted <= MAX_STEP_MS {
            return Ok(Self::Now(now));
        }
        let trusted = Timestamp(trusted);
        let goes_on = |seen_at: &i64| (0..=MAX_STEP_MS).contains(&(now.0 - seen_at));
        Ok(match (meta(conn, JUMPED_AT)?, meta(conn, JUMP_SEEN_AT)?.filter(goes_on)) {
            (Some(jumped_at), Some(_)) if now.0 - jumped_at >= DAY_MS => Self::Believed(now),
            (Some(_), Some(_)) => Self::Jumped { trusted, is_new: false },
            _ => Self::Jumped { trusted, is_new: true },
        })
    }

    fn at(self) -> Timestamp {
        match self {
            Self::Now(at) | Self::Believed(at) | Self::Jumped { trusted: at, .. } => at,
        }
    }
}

/// Counts the rows at the left edge of a table that are old enough and may go.
fn count_old(
    conn: &Connection,
    select: &str,
    (cutoff, now, below): (i64, Timestamp, i64),
) -> Result<(u64, bool), StoreError> {
    let mut read = conn.prepare_cached(select)?;
    let mut rows = read.query(params![0, below, COUNTED])?;
    let (mut count, mut seen) = (0, 0);
    while let Some(row) = rows.next()? {
        seen += 1;
        let (at, may_go): (i64, bool) = (row.get(1)?, row.get(2)?);
        let is_future = at > now.0;
        if at >= cutoff && !is_future {
            return Ok((count, false));
        }
        count += u64::from(may_go && !is_future);
    }
    Ok((count, seen == COUNTED))
}

fn plan(conn: &Connection, policy: &Retention, now: Timestamp) -> Result<RetentionPlan, StoreError> {
    let now = MeasuredTime::read(conn, now)?.at();
    let before = |keep_ms: i64| now.0.saturating_sub(keep_ms);
    let finished_below = meta(conn, "finished_below")?.unwrap_or(1);
    let count = |sql: &str, cutoff: i64| -> Result<(u64, bool), StoreError> {
        Ok((conn.prepare_cached(sql)?.query_row([cutoff], |row| row.get::<_, i64>(0))?.unsigned_abs(), false))
    };
    let (events, messages) = (policy.events_ms.max(MIN_EVENTS_MS), policy.outbox_ms.max(MIN_OUTBOX_MS));
    let counted = [
        ("events", count_old(conn, &events_select(policy, now), (before(events), now, finished_below))?),
        ("messages", count_old(conn, OUTBOX_SELECT, (before(messages), now, i64::MAX))?),
        (
            "dead_letters",
            count(
                "SELECT count(*) FROM dead_letters WHERE max(at, coalesce(retried_at, 0)) < ?1",
                before(policy.dead_ms.max(DAY_MS)),
            )?,
        ),
        ("media", (old_files(conn, before(policy.media_ms.max(DAY_MS)), policy.media_bytes.max(0))?, false)),
        ("broadcasts", count("SELECT count(*) FROM broadcasts WHERE state >= 4 AND ended_at < ?1", before(messages))?),
        ("schedule_history", count_old(conn, FIRINGS_SELECT, (before(events), now, i64::MAX))?),
        ("expired_values", count("SELECT count(*) FROM state_values WHERE expires_at <= ?1", now.0)?),
        ("requests", count(&format!("SELECT count(*) {OLD_REQUESTS}"), before(policy.requests_ms.max(DAY_MS)))?),
        (
            "erased_identities",
            count(
                "SELECT count(*) FROM erased_identities WHERE erased_at < ?1",
                before(policy.erased_identities_ms.max(DAY_MS)),
            )?,
        ),
        (
            "unanswered_people",
            count(
                "SELECT count(*) FROM opt_in_contacts WHERE asked_at < ?1",
                before(policy.unanswered_ms.max(MIN_UNANSWERED_MS)),
            )?,
        ),
    ];
    let kinds = counted.into_iter().map(|(kind, (count, may_be_more))| (kind, count, may_be_more)).collect();
    Ok(RetentionPlan { measured_at: now, kinds })
}

/// Files that are too old, and the oldest ones above the size limit.
fn old_files(conn: &Connection, older_than: i64, max_bytes: i64) -> Result<u64, StoreError> {
    let total: i64 =
        conn.prepare_cached("SELECT coalesce(sum(bytes), 0) FROM media_totals")?.query_row([], |row| row.get(0))?;
    let sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM media WHERE created_at < ?1";
    let (old, old_bytes): (i64, i64) =
        conn.prepare_cached(sql)?.query_row([older_than], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut over = total.saturating_sub(max_bytes).saturating_sub(old_bytes);
    let mut count = old.unsigned_abs();
    let mut read = conn.prepare_cached("SELECT coalesce(bytes, 0) FROM media WHERE created_at >= ?1 ORDER BY id")?;
    let mut rows = read.query([older_than])?;
    while let Some(row) = rows.next()?
        && over > 0
    {
        over -= row.get::<_, i64>(0)?;
        count += 1;
    }
    Ok(count)
}

impl Tx<'_> {
    pub(crate) fn retain(
        &mut self,
        policy: &Retention,
        now: Timestamp,
        cursor: &mut Cursor,
    ) -> Result<RetentionReport, StoreError> {
        let now = self.retention_time(now)?;
        // Numbers are not reused after their rows are deleted.
        set_meta(self.conn, "next_event", self.cache.next_event)?;
        set_meta(self.conn, "next_message", self.shared.next_message.load(Ordering::Relaxed))?;
        let mut retained =
            RetentionReport { dead: self.delete_old_dead_letters(policy, now)?, ..RetentionReport::default() };
        let (events, more_events) = self.slice(
            &mut cursor.events,
            &events_select(policy, now),
            (now.0.saturating_sub(policy.events_ms.max(MIN_EVENTS_MS)), now, self.cache.finished_below),
            &[
                "DELETE FROM events WHERE id = ?1",
                "DELETE FROM event_bodies WHERE id = ?1",
                "DELETE FROM handlings WHERE event = ?1",
                "DELETE FROM refused_asks WHERE event = ?1",
            ],
        )?;
        let (outbox, more_outbox) = self.slice(
            &mut cursor.outbox,
            OUTBOX_SELECT,
            (now.0.saturating_sub(policy.outbox_ms.max(MIN_OUTBOX_MS)), now, i64::MAX),
            &[
                "DELETE FROM outbox WHERE id = ?1",
                "DELETE FROM outbox_bodies WHERE id = ?1",
                "DELETE FROM outreach WHERE message = ?1",
                "DELETE FROM pending_charges WHERE message = ?1",
                "DELETE FROM group_receipts WHERE message = ?1",
            ],
        )?;
        let cutoff = now.0.saturating_sub(policy.events_ms.max(MIN_EVENTS_MS));
        let (firings, more_firings) = self.slice(
            &mut cursor.firings,
            FIRINGS_SELECT,
            (cutoff, now, i64::MAX),
            &["DELETE FROM firings WHERE id = ?1"],
        )?;
        self.delete_old_schedules(cutoff)?;
        let broadcasts = self.delete_old_broadcasts(now.0.saturating_sub(policy.outbox_ms.max(MIN_OUTBOX_MS)))?;
        self.delete_unreferenced_texts(now)?;
        retained.requests = self.delete_old_requests(policy, now)?;
        let unanswered =
            self.forget_unanswered(now.0.saturating_sub(policy.unanswered_ms.max(MIN_UNANSWERED_MS)), now)?;
        (retained.events, retained.outbox, retained.firings) = (events, outbox, firings);
        let left_before = now.0.saturating_sub(policy.states_ms);
        retained.state = self.delete_expired_values(now)? + self.delete_abandoned_states(left_before, SLICE)?;
        let old_media = now.0.saturating_sub(policy.media_ms.max(DAY_MS));
        retained.media = self.delete_old_media(old_media, policy.media_bytes.max(0), SLICE)?;
        set_meta(self.conn, "next_media", self.shared.files.next())?;
        let full = |count: usize| count as i64 >= SLICE;
        retained.more = more_events
            || more_outbox
            || more_firings
            || broadcasts > 0
            || unanswered
            || full(retained.dead)
            || full(retained.state)
            || full(retained.media)
            || full(retained.requests);
        if !retained.more {
            crate::schema::delete_old_copies(&self.shared.dir, now.plus_ms(-policy.upgrade_copies_ms));
        }
        Ok(retained)
    }

    /// The time by which to measure age; records what the next run needs to decide the same.
    fn retention_time(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let measured = MeasuredTime::read(self.conn, now)?;
        match measured {
            MeasuredTime::Now(_) => {
                self.conn
                    .prepare_cached("DELETE FROM meta WHERE key IN (?1, ?2)")?
                    .execute([JUMPED_AT, JUMP_SEEN_AT])?;
            }
            MeasuredTime::Jumped { trusted, is_new } => {
                if is_new {
                    tracing::warn!(from = %trusted, to = %now, "clock jumped ahead; retention waits a day");
                    set_meta(self.conn, JUMPED_AT, now.0)?;
                }
                set_meta(self.conn, JUMP_SEEN_AT, now.0)?;
            }
            MeasuredTime::Believed(_) => set_meta(self.conn, JUMP_SEEN_AT, now.0)?,
        }
        if !matches!(measured, MeasuredTime::Jumped { .. }) {
            set_meta(self.conn, TRUSTED_AT, now.0)?;
        }
        Ok(measured.at())
    }

    /// Deletes requests of people, and what erased people had refused.
    fn delete_old_requests(&self, policy: &Retention, now: Timestamp) -> Result<usize, StoreError> {
        let requests = self
            .conn
            .prepare_cached(&format!("DELETE FROM contact_requests WHERE id IN (SELECT id {OLD_REQUESTS} LIMIT ?2)"))?
            .execute([now.0.saturating_sub(policy.requests_ms.max(DAY_MS)), SLICE])?;
        let identities = self
            .conn
            .prepare_cached(
                "DELETE FROM erased_identities WHERE hash IN
                     (SELECT hash FROM erased_identities WHERE erased_at < ?1 LIMIT ?2)",
            )?
            .execute([now.0.saturating_sub(policy.erased_identities_ms.max(DAY_MS)), SLICE])?;
        Ok(requests + identities)
    }

    /// Deletes schedules that were removed long ago and have no history left.
    fn delete_old_schedules(&self, cutoff: i64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "DELETE FROM schedules WHERE removed_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM firings WHERE schedule = schedules.no)",
            )?
            .execute([cutoff])?;
        Ok(())
    }

    /// Examines a slice after the cursor. Returns the number of deleted rows, and whether to
    /// continue.
    fn slice(
        &self,
        cursor: &mut i64,
        select: &str,
        (cutoff, now, below): (i64, Timestamp, i64),
        deletes: &[&str],
    ) -> Result<(usize, bool), StoreError> {
        let mut read = self.conn.prepare(select)?;
        let rows: Vec<(i64, i64, bool)> = read
            .query_map(params![*cursor, below, SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut deletes: Vec<Statement<'_>> =
            deletes.iter().map(|sql| self.conn.prepare(sql)).collect::<Result<_, _>>()?;
        let seen = rows.len() as i64;
        let mut deleted = 0;
        for (id, at, may_go) in rows {
            let is_future = at > now.0;
            if at >= cutoff && !is_future {
                *cursor = 0;
                return Ok((deleted, false));
            }
            *cursor = id;
            // A row of a clock that was ahead says nothing about the rows after it.
            if may_go && !is_future {
                deleted += 1;
                deletes.iter_mut().try_for_each(|delete| delete.execute([id]).map(drop))?;
            }
        }
        if seen < SLICE {
            *cursor = 0;
        }
        Ok((deleted, seen == SLICE))
    }

    fn delete_old_dead_letters(&mut self, policy: &Retention, now: Timestamp) -> Result<usize, StoreError> {
        let cutoff = now.0.saturating_sub(policy.dead_ms.max(DAY_MS));
        let old: Vec<(Option<i64>, i64, Option<i64>, i64)> = self
            .conn
            .prepare_cached(
                "SELECT event, plugin, message, id FROM dead_letters WHERE max(at, coalesce(retried_at, 0)) < ?1 LIMIT ?2",
            )?
            .query_map([cutoff, SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        for (event, plugin, message, id) in &old {
            self.conn.prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?.execute([id])?;
            match (event, message) {
                (_, Some(message)) => {
                    self.conn
                        .prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1 AND state = 4")?
                        .execute([message])?;
                }
                (Some(event), None) => {
                    self.cache.watched.remove(&(*event, *plugin));
                }
                (None, None) => {}
            }
        }
        Ok(old.len() + self.delete_old_rejected(cutoff, SLICE)? + self.delete_old_given_up(cutoff, SLICE)?)
    }

    /// Deletes expired state values.
    fn delete_expired_values(&self, now: Timestamp) -> Result<usize, StoreError> {
        let expired: Vec<(i64, i64, i64, String, i64)> = self
            .conn
            .prepare_cached(
                "SELECT state_no, scope, scope_id, key, octet_length(key) + CASE typeof(value) WHEN 'integer' THEN 8
                     ELSE octet_length(value) END FROM state_values WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
            )?
            .query_map([now.0, SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
            .collect::<Result<_, _>>()?;
        for (state, scope, id, key, bytes) in &expired {
            self.conn
                .prepare_cached(
                    "DELETE FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3 AND key = ?4",
                )?
                .execute(params![state, scope, id, key])?;
            self.conn
                .prepare_cached("UPDATE states SET bytes = max(0, bytes - ?2) WHERE no = ?1")?
                .execute([state, bytes])?;
        }
        Ok(expired.len())
    }
}
