//! The mirror of the platform's groups, as it is read.

use crate::StoreError;
use crate::people::{CONTACT, contact_of};
use crate::read::Reader;
use beadle_model::{Contact, ContactId, ConversationId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

/// The most groups that one listing gives; a number has 10,000 at most (whatsapp.md 3.1).
const MOST: i64 = 10_000;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupShown {
    /// Ours.
    pub conversation: ConversationId,
    /// The channel's name in the configuration.
    pub channel: String,
    /// The platform's id.
    pub group: String,
    /// What it is called, where that was told.
    pub subject: Option<String>,
    /// Its text, where that was told.
    pub description: Option<String>,
    /// By which one comes in, where that was told.
    pub invite_link: Option<String>,
    /// Whoever comes by the link has to be let in.
    pub approval_required: Option<bool>,
    /// The platform has suspended it.
    pub suspended: bool,
    /// Who is in it, the business not counted.
    pub members: u32,
}

/// Somebody who asks to come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinRequestShown {
    /// The platform's id of the request.
    pub request: String,
    /// Who.
    pub contact: Contact,
    /// Since when.
    pub asked_at: Timestamp,
}

const SELECT: &str = "SELECT c.id, c.channel, c.platform_group, g.subject, g.description, g.invite_link,
        g.approval_required, coalesce(g.suspended, 0),
        (SELECT count(*) FROM group_members m WHERE m.conversation = c.id AND m.left_at IS NULL)
    FROM conversations c LEFT JOIN platform_groups g ON g.conversation = c.id
    WHERE c.platform_group <> '' AND g.deleted_at IS NULL";

fn group_of(row: &Row<'_>) -> rusqlite::Result<GroupShown> {
    Ok(GroupShown {
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
    /// Groups that are there, of one channel or of all.
    pub fn groups(&self, channel: Option<&str>) -> Result<Vec<GroupShown>, StoreError> {
        self.one(|conn| {
            let sql = format!("{SELECT} AND (?1 IS NULL OR c.channel = ?1) ORDER BY c.id LIMIT {MOST}");
            let mut read = conn.prepare_cached(&sql)?;
            let groups = read.query_map([channel], group_of)?;
            Ok(groups.collect::<Result<_, _>>()?)
        })
    }

    /// A group by the platform's id, unless it was deleted. Ids are the platform's and so one channel's.
    pub fn group(&self, group: &str) -> Result<Option<GroupShown>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!("{SELECT} AND c.platform_group = ?1 LIMIT 1"))?;
            Ok(read.query_row([group], group_of).optional()?)
        })
    }

    /// Who is in a group.
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

    /// Who asks to come into a group, the longest first.
    pub fn join_requests(&self, conversation: ConversationId) -> Result<Vec<JoinRequestShown>, StoreError> {
        self.all(|conn| {
            let asked: Vec<(String, i64, i64)> = conn
                .prepare_cached(
                    "SELECT request, contact, asked_at FROM join_requests WHERE conversation = ?1 ORDER BY asked_at",
                )?
                .query_map([conversation.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let mut read = conn.prepare_cached(&format!("SELECT {CONTACT} FROM contacts WHERE id = ?1"))?;
            let mut shown = Vec::with_capacity(asked.len());
            for (request, contact, asked_at) in asked {
                if let Some(contact) = read.query_row([contact], contact_of).optional()? {
                    shown.push(JoinRequestShown { request, contact, asked_at: Timestamp(asked_at) });
                }
            }
            Ok(shown)
        })
    }

    /// The conversation of a channel that has none with anybody: by it a new group is asked for.
    pub fn channel_conversation(&self, channel: &str) -> Result<Option<ConversationId>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached("SELECT id FROM conversations WHERE channel = ?1 AND platform_group = ''")?;
            Ok(read.query_row([channel], |row| row.get(0).map(ConversationId)).optional()?)
        })
    }

    /// The name that a member of a group has with the platform: the one it answers to longest first.
    pub fn names_of(&self, contact: ContactId) -> Result<Vec<beadle_model::Alias>, StoreError> {
        self.one(|conn| {
            let rows: Vec<(i64, String)> = conn
                .prepare_cached("SELECT kind, value FROM aliases WHERE contact = ?1 ORDER BY created_at DESC, kind")?
                .query_map(params![contact.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            rows.into_iter().map(|(kind, value)| crate::codec::alias_of(kind, value)).collect()
        })
    }
}
