//! Looking up anything by its id, for `beadle why ID`.

use super::{Reader, SEARCHED_ROWS, events, outbox, readable, rejected};
use crate::append::find_by_platform_id;
use crate::error::StoreError;
use crate::views::Trace;
use beadle_model::{ContactId, EventId, HandlingId, MessageId, WebhookId};
use rusqlite::{Connection, OptionalExtension, params};

impl Reader {
    /// What an id of an event, handling, message, contact or webhook, or a platform message id,
    /// refers to; `None` if nothing. A platform id is searched among sent messages and the newest
    /// million events.
    pub fn trace(&self, id: &str) -> Result<Option<Trace>, StoreError> {
        if let Ok(id) = id.parse::<EventId>() {
            return self.all(|conn| event(conn, id));
        }
        if let Ok(id) = id.parse::<HandlingId>() {
            return self.all(|conn| event(conn, id.event));
        }
        if let Ok(id) = id.parse::<MessageId>() {
            return self.all(|conn| message(conn, id));
        }
        if let Ok(id) = id.parse::<ContactId>() {
            return Ok(self.contact_details(id)?.map(|contact| Trace::Contact(Box::new(contact))));
        }
        if let Ok(id) = id.parse::<WebhookId>() {
            return self
                .one(|conn| Ok(rejected::find_dead_letter(conn, id)?.map(|letter| Trace::Webhook(Box::new(letter)))));
        }
        if id.is_empty() {
            return Ok(None);
        }
        self.all(|conn| {
            let newest = conn.query_row("SELECT coalesce(max(id), 0) FROM outbox", [], |row| row.get(0))?;
            if let Some((ours, ..)) = find_by_platform_id(conn, id, newest)? {
                return message(conn, ours);
            }
            match find_inbound(conn, id)? {
                Some(theirs) => event(conn, theirs),
                None => Ok(None),
            }
        })
    }
}

fn event(conn: &Connection, id: EventId) -> Result<Option<Trace>, StoreError> {
    Ok(events::find_details(conn, id)?.map(|event| Trace::Event(Box::new(event))))
}

fn message(conn: &Connection, id: MessageId) -> Result<Option<Trace>, StoreError> {
    let Some(message) = outbox::find_details(conn, id)? else { return Ok(None) };
    let event = message.row.event.map_or(Ok(None), |event| events::find_details(conn, event));
    Ok(Some(Trace::Message { message: Box::new(message), event: readable(event)?.flatten().map(Box::new) }))
}

/// The event of a received message with this platform id. Bodies are not indexed but scanned,
/// newest first.
fn find_inbound(conn: &Connection, platform: &str) -> Result<Option<EventId>, StoreError> {
    let sql = format!(
        "SELECT id FROM event_bodies WHERE id > (SELECT max(id) FROM event_bodies) - {SEARCHED_ROWS}
           AND instr(body, ?1) AND json_extract(body, '$.message') = ?2 AND json_extract(body, '$.event') = 'message'
         ORDER BY id DESC LIMIT 1"
    );
    let found = conn.prepare_cached(&sql)?.query_row(params![platform, platform], |row| row.get(0)).optional()?;
    Ok(found.map(EventId))
}
