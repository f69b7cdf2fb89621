//! Reading contacts and conversations.

use super::{Reader, bounded};
use crate::codec::{alias_of, time_of};
use crate::error::StoreError;
use crate::people::{CONTACT, CURRENT_CONTACT, contact_of, find_alias, load_view};
use crate::views::{AliasConflict, ContactDetails, ConversationSummary};
use beadle_model::phone::other_spelling;
use beadle_model::{Alias, AliasKind, Contact, ContactId, ConversationId, ConversationView, Role, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// SQL: no operator marked the two as different people.
const NOT_DISTINCT: &str = "NOT EXISTS
     (SELECT 1 FROM distinct_contacts WHERE lower = min(holder, claimant) AND higher = max(holder, claimant))";

impl Reader {
    /// A contact.
    pub fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached(&format!("SELECT {CONTACT} FROM contacts WHERE id = {CURRENT_CONTACT}"))?;
            Ok(read.query_row([id.0], contact_of).optional()?)
        })
    }

    /// Contacts after `after` in the order of creation, at most `limit` and 1,000.
    pub fn contacts(&self, after: Option<ContactId>, limit: usize) -> Result<Vec<Contact>, StoreError> {
        self.one(|conn| {
            let sql =
                format!("SELECT {CONTACT} FROM contacts WHERE id > ?1 AND merged_into IS NULL ORDER BY id LIMIT ?2");
            let mut read = conn.prepare_cached(&sql)?;
            let contacts = read.query_map(params![after.map_or(0, |id| id.0), bounded(limit)], contact_of)?;
            Ok(contacts.collect::<Result<_, _>>()?)
        })
    }

    /// Contacts with this role, which is not the default, in the order of creation.
    pub fn contacts_with_role(&self, role: Role, limit: usize) -> Result<Vec<Contact>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {CONTACT} FROM contacts WHERE json_extract(profile, '$.role') = ?1 AND merged_into IS NULL
                 ORDER BY id LIMIT ?2"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let contacts = read.query_map(params![role.name(), bounded(limit)], contact_of)?;
            Ok(contacts.collect::<Result<_, _>>()?)
        })
    }

    /// A contact with aliases and conversations.
    pub fn contact_details(&self, id: ContactId) -> Result<Option<ContactDetails>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached(&format!("SELECT {CONTACT} FROM contacts WHERE id = {CURRENT_CONTACT}"))?;
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
            let conflicts = conflicts_of(conn, id)?;
            let merged = conn
                .prepare_cached("SELECT id FROM contacts WHERE merged_into = ?1 ORDER BY id")?
                .query_map([id.0], |row| row.get(0).map(ContactId))?
                .collect::<Result<_, _>>()?;
            Ok(Some(ContactDetails { contact, aliases, conversations, conflicts, merged }))
        })
    }

    /// The aliases of a contact with the time when each became known, oldest first.
    pub fn aliases_of(&self, id: ContactId) -> Result<Vec<(Alias, Timestamp)>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT kind, value, created_at FROM aliases WHERE contact = {CURRENT_CONTACT}
                 ORDER BY created_at, kind, value"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let rows = read.query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.map(|row| {
                let (kind, value, at) = row?;
                Ok((alias_of(kind, value)?, Timestamp(at)))
            })
            .collect()
        })
    }

    /// The contact with this alias.
    pub fn contact_by_alias(&self, alias: &Alias) -> Result<Option<ContactId>, StoreError> {
        self.one(|conn| find_alias(conn, alias))
    }

    /// The contact with this phone number, in any of its spellings.
    pub fn contact_with_number(&self, digits: &str) -> Result<Option<Contact>, StoreError> {
        let spellings = [Some(digits.to_owned()), other_spelling(digits)];
        for value in spellings.into_iter().flatten() {
            for kind in [AliasKind::WaId, AliasKind::Phone] {
                if let Some(id) = self.contact_by_alias(&Alias { kind, value: value.clone() })? {
                    return self.contact(id);
                }
            }
        }
        Ok(None)
    }

    /// Aliases that two contacts used, latest first, with the time.
    pub fn alias_conflicts(&self, limit: usize) -> Result<Vec<(AliasConflict, Timestamp)>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(&format!(
                "SELECT kind, value, holder, claimant, seen_at FROM alias_conflicts WHERE {NOT_DISTINCT}
                     ORDER BY seen_at DESC, kind LIMIT ?1"
            ))?
            .query_map([bounded(limit)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
            .map(|row| {
                let (kind, value, holder, claimant, seen_at) = row?;
                let alias = alias_of(kind, value)?;
                let clash = AliasConflict { alias, holder: ContactId(holder), claimant: ContactId(claimant) };
                Ok((clash, Timestamp(seen_at)))
            })
            .collect()
        })
    }

    /// A conversation as it is now; a group with its last author.
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
                "SELECT id FROM conversations WHERE contact = {CURRENT_CONTACT} AND (?2 IS NULL OR channel = ?2)
                     ORDER BY last_inbound_at DESC, id LIMIT 1"
            ))?;
            let id = read.query_row(params![contact.0, channel], |row| row.get(0).map(ConversationId)).optional()?;
            id.map_or(Ok(None), |id| load_view(conn, id, None))
        })
    }
}

fn conversation_of(row: &Row<'_>) -> rusqlite::Result<ConversationSummary> {
    Ok(ConversationSummary {
        id: ConversationId(row.get(0)?),
        channel: row.get(1)?,
        last_inbound_at: time_of(row.get(2)?),
        window_until: time_of(row.get(3)?),
    })
}

/// Conflicts in which this contact is either side.
fn conflicts_of(conn: &Connection, id: ContactId) -> Result<Vec<AliasConflict>, StoreError> {
    conn.prepare_cached(&format!(
        "SELECT kind, value, holder, claimant FROM alias_conflicts WHERE (claimant = ?1 OR holder = ?1) AND {NOT_DISTINCT}
         ORDER BY seen_at"
    ))?
    .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
    .map(|row| {
        let (kind, value, holder, claimant) = row?;
        let alias = alias_of(kind, value)?;
        Ok(AliasConflict { alias, holder: ContactId(holder), claimant: ContactId(claimant) })
    })
    .collect()
}
