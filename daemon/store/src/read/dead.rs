//! Reading dead letters.

use super::{Reader, bounded, readable, rejected};
use crate::codec::ending_of;
use crate::error::StoreError;
use crate::step::DeadLetterRef;
use crate::views::{DeadLetter, DeadLetterFilter};
use beadle_model::{EventId, HandlingId, MessageId, PluginNo, Timestamp};
use rusqlite::{Row, params};

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

impl Reader {
    /// Dead letters, newest first, at most `filter.limit` and 1,000.
    pub fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        self.all(|conn| {
            let sql = format!("{LETTERS} WHERE (?1 IS NULL OR d.plugin = ?1) ORDER BY d.at DESC, d.id DESC LIMIT ?2");
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![filter.plugin.map(|plugin| plugin.0), bounded(filter.limit)])?;
            let mut letters: Vec<DeadLetter> = Vec::new();
            while let Some(row) = rows.next()? {
                letters.extend(readable(letter_of(row).map_err(StoreError::from))?);
            }
            if filter.plugin.is_none_or(|plugin| plugin == PluginNo::HOST) {
                letters.extend(rejected::list(conn, filter.limit)?);
                letters.sort_by_key(|dead_letter| std::cmp::Reverse(dead_letter.at));
                letters.truncate(filter.limit);
            }
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
                DeadLetterRef::Webhook(id) => return rejected::shown(conn, id),
            };
            let mut read = conn.prepare_cached(&sql)?;
            let mut letters = read.query_map(params![event, plugin, message], letter_of)?;
            Ok(letters.next().transpose()?)
        })
    }
}
