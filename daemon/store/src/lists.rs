//! Lists of people that an operator keeps by hand. A list has a name and members; who belongs to a
//! segment is computed instead and is not the store's.
//!
//! Members are current contacts: a merge moves the membership (`merge`), and an erasure deletes it.

use crate::error::StoreError;
use crate::people::CURRENT_CONTACT;
use crate::read::{Reader, bounded};
use crate::tx::Tx;
use beadle_model::{ContactId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The maximum number of lists: each is a line of every listing.
pub const MAX_LISTS: i64 = 1000;

/// The number of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub i64);

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRow {
    /// Its number.
    pub id: ListId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The number of its members.
    pub members: u64,
}

/// A member of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMember {
    /// The contact.
    pub contact: ContactId,
    /// Its name on the platform.
    pub name: Option<String>,
    /// When it was added.
    pub added_at: Timestamp,
}

/// What an edit of a list changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListChange {
    /// Contacts that are new on the list.
    pub added: usize,
    /// Contacts that were on the list and no longer are.
    pub removed: usize,
    /// The number of members afterwards.
    pub members: u64,
}

/// The columns of [`list_of`].
const LIST: &str = "id, name, description, created_at, members";

fn list_of(row: &Row<'_>) -> rusqlite::Result<ListRow> {
    Ok(ListRow {
        id: ListId(row.get(0)?),
        name: row.get(1)?,
        description: row.get(2)?,
        created_at: Timestamp(row.get(3)?),
        members: row.get::<_, i64>(4)?.unsigned_abs(),
    })
}

fn find_list(conn: &Connection, name: &str) -> Result<Option<ListRow>, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT {LIST} FROM lists WHERE name = ?1"))?;
    Ok(read.query_row([name], list_of).optional()?)
}

fn known_list(conn: &Connection, name: &str) -> Result<ListRow, StoreError> {
    find_list(conn, name)?.ok_or_else(|| StoreError::NotFound { object: "list", id: name.to_owned() })
}

impl Tx<'_> {
    pub(crate) fn create_list(
        &self,
        name: &str,
        description: Option<&str>,
        now: Timestamp,
    ) -> Result<ListRow, StoreError> {
        let refused = |reason: String| Err(StoreError::List { reason });
        if find_list(self.conn, name)?.is_some() {
            return refused(format!("there is already a list `{name}`"));
        }
        let lists: i64 = self.conn.prepare_cached("SELECT count(*) FROM lists")?.query_row([], |row| row.get(0))?;
        if lists >= MAX_LISTS {
            return refused(format!("there are already {lists} lists; the maximum is {MAX_LISTS}"));
        }
        self.conn
            .prepare_cached("INSERT INTO lists (name, description, created_at) VALUES (?1, ?2, ?3)")?
            .execute(params![name, description, now.0])?;
        known_list(self.conn, name)
    }

    /// Deletes a list with its memberships. Returns the list as it was.
    pub(crate) fn delete_list(&self, name: &str) -> Result<ListRow, StoreError> {
        let list = known_list(self.conn, name)?;
        self.conn.prepare_cached("DELETE FROM list_members WHERE list = ?1")?.execute([list.id.0])?;
        self.conn.prepare_cached("DELETE FROM lists WHERE id = ?1")?.execute([list.id.0])?;
        Ok(list)
    }

    /// Adds and removes members. If a contact is unknown, nothing changes.
    pub(crate) fn edit_list(
        &self,
        name: &str,
        add: &[ContactId],
        remove: &[ContactId],
        now: Timestamp,
    ) -> Result<ListChange, StoreError> {
        let list = known_list(self.conn, name)?.id;
        let mut change = ListChange::default();
        let current = |id: ContactId| -> Result<i64, StoreError> {
            let mut read = self.conn.prepare_cached(&format!("SELECT {CURRENT_CONTACT}"))?;
            let found: Option<i64> = read.query_row([id.0], |row| row.get(0))?;
            found.ok_or_else(|| StoreError::NotFound { object: "contact", id: id.to_string() })
        };
        for id in add {
            change.added += self
                .conn
                .prepare_cached(
                    "INSERT INTO list_members (list, contact, added_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute([list.0, current(*id)?, now.0])?;
        }
        for id in remove {
            change.removed += self
                .conn
                .prepare_cached("DELETE FROM list_members WHERE list = ?1 AND contact = ?2")?
                .execute([list.0, current(*id)?])?;
        }
        change.members = known_list(self.conn, name)?.members;
        Ok(change)
    }

    /// Puts the kept contact on the lists of the removed one. There is no index by contact, because
    /// lists are few: each is looked up.
    pub(crate) fn merge_lists(&self, keep: ContactId, removed: ContactId) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO list_members (list, contact, added_at)
                 SELECT list, ?1, added_at FROM list_members
                 WHERE list IN (SELECT id FROM lists) AND contact = ?2
                 ON CONFLICT DO UPDATE SET added_at = min(added_at, excluded.added_at)",
            )?
            .execute([keep.0, removed.0])?;
        self.leave_lists(removed)?;
        Ok(())
    }

    /// Takes a contact off all lists. Returns their number.
    pub(crate) fn leave_lists(&self, contact: ContactId) -> Result<usize, StoreError> {
        Ok(self
            .conn
            .prepare_cached("DELETE FROM list_members WHERE list IN (SELECT id FROM lists) AND contact = ?1")?
            .execute([contact.0])?)
    }
}

impl Reader {
    /// All lists, by name.
    pub fn lists(&self) -> Result<Vec<ListRow>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!("SELECT {LIST} FROM lists ORDER BY name"))?;
            Ok(read.query_map([], list_of)?.collect::<Result<_, _>>()?)
        })
    }

    /// The list with this name.
    pub fn list(&self, name: &str) -> Result<Option<ListRow>, StoreError> {
        self.one(|conn| find_list(conn, name))
    }

    /// The lists that a contact is on, and since when.
    pub fn lists_of(&self, contact: ContactId) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT name, added_at FROM list_members JOIN lists ON lists.id = list WHERE contact = ?1 ORDER BY name",
            )?;
            let rows = read.query_map([contact.0], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The members of a list after `after`, in the order in which the contacts were created, at
    /// most `limit` and 1,000.
    pub fn list_members(
        &self,
        list: ListId,
        after: Option<ContactId>,
        limit: usize,
    ) -> Result<Vec<ListMember>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT contact, name, added_at FROM list_members JOIN contacts ON contacts.id = contact
                 WHERE list = ?1 AND contact > ?2 ORDER BY contact LIMIT ?3",
            )?;
            let found = read.query_map(params![list.0, after.map_or(0, |id| id.0), bounded(limit)], |row| {
                Ok(ListMember { contact: ContactId(row.get(0)?), name: row.get(1)?, added_at: Timestamp(row.get(2)?) })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }
}
