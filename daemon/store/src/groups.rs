//! Reading the mirror of the platform's groups.

use crate::error::StoreError;
use crate::people::{CONTACT, contact_of};
use crate::read::Reader;
use beadle_model::{Contact, ContactId, ConversationId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

/// The maximum size of a listing: the platform's limit per number
/// (`docs/whatsapp.md#group-limits`).
const MAX: i64 = 10_000;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlatformGroup {
    /// Its conversation.
    pub conversation: ConversationId,
    /// The channel's name in the configuration.
    pub channel: String,
    /// The platform's group id.
    pub group: String,
    /// The subject, if reported.
    pub subject: Option<String>,
    /// The description, if reported.
    pub description: Option<String>,
    /// The invite link, if reported.
    pub invite_link: Option<String>,
    /// Whether joining by the link needs approval.
    pub approval_required: Option<bool>,
    /// Whether the platform has suspended it.
    pub suspended: bool,
    /// The number of members without the business.
    pub members: u32,
}

/// A pending request to join a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingJoinRequest {
    /// The platform's id of the request.
    pub request: String,
    /// The person.
    pub contact: Contact,
    /// When it was made.
    pub requested_at: Timestamp,
}

const SELECT: &str = "SELECT c.id, c.channel, c.platform_group, g.subject, g.description, g.invite_link,
        g.approval_required, coalesce(g.suspended, 0),
        (SELECT count(*) FROM group_members m WHERE m.conversation = c.id AND m.left_at IS NULL)
    FROM conversations c LEFT JOIN platform_groups g ON g.conversation = c.id
    WHERE c.platform_group <> '' AND g.deleted_at IS NULL";

fn group_of(row: &Row<'_>) -> rusqlite::Result<PlatformGroup> {
    Ok(PlatformGroup {
        conversation: ConversationId(row.get(0)?),
        channel: row.get(1)?,
        group: row.get(2)?,
        subject: row.get(3)?,
        description: row.get(4)?,
        invite_link: row.get(5)?,
        approval_required: row.get(6)?,
        suspended: row.get(7)?,
        members: row.get(8)?,
    })
}

impl Reader {
    /// Existing groups, of one channel or of all.
    pub fn groups(&self, channel: Option<&str>) -> Result<Vec<PlatformGroup>, StoreError> {
        self.one(|conn| {
            let sql = format!("{SELECT} AND (?1 IS NULL OR c.channel = ?1) ORDER BY c.id LIMIT {MAX}");
            let mut read = conn.prepare_cached(&sql)?;
            let groups = read.query_map([channel], group_of)?;
            Ok(groups.collect::<Result<_, _>>()?)
        })
    }

    /// The group with this platform id, unless it was deleted. Platform ids are unique across
    /// channels.
    pub fn group(&self, group: &str) -> Result<Option<PlatformGroup>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!("{SELECT} AND c.platform_group = ?1 LIMIT 1"))?;
            Ok(read.query_row([group], group_of).optional()?)
        })
    }

    /// The group that a conversation is, unless it was deleted.
    pub fn group_of(&self, conversation: ConversationId) -> Result<Option<PlatformGroup>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!("{SELECT} AND c.id = ?1"))?;
            Ok(read.query_row([conversation.0], group_of).optional()?)
        })
    }

    /// The members of a group.
    pub fn group_members(&self, conversation: ConversationId) -> Result<Vec<Contact>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {CONTACT} FROM contacts WHERE id IN
                     (SELECT contact FROM group_members WHERE conversation = ?1 AND left_at IS NULL) ORDER BY id"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let contacts = read.query_map([conversation.0], contact_of)?;
            Ok(contacts.collect::<Result<_, _>>()?)
        })
    }

    /// Pending requests to join a group, oldest first.
    pub fn join_requests(&self, conversation: ConversationId) -> Result<Vec<PendingJoinRequest>, StoreError> {
        self.all(|conn| {
            let asked: Vec<(String, i64, i64)> = conn
                .prepare_cached(
                    "SELECT request, contact, requested_at FROM join_requests WHERE conversation = ?1 ORDER BY requested_at",
                )?
                .query_map([conversation.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let mut read = conn.prepare_cached(&format!("SELECT {CONTACT} FROM contacts WHERE id = ?1"))?;
            let mut requests = Vec::with_capacity(asked.len());
            for (request, contact, requested_at) in asked {
                if let Some(contact) = read.query_row([contact], contact_of).optional()? {
                    requests.push(PendingJoinRequest { request, contact, requested_at: Timestamp(requested_at) });
                }
            }
            Ok(requests)
        })
    }

    /// The channel's conversation without a contact, in which new groups are requested.
    pub fn channel_conversation(&self, channel: &str) -> Result<Option<ConversationId>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached("SELECT id FROM conversations WHERE channel = ?1 AND platform_group = ''")?;
            Ok(read.query_row([channel], |row| row.get(0).map(ConversationId)).optional()?)
        })
    }

    /// The aliases of a contact, newest first.
    pub fn contact_aliases(&self, contact: ContactId) -> Result<Vec<beadle_model::Alias>, StoreError> {
        self.one(|conn| {
            let rows: Vec<(i64, String)> = conn
                .prepare_cached("SELECT kind, value FROM aliases WHERE contact = ?1 ORDER BY created_at DESC, kind")?
                .query_map(params![contact.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            rows.into_iter().map(|(kind, value)| crate::codec::alias_of(kind, value)).collect()
        })
    }
}
