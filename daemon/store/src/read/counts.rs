//! Counts of unfinished work. They are computed on demand and bounded.

use super::Reader;
use crate::error::StoreError;
use crate::meta::meta;
use crate::views::BacklogCounts;
use beadle_model::Timestamp;
use rusqlite::{Connection, Params};

/// The bound. Counting a million index entries takes about 10 ms.
const MAX: i64 = 1_000_000;

impl Reader {
    /// Counts of unfinished work, each at most a million.
    pub fn counts(&self) -> Result<BacklogCounts, StoreError> {
        self.all(|conn| {
            // Everything below is finished, and there is little above.
            let from = meta(conn, "finished_below")?.unwrap_or(1);
            let mut open = conn.prepare_cached(
                "SELECT count(*), min(received_at) FROM
                   (SELECT received_at FROM events WHERE id >= ?1 AND state < 2 ORDER BY id LIMIT ?2)",
            )?;
            let (events_open, oldest_open_at) =
                open.query_row([from, MAX], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
            let from = meta(conn, "sending_from")?.unwrap_or(1);
            Ok(BacklogCounts {
                events_open: number(events_open),
                oldest_open_at: oldest_open_at.map(Timestamp),
                queued: count(conn, "SELECT 1 FROM outbox WHERE state = 0 LIMIT ?1", [MAX])?,
                sending: count(conn, "SELECT 1 FROM outbox WHERE id >= ?2 AND state = 1 LIMIT ?1", [MAX, from])?,
                dead: count(conn, "SELECT 1 FROM dead_letters LIMIT ?1", [MAX])?
                    + count(conn, "SELECT 1 FROM rejected_webhooks LIMIT ?1", [MAX])?
                    + count(conn, "SELECT 1 FROM durable_requests WHERE state = 2 LIMIT ?1", [MAX])?,
                requests: count(
                    conn,
                    "SELECT 1 FROM contact_requests WHERE closed_at IS NULL AND (kind = 1 OR confirmed_at IS NOT NULL) LIMIT ?1",
                    [MAX],
                )?,
                erasures: count(conn, "SELECT 1 FROM erasures WHERE completed_at IS NULL LIMIT ?1", [MAX])?,
            })
        })
    }
}

fn count(conn: &Connection, rows: &str, bounds: impl Params) -> Result<u64, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT count(*) FROM ({rows})"))?;
    Ok(number(read.query_row(bounds, |row| row.get(0))?))
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::step::{Batch, EventKey, NewEvent, Placement, Sender};
    use crate::{Store, StoreConfig, views::BacklogCounts};
    use beadle_clock::Clock;
    use beadle_model::{Alias, AliasKind, Content, EventBody, Timestamp};

    #[tokio::test]
    async fn appended_events_count_as_open() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, _manual) = Clock::manual(Timestamp(1000));
        let store = Store::open(StoreConfig { ballast_bytes: 0, ..StoreConfig::new(folder.path(), clock) }).unwrap();
        assert_eq!(store.reader().counts().unwrap(), BacklogCounts::default());
        let alias = Alias { kind: AliasKind::Phone, value: "31600000001".into() };
        let sender = Sender { channel: "shop".into(), aliases: vec![alias], name: None, group: None, language: None };
        let event = NewEvent {
            key: EventKey { at: Timestamp(900), hash: [1; 16] },
            placement: Placement::Sender(sender),
            happened_at: Timestamp(900),
            opens_window: true,
            keyword: None,
            body: EventBody::Message {
                message: "wamid.1".into(),
                content: Content::Text("hi".into()),
                context: None,
                referral: None,
                keyword: None,
                addressed: None,
                extra: serde_json::Value::Null,
            },
        };
        let appended = store.append(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
        let counts = store.reader().counts().unwrap();
        // The message, and the join that a first message causes.
        assert!(appended.events >= 1);
        assert!(counts.events_open >= 1, "{counts:?}");
        assert_eq!(counts.oldest_open_at, Some(Timestamp(1000)));
        assert_eq!((counts.queued, counts.sending, counts.dead), (0, 0, 0));
        store.close();
    }
}
