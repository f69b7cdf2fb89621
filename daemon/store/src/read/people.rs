//! Contacts and conversations.

use super::{Reader, limit};
use crate::StoreError;
use crate::codec::{alias_of, time_of};
use crate::people::{CONTACT, CONTACT_BEHIND, contact_of, find_alias, load_view};
use crate::shown::{AliasClash, ContactShown, ConversationShown};
use beadle_model::{Alias, Contact, ContactId, ConversationId, ConversationView, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A person has not said that the two are two.
const NOT_APART: &str = "NOT EXISTS
     (SELECT 1 FROM kept_apart WHERE a = min(holder, claimed) AND b = max(holder, claimed))";

impl Reader {
    /// A contact.
    pub fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached(&format!("SELECT {CONTACT} FROM contacts WHERE id = {CONTACT_BEHIND}"))?;
            Ok(read.query_row([id.0], contact_of).optional()?)
        })
    }

    /// Up to `most` (1,000 at most) contacts in the order they became known, from behind `after`.
    pub fn contacts(&self, after: Option<ContactId>, most: usize) -> Result<Vec<Contact>, StoreError> {
        self.one(|conn| {
            let sql =
                format!("SELECT {CONTACT} FROM contacts WHERE id > ?1 AND merged_into IS NULL ORDER BY id LIMIT ?2");
            let mut read = conn.prepare_cached(&sql)?;
            let contacts = read.query_map(params![after.map_or(0, |id| id.0), limit(most)], contact_of)?;
            Ok(contacts.collect::<Result<_, _>>()?)
        })
    }

    /// A contact with names and conversations.
    pub fn contact_shown(&self, id: ContactId) -> Result<Option<ContactShown>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached(&format!("SELECT {CONTACT} FROM contacts WHERE id = {CONTACT_BEHIND}"))?;
            let Some(contact) = read.query_row([id.0], contact_of).optional()? else { return Ok(None) };
            let id = contact.id;
            let aliases = conn
                .prepare_cached("SELECT kind, value FROM aliases WHERE contact = ?1 ORDER BY created_at, kind, value")?
                .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .map(|row| row.map_err(StoreError::from).and_then(|(kind, value)| alias_of(kind, value)))
                .collect::<Result<_, _>>()?;
            let conversations = conn
                .prepare_cached(
                    "SELECT id, channel, last_inbound_at, window_until FROM conversations WHERE contact = ?1 ORDER BY id",
                )?
                .query_map([id.0], conversation_of)?
                .collect::<Result<_, _>>()?;
            let clashes = clashes_of(conn, id)?;
            let merged = conn
                .prepare_cached("SELECT id FROM contacts WHERE merged_into = ?1 ORDER BY id")?
                .query_map([id.0], |row| row.get(0).map(ContactId))?
                .collect::<Result<_, _>>()?;
            Ok(Some(ContactShown { contact, aliases, conversations, clashes, merged }))
        })
    }

    /// Whose name this is.
    pub fn contact_by_alias(&self, alias: &Alias) -> Result<Option<ContactId>, StoreError> {
        self.one(|conn| find_alias(conn, alias))
    }

    /// Names that two contacts came under, the latest first, with when that was.
    pub fn alias_clashes(&self, most: usize) -> Result<Vec<(AliasClash, Timestamp)>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(&format!(
                "SELECT kind, value, holder, claimed, seen_at FROM alias_clashes WHERE {NOT_APART}
                     ORDER BY seen_at DESC, kind LIMIT ?1"
            ))?
            .query_map([limit(most)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
            .map(|row| {
                let (kind, value, holder, claimed, seen_at) = row?;
                let alias = alias_of(kind, value)?;
                let clash = AliasClash { alias, holder: ContactId(holder), claimed: ContactId(claimed) };
                Ok((clash, Timestamp(seen_at)))
            })
            .collect()
        })
    }

    /// A conversation as it is now; a group's with the one who wrote last.
    pub fn conversation(&self, id: ConversationId) -> Result<Option<ConversationView>, StoreError> {
        self.all(|conn| load_view(conn, id, None))
    }

    /// The conversation with a contact on a channel, or on the one where they wrote last.
    pub fn conversation_with(
        &self,
        contact: ContactId,
        channel: Option<&str>,
    ) -> Result<Option<ConversationView>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached(&format!(
                "SELECT id FROM conversations WHERE contact = {CONTACT_BEHIND} AND (?2 IS NULL OR channel = ?2)
                     ORDER BY last_inbound_at DESC, id LIMIT 1"
            ))?;
            let id = read.query_row(params![contact.0, channel], |row| row.get(0).map(ConversationId)).optional()?;
            id.map_or(Ok(None), |id| load_view(conn, id, None))
        })
    }
}

fn conversation_of(row: &Row<'_>) -> rusqlite::Result<ConversationShown> {
    Ok(ConversationShown {
        id: ConversationId(row.get(0)?),
        channel: row.get(1)?,
        last_inbound_at: time_of(row.get(2)?),
        window_until: time_of(row.get(3)?),
    })
}

/// Names that came with this contact and are another's, or the other way round.
fn clashes_of(conn: &Connection, id: ContactId) -> Result<Vec<AliasClash>, StoreError> {
    conn.prepare_cached(&format!(
        "SELECT kind, value, holder, claimed FROM alias_clashes WHERE (claimed = ?1 OR holder = ?1) AND {NOT_APART}
         ORDER BY seen_at"
    ))?
    .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
    .map(|row| {
        let (kind, value, holder, claimed) = row?;
        let alias = alias_of(kind, value)?;
        Ok(AliasClash { alias, holder: ContactId(holder), claimed: ContactId(claimed) })
    })
    .collect()
}
