//! What segments are decided by: the facts about people, read in pages of one snapshot, one
//! statement for each table.

use super::{Reader, readable};
use crate::codec::{alias_of, time_of, to_json};
use crate::error::StoreError;
use crate::lists::ListId;
use crate::people::{CONTACT, CURRENT_CONTACT, contact_of};
use beadle_model::{Contact, ContactId, ConversationId, Timestamp, country_of};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The maximum number of people of a page: it bounds the memory, and the time for which a
/// connection is borrowed.
pub const FACTS_PAGE: usize = 5000;

/// What is read about people besides the contact itself. What is not wanted costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedFacts {
    /// Their conversations.
    pub conversations: bool,
    /// Their country.
    pub country: bool,
    /// Which of these groups they are in.
    pub groups: Vec<ConversationId>,
    /// Which of these lists they are on.
    pub lists: Vec<ListId>,
}

/// A conversation of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationFacts {
    /// The channel's name.
    pub channel: Arc<str>,
    /// When the person wrote last.
    pub last_inbound_at: Option<Timestamp>,
    /// When the window ends or ended.
    pub window_until: Option<Timestamp>,
}

/// The facts about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    /// The person.
    pub contact: Contact,
    /// The country of the phone number or user id, as in ISO 3166.
    pub country: Option<String>,
    /// The conversations.
    pub conversations: Vec<ConversationFacts>,
    /// The groups that the person is in, of the wanted ones.
    pub groups: Vec<ConversationId>,
    /// The lists that the person is on, of the wanted ones.
    pub lists: Vec<ListId>,
}

/// A page of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsPage {
    /// The people.
    pub people: Vec<PersonFacts>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<ContactId>,
}

/// A group that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedGroup {
    /// Its conversation.
    pub id: ConversationId,
    /// Its subject.
    pub subject: Option<String>,
}

impl Reader {
    /// The facts about the people after `after`, in the order in which they became known, at most
    /// `limit` and [`FACTS_PAGE`]. A person who cannot be read is left out with a warning in the
    /// log.
    pub fn facts_of_people(
        &self,
        after: Option<ContactId>,
        limit: usize,
        wanted: &WantedFacts,
    ) -> Result<FactsPage, StoreError> {
        let after = after.map_or(0, |id| id.0);
        let limit = limit.clamp(1, FACTS_PAGE);
        self.all(|conn| {
            let sql =
                format!("SELECT {CONTACT} FROM contacts WHERE id > ?1 AND merged_into IS NULL ORDER BY id LIMIT ?2");
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let (mut people, mut found, mut last) = (Vec::new(), 0, None);
            while let Some(row) = rows.next()? {
                found += 1;
                last = Some(ContactId(row.get(0)?));
                people.extend(readable(contact_of(row).map_err(StoreError::from))?.map(PersonFacts::of));
            }
            collect(conn, &mut people, wanted)?;
            Ok(FactsPage { people, next: last.filter(|_| found == limit) })
        })
    }

    /// The facts about a person, also by the id of a merged contact.
    pub fn facts_of_person(&self, id: ContactId, wanted: &WantedFacts) -> Result<Option<PersonFacts>, StoreError> {
        self.all(|conn| {
            let mut read =
                conn.prepare_cached(&format!("SELECT {CONTACT} FROM contacts WHERE id = {CURRENT_CONTACT}"))?;
            let Some(contact) = read.query_row([id.0], contact_of).optional()? else { return Ok(None) };
            let mut people = vec![PersonFacts::of(contact)];
            collect(conn, &mut people, wanted)?;
            Ok(people.pop())
        })
    }

    /// The groups that exist, at most 10,000.
    pub fn named_groups(&self) -> Result<Vec<NamedGroup>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT conversation, subject FROM platform_groups WHERE deleted_at IS NULL ORDER BY conversation
                 LIMIT 10000",
            )?;
            let groups =
                read.query_map([], |row| Ok(NamedGroup { id: ConversationId(row.get(0)?), subject: row.get(1)? }))?;
            Ok(groups.collect::<Result<_, _>>()?)
        })
    }
}

impl PersonFacts {
    /// The facts about a person of whom nothing else is known.
    pub fn of(contact: Contact) -> Self {
        Self { contact, country: None, conversations: Vec::new(), groups: Vec::new(), lists: Vec::new() }
    }
}

/// Adds what is wanted to people in the order of their ids.
fn collect(conn: &Connection, people: &mut [PersonFacts], wanted: &WantedFacts) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (people.first(), people.last()) else { return Ok(()) };
    let range = (first.contact.id.0, last.contact.id.0);
    if wanted.conversations {
        let mut channels = BTreeMap::new();
        // Two comparisons instead of BETWEEN, and by contact, so that the index serves both.
        let sql = "SELECT contact, channel, last_inbound_at, window_until FROM conversations
            WHERE contact >= ?1 AND contact <= ?2 ORDER BY contact, channel";
        for_each(conn, sql, params![range.0, range.1], people, |person, row| {
            let name: String = row.get(1)?;
            let channel = match channels.get(&name) {
                Some(known) => Arc::clone(known),
                None => {
                    let shared: Arc<str> = name.as_str().into();
                    channels.insert(name, Arc::clone(&shared));
                    shared
                }
            };
            person.conversations.push(ConversationFacts {
                channel,
                last_inbound_at: time_of(row.get(2)?),
                window_until: time_of(row.get(3)?),
            });
            Ok(())
        })?;
    }
    if wanted.country {
        // Numbers before user ids, as `country_of` prefers them.
        let sql =
            "SELECT contact, kind, value FROM aliases WHERE contact >= ?1 AND contact <= ?2 ORDER BY contact, kind";
        for_each(conn, sql, params![range.0, range.1], people, |person, row| {
            if person.country.is_none() {
                // One of a kind that this version does not know says nothing.
                let alias = alias_of(row.get(1)?, row.get(2)?).ok();
                person.country = country_of(&alias).map(str::to_owned);
            }
            Ok(())
        })?;
    }
    if !wanted.groups.is_empty() {
        let groups = json_of(wanted.groups.iter().map(|group| group.0))?;
        let sql =
            "SELECT contact, conversation FROM group_members WHERE conversation IN (SELECT value FROM json_each(?3))
            AND contact >= ?1 AND contact <= ?2 AND left_at IS NULL ORDER BY contact, conversation";
        for_each(conn, sql, params![range.0, range.1, groups], people, |person, row| {
            person.groups.push(ConversationId(row.get(1)?));
            Ok(())
        })?;
    }
    if !wanted.lists.is_empty() {
        let lists = json_of(wanted.lists.iter().map(|list| list.0))?;
        let sql = "SELECT contact, list FROM list_members WHERE list IN (SELECT value FROM json_each(?3))
            AND contact >= ?1 AND contact <= ?2 ORDER BY contact, list";
        for_each(conn, sql, params![range.0, range.1, lists], people, |person, row| {
            person.lists.push(ListId(row.get(1)?));
            Ok(())
        })?;
    }
    Ok(())
}

fn json_of(ids: impl Iterator<Item = i64>) -> Result<String, StoreError> {
    to_json("ids", &ids.collect::<Vec<_>>())
}

/// Gives each row to the person in its first column. Rows and people are in the order of ids.
fn for_each(
    conn: &Connection,
    sql: &str,
    bounds: &[&dyn rusqlite::ToSql],
    people: &mut [PersonFacts],
    mut add: impl FnMut(&mut PersonFacts, &Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut read = conn.prepare_cached(sql)?;
    let mut rows = read.query(bounds)?;
    let mut people = people.iter_mut().peekable();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        while people.next_if(|person| person.contact.id.0 < id).is_some() {}
        if let Some(person) = people.peek_mut().filter(|person| person.contact.id.0 == id) {
            add(person, row)?;
        }
    }
    Ok(())
}
