//! Reading rejected webhooks.

use super::{Reader, bounded};
use crate::error::StoreError;
use crate::step::{DeadLetterRef, RejectedWebhook};
use crate::views::{DeadLetter, RejectedWebhookSummary};
use beadle_model::{PluginNo, Timestamp, WebhookId};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The columns of [`dead_of`], with the first 200 bytes of the body.
const DEAD: &str = "id, deliveries, code, error, received_at, retried_at, app, bytes, substr(body, 1, 200)";

/// A rejected webhook as a dead letter.
fn dead_of(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        reference: DeadLetterRef::Webhook(WebhookId(row.get(0)?)),
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
pub(crate) fn list(conn: &Connection, before: (i64, i64), limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
    let sql = format!(
        "SELECT {DEAD} FROM rejected_webhooks WHERE (received_at, id) < (?2, ?3)
         ORDER BY received_at DESC, id DESC LIMIT ?1"
    );
    let mut read = conn.prepare_cached(&sql)?;
    let webhooks = read.query_map(params![bounded(limit), before.0, before.1], dead_of)?;
    Ok(webhooks.collect::<Result<_, _>>()?)
}

/// Reads a rejected webhook as a dead letter.
pub(crate) fn find_dead_letter(conn: &Connection, id: WebhookId) -> Result<Option<DeadLetter>, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT {DEAD} FROM rejected_webhooks WHERE id = ?1"))?;
    Ok(read.query_row([id.0], dead_of).optional()?)
}

/// Reads one whole.
pub(crate) fn load(conn: &Connection, id: WebhookId) -> Result<Option<RejectedWebhook>, StoreError> {
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
