//! Everything that is stored about one person, page by page, for an export.
//!
//! Events and messages have no index by person, to keep their inserts cheap: an export reads them
//! once from the first to the last row, and each page says where the next one begins.

use super::Reader;
use crate::codec::{from_json, send_state_of};
use crate::error::StoreError;
use crate::state::bytes_of;
use crate::step::SendState;
use beadle_model::event::{Pricing, Problem};
use beadle_model::{
    ContactId, ConversationId, EventBody, EventId, MessageId, Outgoing, PersonIds, PluginNo, Scope, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;
use std::collections::BTreeSet;

/// The rows that are read for one page.
const SEARCHED: i64 = 20_000;

/// The rows of a page: with bodies of a few kilobytes, a megabyte.
const FOUND: usize = 200;

/// A page of something that was searched for.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonPage<T> {
    /// What was found.
    pub found: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<i64>,
}

/// An event about a person.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonEvent {
    /// Its id.
    pub id: EventId,
    /// Where it happened.
    pub conversation: Option<ConversationId>,
    /// When it happened.
    pub happened_at: Timestamp,
    /// What happened. A body that cannot be read is unrouted.
    pub body: EventBody,
    /// Plugins that could not handle it, each with the code of its error.
    pub dead_letters: Vec<(PluginNo, String)>,
}

/// A message to a person.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonMessage {
    /// Its id.
    pub id: MessageId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The plugin that sent it.
    pub plugin: PluginNo,
    /// The event that it answers or follows from.
    pub event: Option<EventId>,
    /// Its content; `None` if it cannot be read.
    pub body: Option<Outgoing>,
    /// What became of it.
    pub state: SendState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was sent, delivered, read and played.
    pub receipts: [Option<Timestamp>; 4],
    /// Why it failed.
    pub problem: Option<Problem>,
    /// The price that the platform reported.
    pub pricing: Option<Pricing>,
}

/// A value that a plugin keeps about a person.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonValue {
    /// The plugin.
    pub plugin: PluginNo,
    /// The contact or conversation.
    pub scope: Scope,
    /// The key.
    pub key: String,
    /// The value; a counter is decimal text.
    pub value: Vec<u8>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// A timer of a plugin about a person.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonTimer {
    /// The plugin.
    pub plugin: PluginNo,
    /// The contact or conversation.
    pub scope: Scope,
    /// The key.
    pub key: String,
    /// When it is due.
    pub due_at: Timestamp,
    /// What the plugin stored in it.
    pub payload: Vec<u8>,
}

/// A group that a person is or was in.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonGroup {
    /// The group.
    pub conversation: ConversationId,
    /// Its subject.
    pub subject: Option<String>,
    /// When they joined.
    pub joined_at: Timestamp,
    /// When they left.
    pub left_at: Option<Timestamp>,
}

fn contacts_of(ids: &PersonIds) -> BTreeSet<i64> {
    std::iter::once(ids.contact).chain(ids.merged.iter().copied()).map(|id| id.0).collect()
}

fn conversations_of(ids: &PersonIds) -> BTreeSet<i64> {
    ids.conversations.iter().map(|id| id.0).collect()
}

fn scopes_of(ids: &PersonIds) -> Vec<Scope> {
    let contacts = contacts_of(ids).into_iter().map(|id| Scope::Contact(ContactId(id)));
    contacts.chain(ids.conversations.iter().copied().map(Scope::Conversation)).collect()
}

fn time(at: Option<i64>) -> Option<Timestamp> {
    at.map(Timestamp)
}

impl Reader {
    /// Events about a person after this row, oldest first.
    pub fn person_events(&self, ids: &PersonIds, after: i64) -> Result<PersonPage<PersonEvent>, StoreError> {
        let (contacts, conversations) = (contacts_of(ids), conversations_of(ids));
        self.all(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT id, contact, conversation, happened_at FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let mut rows = read.query([after, SEARCHED])?;
            let (mut found, mut searched, mut last) = (Vec::new(), 0, after);
            while let Some(row) = rows.next()? {
                searched += 1;
                last = row.get(0)?;
                let (contact, conversation): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
                let is_theirs = contact.is_some_and(|id| contacts.contains(&id))
                    || conversation.is_some_and(|id| conversations.contains(&id));
                if !is_theirs {
                    continue;
                }
                found.push(PersonEvent {
                    id: EventId(last),
                    conversation: conversation.map(ConversationId),
                    happened_at: Timestamp(row.get(3)?),
                    body: super::events::display_body(conn, EventId(last))?,
                    dead_letters: dead_letters_of(conn, last)?,
                });
                if found.len() >= FOUND {
                    return Ok(PersonPage { found, next: Some(last) });
                }
            }
            Ok(PersonPage { found, next: (searched == SEARCHED).then_some(last) })
        })
    }

    /// Messages to a person after this row, oldest first.
    pub fn person_messages(&self, ids: &PersonIds, after: i64) -> Result<PersonPage<PersonMessage>, StoreError> {
        let conversations = conversations_of(ids);
        self.all(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT id, conversation, plugin, event, state, created_at, sent_at, delivered_at, read_at, played_at, problem,
                     pricing FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let mut rows = read.query([after, SEARCHED])?;
            let (mut found, mut searched, mut last) = (Vec::new(), 0, after);
            while let Some(row) = rows.next()? {
                searched += 1;
                last = row.get(0)?;
                let conversation: i64 = row.get(1)?;
                if !conversations.contains(&conversation) {
                    continue;
                }
                let (problem, pricing): (Option<String>, Option<String>) = (row.get(10)?, row.get(11)?);
                found.push(PersonMessage {
                    id: MessageId(last),
                    conversation: ConversationId(conversation),
                    plugin: PluginNo(row.get(2)?),
                    event: row.get::<_, Option<i64>>(3)?.map(EventId),
                    body: message_body(conn, last)?,
                    state: send_state_of(row.get(4)?)?,
                    created_at: Timestamp(row.get(5)?),
                    receipts: [time(row.get(6)?), time(row.get(7)?), time(row.get(8)?), time(row.get(9)?)],
                    problem: problem.and_then(|json| serde_json::from_str(&json).ok()),
                    pricing: pricing.and_then(|json| serde_json::from_str(&json).ok()),
                });
                if found.len() >= FOUND {
                    return Ok(PersonPage { found, next: Some(last) });
                }
            }
            Ok(PersonPage { found, next: (searched == SEARCHED).then_some(last) })
        })
    }

    /// Values that plugins keep about a person, in their present states.
    pub fn person_values(&self, ids: &PersonIds, now: Timestamp) -> Result<Vec<PersonValue>, StoreError> {
        self.all(|conn| {
            let mut states = conn.prepare_cached("SELECT no, state_no FROM plugins ORDER BY no")?;
            let states: Vec<(i64, i64)> =
                states.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            let mut values = Vec::new();
            for (plugin, state) in states {
                for scope in scopes_of(ids) {
                    let (kind, id) = scope.as_columns();
                    let mut read = conn.prepare_cached(
                        "SELECT key, value, expires_at FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3
                         AND (expires_at IS NULL OR expires_at > ?4) ORDER BY key",
                    )?;
                    let mut rows = read.query([state, kind, id, now.0])?;
                    while let Some(row) = rows.next()? {
                        values.push(PersonValue {
                            plugin: PluginNo(plugin),
                            scope,
                            key: row.get(0)?,
                            value: bytes_of(row.get_ref(1)?),
                            expires_at: time(row.get(2)?),
                        });
                    }
                }
            }
            Ok(values)
        })
    }

    /// Timers of plugins about a person.
    pub fn person_timers(&self, ids: &PersonIds) -> Result<Vec<PersonTimer>, StoreError> {
        self.all(|conn| {
            let mut plugins = conn.prepare_cached("SELECT no FROM plugins ORDER BY no")?;
            let plugins: Vec<i64> = plugins.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let mut timers = Vec::new();
            for plugin in plugins {
                for scope in scopes_of(ids) {
                    let (kind, id) = scope.as_columns();
                    let mut read = conn.prepare_cached(
                        "SELECT key, due_at, payload FROM timers WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3 ORDER BY key",
                    )?;
                    let mut rows = read.query([plugin, kind, id])?;
                    while let Some(row) = rows.next()? {
                        timers.push(PersonTimer {
                            plugin: PluginNo(plugin),
                            scope,
                            key: row.get(0)?,
                            due_at: Timestamp(row.get(1)?),
                            payload: row.get(2)?,
                        });
                    }
                }
            }
            Ok(timers)
        })
    }

    /// Groups that a person is or was in.
    pub fn person_groups(&self, ids: &PersonIds) -> Result<Vec<PersonGroup>, StoreError> {
        self.all(|conn| {
            let mut groups = Vec::new();
            for contact in contacts_of(ids) {
                let mut read = conn.prepare_cached(
                    "SELECT conversation, subject, joined_at, left_at FROM group_members LEFT JOIN platform_groups
                     USING (conversation) WHERE contact = ?1 ORDER BY conversation",
                )?;
                let rows = read.query_map([contact], |row| {
                    Ok(PersonGroup {
                        conversation: ConversationId(row.get(0)?),
                        subject: row.get(1)?,
                        joined_at: Timestamp(row.get(2)?),
                        left_at: time(row.get(3)?),
                    })
                })?;
                groups.extend(rows.collect::<Result<Vec<_>, _>>()?);
            }
            Ok(groups)
        })
    }

    /// Until when the platform refuses marketing to a person, and its code.
    pub fn person_refusal(&self, contact: ContactId) -> Result<Option<(Timestamp, String)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT until, code FROM marketing_refusals WHERE contact = ?1")?;
            Ok(read.query_row([contact.0], |row| Ok((Timestamp(row.get(0)?), row.get(1)?))).optional()?)
        })
    }

    /// When the platform last could not deliver to a person, and its code, also if they have
    /// written since.
    pub fn person_undelivered(&self, contact: ContactId) -> Result<Option<(Timestamp, String)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT at, code FROM unreachable WHERE contact = ?1")?;
            Ok(read.query_row([contact.0], |row| Ok((Timestamp(row.get(0)?), row.get(1)?))).optional()?)
        })
    }
}

fn dead_letters_of(conn: &Connection, event: i64) -> Result<Vec<(PluginNo, String)>, StoreError> {
    let mut read = conn
        .prepare_cached("SELECT plugin, code FROM dead_letters WHERE event = ?1 AND message IS NULL ORDER BY plugin")?;
    let rows = read.query_map([event], |row| Ok((PluginNo(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn message_body(conn: &Connection, id: i64) -> Result<Option<Outgoing>, StoreError> {
    let mut read = conn.prepare_cached("SELECT body FROM outbox_bodies WHERE id = ?1")?;
    let json: Option<String> = read.query_row(params![id], |row| row.get(0)).optional()?;
    Ok(json.and_then(|json| from_json::<Outgoing>("message", id, &json).ok()))
}

/// A value of a plugin as JSON that people can read: JSON as it is, text as text, anything else in
/// hexadecimal.
pub fn readable_value(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        Err(_) => Value::String(format!("0x{}", beadle_model::text::hex(bytes))),
    }
}
