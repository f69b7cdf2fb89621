//! Rejected webhooks: authentic webhooks, or parts of them, that could not be parsed. They are dead
//! letters that hold the platform's bytes, for an operator or a later version.
//!
//! Each is kept once, byte for byte, however often the platform repeats it. Number and size are
//! bounded, because a changed platform may produce many; beyond the bound the oldest are dropped.

use crate::StoreError;
use crate::dead::DeadLetterRef;
use crate::read::{Reader, bounded};
use crate::shared::Counters;
use crate::step::NewRejectedWebhook;
use crate::views::{DeadLetter, RejectedWebhook, RejectedWebhookSummary};
use crate::writer::Tx;
use beadle_model::{PluginNo, Timestamp, WebhookId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

/// The maximum number: more than an operator reads.
const MAX: i64 = 1000;

/// The maximum size of all: twenty of the largest webhooks (3 MB, `docs/whatsapp.md#delivery`).
const MAX_BYTES: i64 = 64 << 20;

/// The columns of [`dead_of`], with the first 200 bytes of the body.
const DEAD: &str = "id, deliveries, code, error, received_at, retried_at, app, bytes, substr(body, 1, 200)";

/// A rejected webhook as a dead letter.
fn dead_of(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        of: DeadLetterRef::Webhook(WebhookId(row.get(0)?)),
        event: None,
        plugin: PluginNo::HOST,
        attempts: row.get(1)?,
        code: row.get(2)?,
        error: row.get(3)?,
        at: Timestamp(row.get(4)?),
        retried_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        ending: None,
        webhook: Some(RejectedWebhookSummary {
            app: row.get(6)?,
            bytes: row.get::<_, u32>(7)?.into(),
            beginning: String::from_utf8_lossy(row.get_ref(8)?.as_blob().unwrap_or_default()).into_owned(),
        }),
    })
}

/// The newest ones.
pub(crate) fn list(conn: &Connection, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
    let sql = format!("SELECT {DEAD} FROM rejected_webhooks ORDER BY received_at DESC, id DESC LIMIT ?1");
    let mut read = conn.prepare_cached(&sql)?;
    let webhooks = read.query_map([bounded(limit)], dead_of)?;
    Ok(webhooks.collect::<Result<_, _>>()?)
}

/// One of them.
pub(crate) fn shown(conn: &Connection, id: WebhookId) -> Result<Option<DeadLetter>, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT {DEAD} FROM rejected_webhooks WHERE id = ?1"))?;
    Ok(read.query_row([id.0], dead_of).optional()?)
}

impl Tx<'_> {
    /// Stores a rejected webhook; returns its id if it is new.
    pub(crate) fn insert_rejected(
        &self,
        webhook: &NewRejectedWebhook,
        now: Timestamp,
    ) -> Result<Option<WebhookId>, StoreError> {
        let mut hash = Sha256::new();
        hash.update((webhook.app.len() as u64).to_le_bytes());
        hash.update(&webhook.app);
        hash.update(&webhook.body);
        let hash = hash.finalize();
        let again = self
            .conn
            .prepare_cached("UPDATE rejected_webhooks SET deliveries = deliveries + 1 WHERE hash = ?1")?
            .execute([hash.as_slice()])?;
        if again > 0 {
            return Ok(None);
        }
        let bytes = i64::try_from(webhook.body.len()).unwrap_or(i64::MAX);
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO rejected_webhooks (app, code, error, hash, received_at, bytes, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .insert(params![webhook.app, webhook.code, webhook.error, hash.as_slice(), now.0, bytes, webhook.body])?;
        self.enforce_bounds()?;
        Ok(Some(WebhookId(id)))
    }

    /// Drops the oldest ones beyond the bounds.
    fn enforce_bounds(&self) -> Result<(), StoreError> {
        let all = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let mut read = self.conn.prepare_cached("SELECT count(*), coalesce(sum(bytes), 0) FROM rejected_webhooks")?;
        let (mut count, mut bytes) = read.query_row([], all)?;
        let mut forget = self.conn.prepare_cached(
            "DELETE FROM rejected_webhooks WHERE id = (SELECT id FROM rejected_webhooks ORDER BY id LIMIT 1) RETURNING bytes",
        )?;
        let mut gone = 0;
        while count > MAX || bytes > MAX_BYTES {
            let Some(freed) = forget.query_row([], |row| row.get::<_, i64>(0)).optional()? else { break };
            (count, bytes, gone) = (count - 1, bytes - freed, gone + 1);
        }
        Counters::add(&self.shared.counters.rejected_dropped, gone);
        Ok(())
    }

    /// Marks it as retried and returns it whole.
    pub(crate) fn retry_rejected(&self, id: WebhookId, now: Timestamp) -> Result<Option<RejectedWebhook>, StoreError> {
        self.conn
            .prepare_cached("UPDATE rejected_webhooks SET retried_at = ?2 WHERE id = ?1")?
            .execute([id.0, now.0])?;
        load(self.conn, id)
    }

    /// Deletes it; returns whether it existed.
    pub(crate) fn delete_rejected(&self, id: WebhookId) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached("DELETE FROM rejected_webhooks WHERE id = ?1")?.execute([id.0])? > 0)
    }

    /// Deletes up to `limit` that nobody has touched since `cutoff`; returns their number.
    pub(crate) fn delete_old_rejected(&self, cutoff: i64, limit: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM rejected_webhooks WHERE id IN
                 (SELECT id FROM rejected_webhooks WHERE max(received_at, coalesce(retried_at, 0)) < ?1 LIMIT ?2)";
        Ok(self.conn.prepare_cached(sql)?.execute([cutoff, limit])?)
    }
}

fn load(conn: &Connection, id: WebhookId) -> Result<Option<RejectedWebhook>, StoreError> {
    let mut read = conn.prepare_cached("SELECT app, received_at, body FROM rejected_webhooks WHERE id = ?1")?;
    let webhook = read.query_row([id.0], |row| {
        Ok(RejectedWebhook { id, app: row.get(0)?, received_at: Timestamp(row.get(1)?), body: row.get(2)? })
    });
    Ok(webhook.optional()?)
}

impl Reader {
    /// A rejected webhook with its body.
    pub fn rejected_webhook(&self, id: WebhookId) -> Result<Option<RejectedWebhook>, StoreError> {
        self.one(|conn| load(conn, id))
    }
}
