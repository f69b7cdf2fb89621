//! Reading the outbox.

use super::{Reader, SEARCHED_ROWS, bounded, readable};
use crate::codec::{from_json, send_state_of};
use crate::error::StoreError;
use crate::merged::current_conversation;
use crate::meta::meta;
use crate::step::{DueSends, OutboxPage, OutboxPlace, OutboxRow};
use crate::unreadable::UnreadableRow;
use crate::views::{OutboxDetails, OutboxFilter};
use beadle_model::consent::ParsePurposeError;
use beadle_model::effect::SendOptions;
use beadle_model::{ConversationId, EventId, MessageId, PluginNo, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The columns of [`row_of`]; `o` is the table, `b` its bodies.
const ROW: &str = "o.id, o.event, o.plugin,
     coalesce((SELECT merged_into FROM conversations c WHERE c.id = o.conversation), o.conversation), o.reply, o.state, o.due_at, o.attempts, o.created_at,
     o.possibly_duplicate, b.body, o.purpose, o.key";

/// The further columns of [`shown_of`].
const MORE: &str =
    "o.platform_id, o.held_at, o.sent_at, o.delivered_at, o.read_at, o.played_at, o.failed_at, o.problem, b.gate";

fn row_of(row: &Row<'_>) -> Result<OutboxRow, StoreError> {
    let id: i64 = row.get(0)?;
    let json = row.get_ref(10)?.as_str().map_err(|error| StoreError::unreadable(format!("message {id}"), error))?;
    let purpose: Option<String> = row.get(11)?;
    let unreadable = |error: ParsePurposeError| StoreError::unreadable(format!("message {id}"), error);
    Ok(OutboxRow {
        message: MessageId(id),
        event: row.get::<_, Option<i64>>(1)?.map(EventId),
        plugin: PluginNo(row.get(2)?),
        conversation: ConversationId(row.get(3)?),
        body: from_json("message", id, json)?,
        reply: row.get(4)?,
        options: SendOptions {
            purpose: purpose.map(|purpose| purpose.parse()).transpose().map_err(unreadable)?,
            key: row.get(12)?,
        },
        state: send_state_of(row.get(5)?)?,
        due_at: Timestamp(row.get(6)?),
        attempts: row.get(7)?,
        created_at: Timestamp(row.get(8)?),
        possibly_duplicate: row.get(9)?,
    })
}

fn details_of(row: &Row<'_>) -> Result<OutboxDetails, StoreError> {
    let time = |column| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.map(Timestamp));
    let outbox = row_of(row)?;
    let problem: Option<String> = row.get(20)?;
    let gate: Option<String> = row.get(21)?;
    Ok(OutboxDetails {
        // An explanation that a later version wrote differently is not worth an error.
        gate: gate.and_then(|json| serde_json::from_str(&json).ok()),
        platform: row.get(13)?,
        held_at: time(14)?,
        sent_at: time(15)?,
        delivered_at: time(16)?,
        read_at: time(17)?,
        played_at: time(18)?,
        failed_at: time(19)?,
        problem: problem.map(|json| from_json("message", outbox.message.0, &json)).transpose()?,
        row: outbox,
    })
}

/// Reads a row.
pub(crate) fn load(conn: &Connection, id: MessageId) -> Result<Option<OutboxRow>, StoreError> {
    let sql = format!("SELECT {ROW} FROM outbox o JOIN outbox_bodies b ON b.id = o.id WHERE o.id = ?1");
    let mut read = conn.prepare_cached(&sql)?;
    let mut rows = read.query([id.0])?;
    rows.next()?.map(row_of).transpose()
}

pub(super) fn find_details(conn: &Connection, id: MessageId) -> Result<Option<OutboxDetails>, StoreError> {
    let sql = format!("SELECT {ROW}, {MORE} FROM outbox o JOIN outbox_bodies b ON b.id = o.id WHERE o.id = ?1");
    let mut read = conn.prepare_cached(&sql)?;
    let mut rows = read.query([id.0])?;
    rows.next()?.map(details_of).transpose()
}

/// The sends of an event. There is no index by event, which every message would have to update; the
/// newest million rows are searched.
pub(super) fn of_event(conn: &Connection, event: EventId) -> Result<Vec<OutboxDetails>, StoreError> {
    let newest: i64 = conn.query_row("SELECT coalesce(max(id), 0) FROM outbox", [], |row| row.get(0))?;
    let sql = format!(
        "SELECT {ROW}, {MORE} FROM outbox o JOIN outbox_bodies b ON b.id = o.id
         WHERE o.id >= ?2 AND o.event = ?1 ORDER BY o.id LIMIT ?3"
    );
    let mut read = conn.prepare_cached(&sql)?;
    let rows = read.query(params![event.0, newest.saturating_sub(SEARCHED_ROWS), bounded(usize::MAX)])?;
    collect(rows, details_of)
}

fn collect<T>(
    mut rows: rusqlite::Rows<'_>,
    each: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(readable(each(row))?);
    }
    Ok(found)
}

/// The message of a plugin with this key that was sent, or waits. None if there is none, or if it
/// failed or was dropped.
pub(crate) fn with_key(conn: &Connection, plugin: PluginNo, key: &str) -> Result<Option<MessageId>, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT id FROM outbox WHERE plugin = ?1 AND key = ?2 AND repeats IS NULL AND state IN (0, 1, 2, 4) LIMIT 1",
    )?;
    Ok(read.query_row(params![plugin.0, key], |row| row.get(0).map(MessageId)).optional()?)
}

impl Reader {
    /// The message because of which one with this key is not sent: for a draft, the one that has
    /// the key; for a message, the one that had it when the message was inserted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn sent_before(
        &self,
        plugin: PluginNo,
        key: &str,
        message: Option<MessageId>,
    ) -> Result<Option<MessageId>, StoreError> {
        self.one(|conn| {
            let Some(message) = message else { return with_key(conn, plugin, key) };
            let mut read = conn.prepare_cached("SELECT repeats FROM outbox WHERE id = ?1")?;
            Ok(read.query_row([message.0], |row| row.get(0)).optional()?.flatten().map(MessageId))
        })
    }

    /// Rows that are to be sent, or are being sent; an unreadable one is reported and skipped.
    fn unsent(&self, mut rows: rusqlite::Rows<'_>) -> Result<Vec<OutboxRow>, StoreError> {
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let id = MessageId(row.get(0)?);
            found.extend(self.readable(UnreadableRow::Send(id), row_of(row))?);
        }
        Ok(found)
    }

    /// The channels with queued rows.
    pub fn outbox_channels(&self) -> Result<Vec<String>, StoreError> {
        self.one(|conn| {
            // One step in the index for each channel, however many rows it has.
            let mut next = conn.prepare_cached("SELECT min(channel) FROM outbox WHERE state = 0 AND channel > ?1")?;
            let mut first = conn.prepare_cached("SELECT min(channel) FROM outbox WHERE state = 0")?;
            let mut found: Option<String> = first.query_row([], |row| row.get(0))?;
            let mut channels = Vec::new();
            while let Some(channel) = found {
                found = next.query_row([&channel], |row| row.get(0))?;
                channels.push(channel);
            }
            Ok(channels)
        })
    }

    /// Queued rows of a channel that are due, in their order.
    pub fn outbox_due(&self, due: &DueSends<'_>) -> Result<OutboxPage, StoreError> {
        self.all(|conn| {
            let mut page = OutboxPage { is_end: true, ..OutboxPage::default() };
            let mut bytes = 0;
            let after = due.after.due_at;
            let is_due = after <= due.now || after > due.latest;
            // Ranges of the index: the rest of the place's own time, what became due after it, and
            // what a clock that was set back left in the future. SQLite would read the first one
            // from its start if it were part of the second.
            let same_time = ("o.due_at = ?2 AND o.id > ?3", after, if is_due { due.after.message.0 } else { i64::MAX });
            let due_since = ("o.due_at > ?2 AND o.due_at <= ?3", after, due.now.0);
            let set_back = ("o.due_at > ?2 AND o.due_at <= ?3", after.max(due.latest), i64::MAX);
            for (range, low, high) in [same_time, due_since, set_back] {
                let sql = format!(
                    "SELECT {ROW} FROM outbox o JOIN outbox_bodies b ON b.id = o.id
                     WHERE o.state = 0 AND o.channel = ?1 AND {range} ORDER BY o.due_at, o.id"
                );
                let mut read = conn.prepare_cached(&sql)?;
                let mut rows = read.query(params![due.channel, low.0, high])?;
                while let Some(row) = rows.next()? {
                    if page.rows.len() >= due.rows.max(1) || bytes >= due.bytes.max(1) {
                        page.is_end = false;
                        return Ok(page);
                    }
                    let message = MessageId(row.get(0)?);
                    page.last = Some(OutboxPlace { due_at: Timestamp(row.get(6)?), message });
                    bytes += row.get_ref(10)?.as_bytes().map_or(0, <[u8]>::len);
                    page.rows.extend(self.readable(UnreadableRow::Send(message), row_of(row))?);
                }
            }
            Ok(page)
        })
    }

    /// When the earliest queued row of a channel after `now` is due.
    pub fn outbox_next_due(&self, channel: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.one(|conn| {
            let sql = "SELECT min(due_at) FROM outbox WHERE state = 0 AND channel = ?1 AND due_at > ?2";
            let mut read = conn.prepare_cached(sql)?;
            Ok(read.query_row(params![channel, now.0], |row| row.get::<_, Option<i64>>(0))?.map(Timestamp))
        })
    }

    /// Rows that are `sending`; after a start these are the ambiguous ones.
    pub fn outbox_sending(&self) -> Result<Vec<OutboxRow>, StoreError> {
        self.all(|conn| {
            let from = meta(conn, "sending_from")?.unwrap_or(1);
            let sql = format!(
                "SELECT {ROW} FROM outbox o JOIN outbox_bodies b ON b.id = o.id
                 WHERE o.id >= ?1 AND o.state = 1 ORDER BY o.id"
            );
            let mut read = conn.prepare_cached(&sql)?;
            self.unsent(read.query([from])?)
        })
    }

    /// A message with its receipts.
    pub fn message_details(&self, id: MessageId) -> Result<Option<OutboxDetails>, StoreError> {
        self.one(|conn| find_details(conn, id))
    }

    /// Messages, newest first, at most `filter.limit` and 1,000. With a filter only the newest
    /// million (before `filter.before`) is searched.
    pub fn outbox(&self, filter: &OutboxFilter) -> Result<Vec<OutboxDetails>, StoreError> {
        let before = filter.before.map_or(i64::MAX, |id| id.0);
        self.one(|conn| {
            let sql = format!(
                "SELECT {ROW}, {MORE} FROM outbox o JOIN outbox_bodies b ON b.id = o.id
                 WHERE o.id < ?1 AND o.id >= min(?1, (SELECT max(id) FROM outbox)) - {SEARCHED_ROWS}
                   AND (?2 IS NULL OR o.state = ?2)
                   AND (?3 IS NULL OR o.conversation IN
                       (SELECT ?3 UNION ALL SELECT id FROM conversations WHERE merged_into = ?3))
                   AND (?4 IS NULL OR o.plugin = ?4)
                 ORDER BY o.id DESC LIMIT ?5"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let rows = read.query(params![
                before,
                filter.state.map(|state| state as i64),
                filter.conversation.map(|id| current_conversation(conn, id)).transpose()?.map(|id| id.0),
                filter.plugin.map(|plugin| plugin.0),
                bounded(filter.limit)
            ])?;
            collect(rows, details_of)
        })
    }
}
