//! What merged contacts and conversations became: every look-up follows it.
//!
//! An erased one has become contact or conversation 0, which does not exist: no look-up finds it,
//! and what is written about it is not kept.

use crate::error::StoreError;
use beadle_model::{ContactId, ConversationId, Scope};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;

/// Merged contacts and conversations, each with what it was merged into.
pub(crate) type MergedScopes = HashMap<Scope, Scope>;

/// Reads all of them. They are few, because operators merge one by one.
pub(crate) fn load_merged(conn: &Connection) -> Result<MergedScopes, StoreError> {
    let mut merged = HashMap::new();
    let mut contacts = conn.prepare_cached("SELECT id, merged_into FROM contacts WHERE merged_into IS NOT NULL")?;
    let pairs = contacts.query_map([], |row| Ok((ContactId(row.get(0)?), ContactId(row.get(1)?))))?;
    for pair in pairs {
        let (removed, kept) = pair?;
        merged.insert(Scope::Contact(removed), Scope::Contact(kept));
    }
    let sql = "SELECT id, merged_into FROM conversations WHERE merged_into IS NOT NULL";
    let mut conversations = conn.prepare_cached(sql)?;
    let pairs = conversations.query_map([], |row| Ok((ConversationId(row.get(0)?), ConversationId(row.get(1)?))))?;
    for pair in pairs {
        let (removed, kept) = pair?;
        merged.insert(Scope::Conversation(removed), Scope::Conversation(kept));
    }
    Ok(merged)
}

/// The contact that this one was merged into, or itself.
pub(crate) fn current_contact(conn: &Connection, id: ContactId) -> Result<ContactId, StoreError> {
    let mut read = conn.prepare_cached("SELECT merged_into FROM contacts WHERE id = ?1")?;
    let into: Option<Option<i64>> = read.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(into.flatten().map_or(id, ContactId))
}

/// The conversation that this one was merged into, or itself.
pub(crate) fn current_conversation(conn: &Connection, id: ConversationId) -> Result<ConversationId, StoreError> {
    let mut read = conn.prepare_cached("SELECT merged_into FROM conversations WHERE id = ?1")?;
    let into: Option<Option<i64>> = read.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(into.flatten().map_or(id, ConversationId))
}
