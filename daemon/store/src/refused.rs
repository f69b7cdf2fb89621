//! Messages that a plugin asked for and the gate refused: why something was not sent.

use crate::codec::to_json;
use crate::error::StoreError;
use crate::merged::{current_contact, current_conversation};
use crate::read::Reader;
use crate::tx::Tx;
use crate::views::RefusedMessage;
use beadle_model::effect::{RefusedAsk, RefusedAsks};
use beadle_model::{ContactId, ConversationId, EventId, PersonIds, PluginNo, Purpose, Scope, Timestamp};
use rusqlite::{Connection, Row, params};

/// The maximum size of what the gate said about one. It says a sentence for each check.
const MAX_GATE_BYTES: usize = 16 << 10;

/// The columns of [`row_of`].
const ROW: &str = "event, plugin, conversation, contact, at, kind, purpose, code, gate, further";

impl Tx<'_> {
    /// Records what the gate refused in a handling. It replaces what an earlier attempt recorded;
    /// that stays if nothing is refused now.
    pub(crate) fn write_refused(
        &self,
        event: EventId,
        plugin: PluginNo,
        refused: &RefusedAsks,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.conn
            .prepare_cached("DELETE FROM refused_asks WHERE event = ?1 AND plugin = ?2")?
            .execute([event.0, plugin.0])?;
        // Not of someone who was erased while it was being handled.
        let is_erased = |ask: &&RefusedAsk| {
            self.cache.people.is_erased(Scope::Conversation(ask.conversation))
                || ask.contact.is_some_and(|contact| self.cache.people.is_erased(Scope::Contact(contact)))
        };
        let kept: Vec<&RefusedAsk> = refused.kept.iter().filter(|ask| !is_erased(ask)).collect();
        let further = refused.further.values().fold(0_u64, |sum, number| sum.saturating_add(*number));
        for (ordinal, ask) in kept.iter().enumerate() {
            let gate = Some(to_json("what the gate decided", &ask.gate)?).filter(|json| json.len() <= MAX_GATE_BYTES);
            let further = if ordinal + 1 == kept.len() { i64::try_from(further).unwrap_or(i64::MAX) } else { 0 };
            self.conn
                .prepare_cached(
                    "INSERT INTO refused_asks
                         (event, plugin, ordinal, conversation, contact, at, kind, purpose, code, gate, further)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(params![
                    event.0,
                    plugin.0,
                    i64::try_from(ordinal).unwrap_or(i64::MAX),
                    ask.conversation.0,
                    ask.contact.map(|contact| current_contact(self.conn, contact)).transpose()?.map(|id| id.0),
                    now.0,
                    ask.kind,
                    ask.purpose.as_ref().map(Purpose::to_string),
                    ask.code,
                    gate,
                    further
                ])?;
        }
        Ok(())
    }
}

fn row_of(conn: &Connection, row: &Row<'_>) -> Result<RefusedMessage, StoreError> {
    let (purpose, gate): (Option<String>, Option<String>) = (row.get(6)?, row.get(8)?);
    let contact: Option<i64> = row.get(3)?;
    Ok(RefusedMessage {
        event: EventId(row.get(0)?),
        plugin: PluginNo(row.get(1)?),
        conversation: current_conversation(conn, ConversationId(row.get(2)?))?,
        contact: contact.map(ContactId),
        at: Timestamp(row.get(4)?),
        kind: row.get(5)?,
        purpose: purpose.and_then(|text| text.parse().ok()),
        code: row.get(7)?,
        gate: gate.and_then(|json| serde_json::from_str(&json).ok()),
        further: row.get::<_, i64>(9)?.unsigned_abs(),
    })
}

/// What the gate refused in the handlings of an event.
pub(crate) fn of_event(conn: &Connection, event: EventId) -> Result<Vec<RefusedMessage>, StoreError> {
    let mut read =
        conn.prepare_cached(&format!("SELECT {ROW} FROM refused_asks WHERE event = ?1 ORDER BY plugin, ordinal"))?;
    let mut rows = read.query([event.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row_of(conn, row)?);
    }
    Ok(found)
}

impl Reader {
    /// The newest messages to a contact that the gate refused, newest first, at most `limit` and
    /// 1,000.
    pub fn refused_messages(&self, contact: ContactId, limit: usize) -> Result<Vec<RefusedMessage>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached(&format!(
                "SELECT {ROW} FROM refused_asks WHERE contact = ?1
                 ORDER BY at DESC, event DESC, plugin DESC, ordinal DESC LIMIT ?2"
            ))?;
            let mut rows = read.query(params![contact.0, crate::read::bounded(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(row_of(conn, row)?);
            }
            Ok(found)
        })
    }

    /// All messages to a person that the gate refused, oldest first.
    pub fn person_refused_messages(&self, ids: &PersonIds) -> Result<Vec<RefusedMessage>, StoreError> {
        self.all(|conn| {
            let mut found = Vec::new();
            let mut read =
                conn.prepare_cached(&format!("SELECT {ROW} FROM refused_asks WHERE contact = ?1 ORDER BY at, event"))?;
            for contact in std::iter::once(ids.contact).chain(ids.merged.iter().copied()) {
                let mut rows = read.query([contact.0])?;
                while let Some(row) = rows.next()? {
                    found.push(row_of(conn, row)?);
                }
            }
            Ok(found)
        })
    }
}
