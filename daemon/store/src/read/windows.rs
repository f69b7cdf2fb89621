//! Windows that are open, for people.

use super::{Reader, limit};
use crate::StoreError;
use crate::shown::{WindowFilter, WindowHour, WindowShown};
use beadle_model::{ContactId, ConversationId, Timestamp};
use rusqlite::{Row, params};
use std::collections::BinaryHeap;

/// Rows that a listing looks at, at most: those that were renewed lie where they were, and are passed over. Some seconds.
const MOST_LOOKED_AT: usize = 2_000_000;

const HOUR_MS: i64 = 60 * 60 * 1000;

impl Reader {
    /// Windows that are open, those that close first at first, `most` (1,000 at most) of them.
    pub fn windows(&self, filter: &WindowFilter, now: Timestamp, most: usize) -> Result<Vec<WindowShown>, StoreError> {
        let most = usize::try_from(limit(most)).unwrap_or(0).max(1);
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT window_until, conversations.id, channel, conversations.contact, platform_group, name,
                     last_inbound_at, free_entry_until, due_at
                 FROM windows JOIN conversations ON conversations.id = windows.conversation
                 LEFT JOIN contacts ON contacts.id = conversations.contact
                 WHERE window_until > ?1 AND (?2 IS NULL OR channel = ?2) ORDER BY due_at",
            )?;
            let mut rows = read.query(params![now.0, filter.channel])?;
            let closes_before = filter.closes_before.map_or(i64::MAX, |at| at.0);
            let mut first: BinaryHeap<WindowShown> = BinaryHeap::new();
            let mut looked_at = 0;
            while let Some(row) = rows.next()? {
                // Nothing closes before it is due: from here on all close later than those that were found.
                let (window, due_at) = (window_of(row)?, row.get::<_, i64>(8)?);
                let full = first.len() == most && first.peek().is_some_and(|last| last.until.0 <= due_at);
                looked_at += 1;
                if full || due_at >= closes_before || looked_at > MOST_LOOKED_AT {
                    break;
                }
                if window.until.0 < closes_before {
                    first.push(window);
                }
                if first.len() > most {
                    first.pop();
                }
            }
            Ok(first.into_sorted_vec())
        })
    }

    /// How many windows are open, by channel and by the hour in which they close: the first from now is 1. Counts them all.
    pub fn windows_by_hour(&self, now: Timestamp) -> Result<Vec<WindowHour>, StoreError> {
        self.one(|conn| {
            // In the order of conversations, so that the join reads its table from front to back.
            let mut read = conn.prepare_cached(
                "SELECT channel, (window_until - ?1 - 1) / ?2 + 1 AS hour, count(*)
                 FROM windows CROSS JOIN conversations ON conversations.id = windows.conversation
                 WHERE window_until > ?1 GROUP BY channel, hour ORDER BY channel, hour",
            )?;
            let hours = read.query_map([now.0, HOUR_MS], |row| {
                let windows = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
                Ok(WindowHour { channel: row.get(0)?, hour: row.get(1)?, windows })
            })?;
            Ok(hours.collect::<Result<_, _>>()?)
        })
    }
}

fn window_of(row: &Row<'_>) -> rusqlite::Result<WindowShown> {
    Ok(WindowShown {
        until: Timestamp(row.get(0)?),
        conversation: ConversationId(row.get(1)?),
        channel: row.get(2)?,
        contact: row.get::<_, Option<i64>>(3)?.map(ContactId),
        group: row.get(4)?,
        name: row.get(5)?,
        last_inbound_at: Timestamp(row.get(6)?),
        free_entry_until: row.get::<_, Option<i64>>(7)?.map(Timestamp),
    })
}
