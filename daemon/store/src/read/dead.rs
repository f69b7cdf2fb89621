//! Reading dead letters.

use super::{Reader, bounded, readable, rejected};
use crate::codec::ending_of;
use crate::error::StoreError;
use crate::step::DeadLetterRef;
use crate::views::{DeadLetter, DeadLetterFilter};
use beadle_model::{EventId, HandlingId, MessageId, PluginNo, RequestId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

const LETTERS: &str = "SELECT d.event, d.plugin, d.message, d.attempts, d.code, d.error, d.at, d.retried_at,
     e.ending, e.ended_by FROM dead_letters d LEFT JOIN events e ON e.id = d.event";

fn letter_of(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let (event, plugin): (Option<i64>, i64) = (row.get(0)?, row.get(1)?);
    let (event, plugin) = (event.map(EventId), PluginNo(plugin));
    let handling = HandlingId { event: event.unwrap_or(EventId(0)), plugin };
    let message: Option<i64> = row.get(2)?;
    Ok(DeadLetter {
        reference: message.map_or(DeadLetterRef::Handling(handling), |id| DeadLetterRef::Message(MessageId(id))),
        event,
        plugin,
        attempts: row.get(3)?,
        code: row.get(4)?,
        error: row.get(5)?,
        at: Timestamp(row.get(6)?),
        retried_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        ending: ending_of(row.get(8)?, row.get(9)?),
        webhook: None,
    })
}

/// The columns of [`letter_of_request`].
const REQUEST: &str = "id, event, plugin, attempts, code, error, ended_at, retried_at";

fn letter_of_request(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        reference: DeadLetterRef::Request(RequestId(row.get(0)?)),
        event: Some(EventId(row.get(1)?)),
        plugin: PluginNo(row.get(2)?),
        attempts: row.get(3)?,
        code: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        error: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
        at: Timestamp(row.get(6)?),
        retried_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        ending: None,
        webhook: None,
    })
}

/// The newest requests that were given up.
fn requests(
    conn: &Connection,
    plugin: Option<PluginNo>,
    before: Place,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let sql = format!(
        "SELECT {REQUEST} FROM durable_requests WHERE state = 2 AND (?1 IS NULL OR plugin = ?1)
         AND (ended_at, id) < (?2, ?3) ORDER BY ended_at DESC, id DESC LIMIT ?4"
    );
    let mut read = conn.prepare_cached(&sql)?;
    let plugin = plugin.map(|plugin| plugin.0);
    let letters = read.query_map(params![plugin, before.0, before.1, bounded(limit)], letter_of_request)?;
    Ok(letters.collect::<Result<_, _>>()?)
}

/// A place in a list: a time and a row.
type Place = (i64, i64);

/// The places before which a list goes on: that of handlings and messages, that of webhooks, and
/// that of requests.
fn places_before(conn: &Connection, before: Option<DeadLetterRef>) -> Result<[Place; 3], StoreError> {
    const END: Place = (i64::MAX, i64::MAX);
    let Some(before) = before else { return Ok([END; 3]) };
    let place = |sql: &str, id: [i64; 2]| {
        let found = conn.prepare_cached(sql)?.query_row(id, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        found.ok_or_else(|| StoreError::NotFound { object: "dead letter", id: before.to_string() })
    };
    let after_letter = |letter: Place| [letter, (letter.0, i64::MAX), (letter.0, i64::MAX)];
    match before {
        DeadLetterRef::Handling(id) => {
            let sql = "SELECT at, id FROM dead_letters WHERE event = ?1 AND plugin = ?2 AND message IS NULL";
            place(sql, [id.event.0, id.plugin.0]).map(after_letter)
        }
        DeadLetterRef::Message(id) => {
            let sql = "SELECT at, id FROM dead_letters WHERE message = ?1 AND message = ?2";
            place(sql, [id.0, id.0]).map(after_letter)
        }
        DeadLetterRef::Webhook(id) => {
            let sql = "SELECT received_at, id FROM rejected_webhooks WHERE id = ?1 AND id = ?2";
            place(sql, [id.0, id.0]).map(|webhook: Place| [(webhook.0, 0), webhook, (webhook.0, i64::MAX)])
        }
        DeadLetterRef::Request(id) => {
            let sql = "SELECT ended_at, id FROM durable_requests WHERE state = 2 AND id = ?1 AND id = ?2";
            place(sql, [id.0, id.0]).map(|request: Place| [(request.0, 0), (request.0, 0), request])
        }
    }
}

impl Reader {
    /// Dead letters, newest first, and of those of one time webhooks and then requests last; at
    /// most `filter.limit` and 1,000.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if `filter.before` does not exist any more.
    pub fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        self.all(|conn| {
            let [before, webhooks_before, requests_before] = places_before(conn, filter.before)?;
            let sql = format!(
                "{LETTERS} WHERE (?1 IS NULL OR d.plugin = ?1) AND (d.at, d.id) < (?3, ?4)
                 ORDER BY d.at DESC, d.id DESC LIMIT ?2"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let plugin = filter.plugin.map(|plugin| plugin.0);
            let mut rows = read.query(params![plugin, bounded(filter.limit), before.0, before.1])?;
            let mut letters: Vec<DeadLetter> = Vec::new();
            while let Some(row) = rows.next()? {
                letters.extend(readable(letter_of(row).map_err(StoreError::from))?);
            }
            if filter.plugin.is_none_or(|plugin| plugin == PluginNo::HOST) {
                letters.extend(rejected::list(conn, webhooks_before, filter.limit)?);
            }
            letters.extend(requests(conn, filter.plugin, requests_before, filter.limit)?);
            letters.sort_by_key(|dead_letter| std::cmp::Reverse(dead_letter.at));
            letters.truncate(filter.limit);
            Ok(letters)
        })
    }

    /// One dead letter.
    pub fn dead_letter(&self, dead_letter: DeadLetterRef) -> Result<Option<DeadLetter>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "{LETTERS} WHERE d.message IS ?3 AND (?3 IS NOT NULL OR (d.event = ?1 AND d.plugin = ?2)) LIMIT 1"
            );
            let (event, plugin, message) = match dead_letter {
                DeadLetterRef::Handling(id) => (Some(id.event.0), Some(id.plugin.0), None),
                DeadLetterRef::Message(id) => (None, None, Some(id.0)),
                DeadLetterRef::Webhook(id) => return rejected::find_dead_letter(conn, id),
                DeadLetterRef::Request(id) => {
                    let sql = format!("SELECT {REQUEST} FROM durable_requests WHERE state = 2 AND id = ?1");
                    return Ok(conn.prepare_cached(&sql)?.query_row([id.0], letter_of_request).optional()?);
                }
            };
            let mut read = conn.prepare_cached(&sql)?;
            let mut letters = read.query_map(params![event, plugin, message], letter_of)?;
            Ok(letters.next().transpose()?)
        })
    }
}
