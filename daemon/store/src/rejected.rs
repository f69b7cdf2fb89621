//! Rejected webhooks: authentic webhooks, or parts of them, that could not be parsed. They are dead
//! letters that hold the platform's bytes, for an operator or a later version.
//!
//! Each is kept once, byte for byte, however often the platform repeats it. Number and size are
//! bounded, because a changed platform may produce many; beyond the bound the oldest are dropped.

use crate::error::StoreError;
use crate::read::rejected::load;
use crate::shared::Counters;
use crate::step::{NewRejectedWebhook, RejectedWebhook};
use crate::tx::Tx;
use beadle_model::{Timestamp, WebhookId};
use rusqlite::{OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

/// The maximum number: more than an operator reads.
const MAX: i64 = 1000;

/// The maximum size of all: twenty of the largest webhooks (3 MB, `docs/whatsapp.md#delivery`).
const MAX_BYTES: i64 = 64 << 20;

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
        let mut dropped = 0;
        while count > MAX || bytes > MAX_BYTES {
            let Some(freed) = forget.query_row([], |row| row.get::<_, i64>(0)).optional()? else { break };
            (count, bytes, dropped) = (count - 1, bytes - freed, dropped + 1);
        }
        Counters::add(&self.shared.counters.rejected_dropped, dropped);
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

    /// Deletes up to `limit` that were neither received nor retried since `cutoff`; returns their
    /// number.
    pub(crate) fn delete_old_rejected(&self, cutoff: i64, limit: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM rejected_webhooks WHERE id IN
                 (SELECT id FROM rejected_webhooks WHERE max(received_at, coalesce(retried_at, 0)) < ?1 LIMIT ?2)";
        Ok(self.conn.prepare_cached(sql)?.execute([cutoff, limit])?)
    }
}
