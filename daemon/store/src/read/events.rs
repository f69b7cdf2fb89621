//! Reading events: for the feed, and for people.

use super::{MAX_READ_BYTES, MAX_ROWS, Reader, SEARCHED_ROWS, bounded, readable};
use crate::codec::{ending_of, from_json, kind_of};
use crate::error::StoreError;
use crate::merged::{current_contact, current_conversation};
use crate::people::load_view;
use crate::step::{FeedItem, Resume, WaitingHandling};
use crate::unreadable::UnreadableRow;
use crate::views::{EventDetails, EventFilter, EventRow, EventState, HandlingRow};
use beadle_model::{ContactId, ConversationId, Event, EventBody, EventId, HandlingId, PluginNo, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The columns of [`row_of`]. Merged contacts and conversations are replaced by what they became.
const ROW: &str =
    "id, kind, coalesce((SELECT merged_into FROM conversations c WHERE c.id = conversation), conversation),
     coalesce((SELECT merged_into FROM contacts c WHERE c.id = contact), contact),
     happened_at, received_at, state, subscriber_list, done, ending, ended_by";

/// A row of `events`.
struct Raw {
    row: EventRow,
    subscriber_list: Option<i64>,
    done: i64,
}

fn row_of(row: &Row<'_>) -> Result<Raw, StoreError> {
    let kind = kind_of(row.get(1)?)?;
    let event = EventRow {
        id: EventId(row.get(0)?),
        kind,
        conversation: row.get::<_, Option<i64>>(2)?.map(ConversationId),
        contact: row.get::<_, Option<i64>>(3)?.map(ContactId),
        happened_at: Timestamp(row.get(4)?),
        received_at: Timestamp(row.get(5)?),
        state: EventState::from_number(row.get(6)?),
        ending: ending_of(row.get(9)?, row.get(10)?),
    };
    Ok(Raw { row: event, subscriber_list: row.get(7)?, done: row.get(8)? })
}

/// Reads an event with its conversation as it is now.
pub(crate) fn load(conn: &Connection, id: EventId) -> Result<Option<Event>, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT {ROW} FROM events WHERE id = ?1"))?;
    let mut rows = read.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let raw = row_of(row)?;
    Ok(Some(whole(conn, &raw.row)?))
}

fn whole(conn: &Connection, row: &EventRow) -> Result<Event, StoreError> {
    let view = row.conversation.map_or(Ok(None), |id| load_view(conn, id, row.contact))?;
    Ok(Event {
        id: row.id,
        happened_at: row.happened_at,
        received_at: row.received_at,
        conversation: view.map(Arc::new),
        body: body(conn, row.id)?,
    })
}

fn body(conn: &Connection, id: EventId) -> Result<EventBody, StoreError> {
    let mut read = conn.prepare_cached("SELECT body FROM event_bodies WHERE id = ?1")?;
    let json: String = read.query_row([id.0], |row| row.get(0))?;
    from_json("event", id.0, &json)
}

/// The body for a person: one that cannot be read is unrouted, and holds what is stored as text.
pub(super) fn display_body(conn: &Connection, id: EventId) -> Result<EventBody, StoreError> {
    match body(conn, id) {
        Err(StoreError::Unreadable { reason, .. }) => {
            let mut read = conn.prepare_cached("SELECT CAST(body AS BLOB) FROM event_bodies WHERE id = ?1")?;
            let stored = read.query_row([id.0], |row| row.get::<_, Option<Vec<u8>>>(0)).optional()?;
            let stored = stored.flatten().map(|bytes| String::from_utf8_lossy(&bytes).into());
            Ok(EventBody::Unrouted { kind: format!("unreadable: {reason}"), json: stored.unwrap_or_default() })
        }
        body => body,
    }
}

/// The size of an event's body, for the bound of a read.
fn body_bytes(conn: &Connection, id: EventId) -> Result<usize, StoreError> {
    let mut read = conn.prepare_cached("SELECT octet_length(body) FROM event_bodies WHERE id = ?1")?;
    let bytes: Option<i64> = read.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0))
}

/// The list of subscribers with this number.
pub(crate) fn subscriber_list(conn: &Connection, id: i64) -> Result<Vec<PluginNo>, StoreError> {
    let mut read = conn.prepare_cached("SELECT plugins FROM subscriber_lists WHERE id = ?1")?;
    match read.query_row([id], |row| row.get::<_, String>(0)).optional()? {
        Some(json) => from_json("subscriber_list", id, &json),
        None => Ok(Vec::new()),
    }
}

pub(super) fn handlings(conn: &Connection, id: EventId) -> Result<Vec<HandlingRow>, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT plugin, state, attempts, code, error, next_at FROM handlings WHERE event = ?1 ORDER BY plugin",
    )?;
    let rows = read.query_map([id.0], |row| {
        let plugin = PluginNo(row.get(0)?);
        Ok(HandlingRow {
            id: HandlingId { event: id, plugin },
            state: HandlingRow::state_name(row.get(1)?),
            attempts: row.get(2)?,
            code: row.get(3)?,
            error: row.get(4)?,
            next_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reads an event with its handlings and sends.
pub(super) fn find_details(conn: &Connection, id: EventId) -> Result<Option<EventDetails>, StoreError> {
    let raw = {
        let mut read = conn.prepare_cached(&format!("SELECT {ROW} FROM events WHERE id = ?1"))?;
        let mut rows = read.query([id.0])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        row_of(row)?
    };
    let subscribers = raw.subscriber_list.map_or(Ok(Vec::new()), |id| subscriber_list(conn, id))?;
    let handlings = handlings(conn, id)?;
    let done = subscribers
        .iter()
        .enumerate()
        .filter(|(place, plugin)| {
            let by_bit = *place < 63 && raw.done >> place & 1 == 1;
            by_bit || (*place >= 63 && handlings.iter().any(|row| row.id.plugin == **plugin && row.state != "failing"))
        })
        .map(|(_, plugin)| *plugin)
        .collect();
    Ok(Some(EventDetails {
        body: display_body(conn, id)?,
        sends: super::outbox::of_event(conn, id)?,
        refused: crate::refused::of_event(conn, id)?,
        row: raw.row,
        subscribers,
        done,
        handlings,
    }))
}

fn resume(conn: &Connection, raw: &Raw) -> Result<Option<Resume>, StoreError> {
    let Some(number) = raw.subscriber_list else { return Ok(None) };
    let mut beyond =
        conn.prepare_cached("SELECT plugin FROM handlings WHERE event = ?1 AND overflow = 1 AND state > 0")?;
    let done_overflow = beyond.query_map([raw.row.id.0], |row| row.get(0).map(PluginNo))?.collect::<Result<_, _>>()?;
    let mut failing = conn.prepare_cached("SELECT plugin, attempts FROM handlings WHERE event = ?1 AND state = 0")?;
    let failing = failing.query_map([raw.row.id.0], |row| Ok((PluginNo(row.get(0)?), row.get(1)?)))?;
    Ok(Some(Resume {
        failing: failing.collect::<Result<_, _>>()?,
        subscriber_list: number,
        subscribers: subscriber_list(conn, number)?,
        done: raw.done,
        done_overflow,
        ending: raw.row.ending,
    }))
}

fn feed_item_of(conn: &Connection, row: &Row<'_>, bytes: usize) -> Result<FeedItem, StoreError> {
    let raw = row_of(row)?;
    Ok(FeedItem { event: Arc::new(whole(conn, &raw.row)?), bytes, resume: resume(conn, &raw)? })
}

fn waiting_handling(conn: &Connection, id: EventId, attempts: u32) -> Result<Option<WaitingHandling>, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT {ROW} FROM events WHERE id = ?1"))?;
    let mut rows = read.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let raw = row_of(row)?;
    Ok(Some(WaitingHandling { event: Arc::new(whole(conn, &raw.row)?), ending: raw.row.ending, attempts }))
}

impl Reader {
    /// Unfinished events from `from` to `until` in order, at most `limit` and [`MAX_READ_BYTES`] of
    /// bodies, and the number up to which they were read. An unreadable event is skipped with an
    /// error, so that it cannot block the feed.
    pub(crate) fn unfinished(
        &self,
        from: EventId,
        until: EventId,
        limit: usize,
    ) -> Result<(Vec<FeedItem>, EventId), StoreError> {
        self.all(|conn| {
            let sql = format!("SELECT {ROW} FROM events WHERE id BETWEEN ?1 AND ?2 AND state < 2 ORDER BY id LIMIT ?3");
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![from.0, until.0, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let (mut fed, mut seen, mut bytes) = (Vec::new(), 0, 0);
            while let Some(row) = rows.next()? {
                let id = EventId(row.get(0)?);
                let size = body_bytes(conn, id)?;
                fed.extend(self.readable(UnreadableRow::Event(id), feed_item_of(conn, row, size))?);
                (seen, bytes) = (seen + 1, bytes + size);
                if seen == limit || bytes >= MAX_READ_BYTES {
                    return Ok((fed, id));
                }
            }
            // The range is exhausted.
            Ok((fed, until))
        })
    }

    /// Events that wait for a plugin ([`crate::step::UnhandledState::Waiting`]), earliest first, at
    /// most `limit`, 1,000 and [`MAX_READ_BYTES`] of bodies, without those in `except`. An
    /// unreadable event is skipped with an error.
    pub fn waiting_handlings(
        &self,
        plugin: PluginNo,
        except: &BTreeSet<EventId>,
        limit: usize,
    ) -> Result<Vec<WaitingHandling>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT event, attempts FROM handlings WHERE plugin = ?1 AND state = 3 ORDER BY event",
            )?;
            let mut rows = read.query([plugin.0])?;
            let (mut waiting, mut bytes) = (Vec::new(), 0);
            while waiting.len() < limit.min(MAX_ROWS)
                && bytes < MAX_READ_BYTES
                && let Some(row) = rows.next()?
            {
                let id = EventId(row.get(0)?);
                if except.contains(&id) {
                    continue;
                }
                bytes += body_bytes(conn, id)?;
                let attempts = row.get(1).map_err(StoreError::from);
                let read = attempts.and_then(|attempts| waiting_handling(conn, id, attempts));
                waiting.extend(self.readable(UnreadableRow::Waiting(id, plugin), read)?.flatten());
            }
            Ok(waiting)
        })
    }

    /// The number of waiting events per plugin.
    pub fn waiting_counts(&self) -> Result<Vec<(PluginNo, u64)>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached("SELECT plugin, count(*) FROM handlings WHERE state = 3 GROUP BY plugin")?;
            let counts = read.query_map([], |row| Ok((PluginNo(row.get(0)?), row.get::<_, i64>(1)?)))?;
            Ok(counts.map(|row| row.map(|(no, count)| (no, count.unsigned_abs()))).collect::<Result<_, _>>()?)
        })
    }

    /// Reads events again as the feed would deliver them. An unreadable event is skipped with an
    /// error.
    pub fn reread_events(&self, ids: &[EventId]) -> Result<Vec<FeedItem>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached(&format!("SELECT {ROW} FROM events WHERE id = ?1"))?;
            let mut fed = Vec::with_capacity(ids.len());
            for id in ids {
                let mut rows = read.query([id.0])?;
                if let Some(row) = rows.next()? {
                    let read = feed_item_of(conn, row, body_bytes(conn, *id)?);
                    fed.extend(self.readable(UnreadableRow::Event(*id), read)?);
                }
            }
            Ok(fed)
        })
    }

    /// An event with its conversation as it is now.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        self.all(|conn| load(conn, id))
    }

    /// The same for an event that may be unreadable, which is none.
    pub fn readable_event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        Ok(readable(self.event(id))?.flatten())
    }

    /// An event with its handlings and sends.
    pub fn event_details(&self, id: EventId) -> Result<Option<EventDetails>, StoreError> {
        self.all(|conn| find_details(conn, id))
    }

    /// Events, newest first, at most `filter.limit` and 1,000. With a filter only the newest
    /// million (before `filter.before`) is searched.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, StoreError> {
        let before = filter.before.map_or(i64::MAX, |id| id.0);
        self.one(|conn| {
            let sql = format!(
                "SELECT {ROW} FROM events WHERE id < ?1 AND id >= min(?1, (SELECT max(id) FROM events)) - {SEARCHED_ROWS}
                   AND (?2 IS NULL OR kind = ?2)
                   AND (?3 IS NULL OR contact IN (SELECT ?3 UNION ALL SELECT id FROM contacts WHERE merged_into = ?3))
                   AND (?4 IS NULL OR conversation IN
                       (SELECT ?4 UNION ALL SELECT id FROM conversations WHERE merged_into = ?4))
                   AND (?5 IS NULL OR state = ?5)
                 ORDER BY id DESC LIMIT ?6"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![
                before,
                filter.kind.map(|kind| kind as i64),
                filter.contact.map(|id| current_contact(conn, id)).transpose()?.map(|id| id.0),
                filter.conversation.map(|id| current_conversation(conn, id)).transpose()?.map(|id| id.0),
                filter.state.map(|state| state as i64),
                bounded(filter.limit)
            ])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.extend(readable(row_of(row))?.map(|raw| raw.row));
            }
            Ok(events)
        })
    }

    /// Events after `after`, oldest first, at most `limit` and 1,000.
    pub fn events_after(&self, after: EventId, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        self.one(|conn| {
            let sql = format!("SELECT {ROW} FROM events WHERE id > ?1 ORDER BY id LIMIT ?2");
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![after.0, bounded(limit)])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.extend(readable(row_of(row))?.map(|raw| raw.row));
            }
            Ok(events)
        })
    }
}
