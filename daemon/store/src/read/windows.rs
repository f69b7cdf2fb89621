//! Reading open windows.

use super::{Reader, bounded};
use crate::error::StoreError;
use crate::views::{OpenWindow, WindowFilter, WindowHour};
use beadle_model::time::HOUR_MS;
use beadle_model::{ContactId, ConversationId, Timestamp};
use rusqlite::{Row, params};
use std::collections::BinaryHeap;

/// The maximum number of rows that a listing scans, some seconds. Renewed windows are found at
/// their old place and skipped.
const MAX_SCANNED: usize = 2_000_000;

impl Reader {
    /// Open windows, those that close first at first, at most `limit` and 1,000.
    pub fn windows(&self, filter: &WindowFilter, now: Timestamp, limit: usize) -> Result<Vec<OpenWindow>, StoreError> {
        let limit = usize::try_from(bounded(limit)).unwrap_or(0).max(1);
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
            let mut first: BinaryHeap<OpenWindow> = BinaryHeap::new();
            let mut looked_at = 0;
            while let Some(row) = rows.next()? {
                // No window closes before it is due, so all further ones close later than those
                // that were found.
                let (window, due_at) = (window_of(row)?, row.get::<_, i64>(8)?);
                let full = first.len() == limit && first.peek().is_some_and(|last| last.until.0 <= due_at);
                looked_at += 1;
                if full || due_at >= closes_before || looked_at > MAX_SCANNED {
                    break;
                }
                if window.until.0 < closes_before {
                    first.push(window);
                }
                if first.len() > limit {
                    first.pop();
                }
            }
            Ok(first.into_sorted_vec())
        })
    }

    /// The number of open windows by channel and by the hour in which they close, where 1 is the
    /// first from now. Scans all of them.
    pub fn windows_by_hour(&self, now: Timestamp) -> Result<Vec<WindowHour>, StoreError> {
        self.one(|conn| {
            // Ordered by conversation, so that the join reads its table from front to back.
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

fn window_of(row: &Row<'_>) -> rusqlite::Result<OpenWindow> {
    Ok(OpenWindow {
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
