//! The writer's cache of the database, so that the usual step needs no `SELECT`.
//!
//! Invariants: everything here is on disk too, and is read again after a rollback, so that memory
//! never keeps what did not happen.

use crate::cache::Cache;
use crate::consent_head::ConsentHead;
use crate::error::StoreError;
use crate::fired_timers::FiredTimers;
use crate::merged::load_merged;
use crate::meta::{REACTIONS_UNTIL_KEY, lead_times, meta, set_meta};
use crate::people::People;
use beadle_model::{LeadTimes, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeSet, HashSet};

/// How far `sending_from` may lag behind: the rows that are scanned when the store opens, and the
/// sends that share the cost of moving it.
const SENDING_LAG: i64 = 10_000;

/// The number of events whose messages are recognised although they are delivered again with
/// another time stamp. An index by hash alone would be written all over for every message.
const RECENT_MESSAGES: usize = 16_384;

pub(crate) struct WriterCache {
    /// The number of the next event.
    pub(crate) next_event: i64,
    /// All events below it are finished.
    pub(crate) finished_below: i64,
    /// No row below it is `sending`. Always equal to the value on disk.
    pub(crate) sending_from: i64,
    /// The rows that are `sending`.
    pub(crate) sending: BTreeSet<i64>,
    /// Handlings (event, plugin) whose row must be updated when they succeed: those that failed and
    /// are retried, and dead letters that an operator retried.
    pub(crate) watched: HashSet<(i64, i64)>,
    pub(crate) people: People,
    /// The keys of the latest messages: hash and time stamp.
    pub(crate) recent_messages: Cache<[u8; 16], i64>,
    /// What counts against the limits of timers.
    pub(crate) timers: FiredTimers,
    /// The last row of the consent ledger.
    pub(crate) consent_head: ConsentHead,
    /// Until when a reply or a withdrawal can be a reaction to a broadcast.
    pub(crate) attribute_until: Timestamp,
    /// Whether this transaction forbids messages that were allowed: a withdrawal, a ban.
    pub(crate) is_restricting: bool,
    /// Whether this transaction changes an erasure or a request of a person.
    pub(crate) is_privacy_changed: bool,
    /// The lead times that window checks are set for.
    pub(crate) lead_times: LeadTimes,
    /// The latest time at which a window may have been opened or renewed.
    pub(crate) windows_renewed_at: Timestamp,
    /// The number of the last commit that wrote state. The fence is its upper half, so that none
    /// repeats.
    version: i64,
}

impl WriterCache {
    pub(crate) fn load(conn: &Connection, cached_people: usize, fence: i64) -> Result<Self, StoreError> {
        let mut cache = Self {
            next_event: 1,
            finished_below: 1,
            sending_from: 1,
            sending: BTreeSet::new(),
            watched: HashSet::new(),
            people: People::new(cached_people),
            recent_messages: Cache::new(2 * RECENT_MESSAGES),
            timers: FiredTimers::default(),
            consent_head: ConsentHead::default(),
            attribute_until: Timestamp::default(),
            is_restricting: false,
            is_privacy_changed: false,
            lead_times: LeadTimes::default(),
            windows_renewed_at: Timestamp(0),
            version: fence << 32,
        };
        cache.reload(conn)?;
        Ok(cache)
    }

    /// Clears the cache and reads it again.
    pub(crate) fn reload(&mut self, conn: &Connection) -> Result<(), StoreError> {
        self.people.clear();
        self.timers.forget_open();
        self.people.merged = load_merged(conn)?;
        self.lead_times = lead_times(conn)?;
        let mut read = conn.prepare_cached("SELECT received_at FROM events ORDER BY id DESC LIMIT 1")?;
        self.windows_renewed_at = Timestamp(read.query_row([], |row| row.get(0)).optional()?.unwrap_or(0));
        self.consent_head = ConsentHead::load(conn)?;
        self.attribute_until = Timestamp(meta(conn, REACTIONS_UNTIL_KEY)?.unwrap_or(0));
        let last: i64 = conn.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))?;
        self.next_event = meta(conn, "next_event")?.unwrap_or(1).max(last + 1);
        self.load_recent_messages(conn)?;
        self.finished_below = meta(conn, "finished_below")?.unwrap_or(1);
        self.sending_from = meta(conn, "sending_from")?.unwrap_or(1);
        self.sending = conn
            .prepare_cached("SELECT id FROM outbox WHERE id >= ?1 AND state = 1")?
            .query_map([self.sending_from], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        self.watched = conn
            .prepare_cached(
                "SELECT event, plugin FROM handlings WHERE state = 0
                 UNION SELECT event, plugin FROM dead_letters WHERE message IS NULL AND retried_at IS NOT NULL",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    fn load_recent_messages(&mut self, conn: &Connection) -> Result<(), StoreError> {
        self.recent_messages.clear();
        let mut read = conn
            .prepare_cached("SELECT key_hash, key_at FROM events WHERE id >= ?1 AND kind IN (1, 2, 24) ORDER BY id")?;
        let keys = read.query_map([self.next_event - RECENT_MESSAGES as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for key in keys {
            let (hash, at) = key?;
            self.recent_messages.insert(hash, at);
        }
        Ok(())
    }

    /// The number of a commit that writes state. A rollback only leaves a gap.
    pub(crate) fn next_version(&mut self) -> i64 {
        self.version += 1;
        self.version
    }

    /// Notes that a row becomes `sending` in this transaction; lowers the watermark if necessary.
    pub(crate) fn note_sending(&mut self, conn: &Connection, message: i64) -> Result<(), StoreError> {
        if message < self.sending_from {
            set_meta(conn, "sending_from", message)?;
            self.sending_from = message;
        }
        self.sending.insert(message);
        Ok(())
    }

    /// Raises the watermark if it lags far enough behind. `next_message` is the lowest number that
    /// was not reserved yet; reserved rows with lower numbers may still be inserted, and lower it
    /// again.
    pub(crate) fn move_sending_from(&mut self, conn: &Connection, next_message: i64) -> Result<(), StoreError> {
        let lowest = self.sending.first().copied().unwrap_or(next_message);
        if lowest - self.sending_from >= SENDING_LAG {
            set_meta(conn, "sending_from", lowest)?;
            self.sending_from = lowest;
        }
        Ok(())
    }
}
