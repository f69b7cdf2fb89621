//! Contacts, their names and their conversations: how they are read, kept at hand, and shown as a [`ConversationView`].

use crate::StoreError;
use crate::cache::{ById, Cache};
use crate::codec::{alias_of, time_of};
use crate::merge::MergedScopes;
use beadle_model::phone::other_spelling;
use beadle_model::{Alias, AliasKind, Contact, ContactId, ConversationId, ConversationView, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;
use std::sync::Arc;

/// Whether someone belongs to the community. The numbers are what the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Membership {
    /// Never asked: the first message makes them a member.
    Unasked = 0,
    Member = 1,
    /// Was one: the next time is `again`.
    Left = 2,
    /// Said no before ever being one.
    Declined = 3,
}

impl Membership {
    fn from_number(number: i64) -> Self {
        match number {
            1 => Membership::Member,
            2 => Membership::Left,
            3 => Membership::Declined,
            _ => Membership::Unasked,
        }
    }
}

/// A contact, with what only the store needs.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) contact: Contact,
    pub(crate) membership: Membership,
    /// Their conversations, by channel.
    pub(crate) talks: Vec<(Arc<str>, ConversationId)>,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) id: ConversationId,
    pub(crate) channel: Arc<str>,
    pub(crate) contact: Option<ContactId>,
    pub(crate) group: Option<String>,
    pub(crate) last_contact: Option<ContactId>,
    pub(crate) address: Option<Alias>,
    pub(crate) last_inbound_at: i64,
    pub(crate) window_until: i64,
    pub(crate) free_entry_until: Option<Timestamp>,
    /// Its window is looked after: see `windows`.
    pub(crate) watched: bool,
}

impl Talk {
    /// The conversation as the rest of Beadle sees it.
    pub(crate) fn view(&self, contact: Contact) -> ConversationView {
        ConversationView {
            id: self.id,
            channel: Arc::clone(&self.channel),
            contact,
            group: self.group.clone(),
            address: self.address.clone(),
            window_until: time_of(self.window_until),
            free_entry_until: self.free_entry_until,
        }
    }
}

/// The people lately met.
pub(crate) struct People {
    aliases: Cache<Alias, ContactId>,
    persons: ById<ContactId, Person>,
    talks: ById<ConversationId, Talk>,
    groups: Cache<(Arc<str>, String), ConversationId>,
    /// Channel names, each once in memory. As many as the configuration ever had.
    channels: HashMap<String, Arc<str>>,
    /// Who and what is one with another now.
    pub(crate) merged: MergedScopes,
}

impl People {
    /// Keeps so many at hand.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            // A WhatsApp id, the number in it and a user id: three names are usual.
            aliases: Cache::new(most.saturating_mul(3)),
            persons: Cache::new(most),
            talks: Cache::new(most),
            groups: Cache::new(most),
            channels: HashMap::new(),
            merged: MergedScopes::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.aliases.clear();
        self.persons.clear();
        self.talks.clear();
        self.groups.clear();
    }

    /// What a scope is now: another one, where its contact or conversation was merged.
    pub(crate) fn resolve(&self, scope: Scope) -> Scope {
        self.merged.get(&scope).copied().unwrap_or(scope)
    }

    fn met(&self, id: ContactId) -> ContactId {
        match self.resolve(Scope::Contact(id)) {
            Scope::Contact(now) => now,
            _ => id,
        }
    }

    /// The conversation behind an id.
    pub(crate) fn conversation(&self, id: ConversationId) -> ConversationId {
        match self.resolve(Scope::Conversation(id)) {
            Scope::Conversation(now) => now,
            _ => id,
        }
    }

    pub(crate) fn channel(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.channels.get(name) {
            return Arc::clone(known);
        }
        let channel: Arc<str> = name.into();
        self.channels.insert(name.to_owned(), Arc::clone(&channel));
        channel
    }

    /// Whose name it is, or whose its other spelling is: some countries write one number in two ways.
    pub(crate) fn holder_either_way(
        &mut self,
        conn: &Connection,
        alias: &Alias,
    ) -> Result<Option<ContactId>, StoreError> {
        if let Some(holder) = self.holder(conn, alias)? {
            return Ok(Some(holder));
        }
        let is_number = matches!(alias.kind, AliasKind::Phone | AliasKind::WaId);
        match other_spelling(&alias.value).filter(|_| is_number) {
            Some(value) => self.holder(conn, &Alias { kind: alias.kind, value }),
            None => Ok(None),
        }
    }

    /// Whose name it is.
    pub(crate) fn holder(&mut self, conn: &Connection, alias: &Alias) -> Result<Option<ContactId>, StoreError> {
        if let Some(holder) = self.aliases.copied(alias) {
            return Ok(Some(holder));
        }
        let holder = find_alias(conn, alias)?;
        if let Some(holder) = holder {
            self.aliases.insert(alias.clone(), holder);
        }
        Ok(holder)
    }

    pub(crate) fn person(&mut self, conn: &Connection, id: ContactId) -> Result<Option<&mut Person>, StoreError> {
        let id = self.met(id);
        if self.persons.get(&id).is_none() {
            let Some(mut person) = load_person(conn, id)? else { return Ok(None) };
            for (channel, _) in &mut person.talks {
                *channel = self.channel(channel);
            }
            self.persons.insert(id, person);
        }
        Ok(self.persons.get(&id))
    }

    pub(crate) fn talk(&mut self, conn: &Connection, id: ConversationId) -> Result<Option<&mut Talk>, StoreError> {
        let id = self.conversation(id);
        if self.talks.get(&id).is_none() {
            let Some(mut talk) = load_talk(conn, id)? else { return Ok(None) };
            talk.channel = self.channel(&talk.channel);
            self.talks.insert(id, talk);
        }
        Ok(self.talks.get(&id))
    }

    /// The conversation of a group.
    pub(crate) fn group(
        &mut self,
        conn: &Connection,
        channel: &str,
        group: &str,
    ) -> Result<Option<ConversationId>, StoreError> {
        let key = (self.channel(channel), group.to_owned());
        if let Some(id) = self.groups.copied(&key) {
            return Ok(Some(id));
        }
        let id = conn
            .prepare_cached("SELECT id FROM conversations WHERE channel = ?1 AND platform_group = ?2")?
            .query_row(params![channel, group], |row| row.get(0).map(ConversationId))
            .optional()?;
        if let Some(id) = id {
            self.groups.insert(key, id);
        }
        Ok(id)
    }

    /// The conversation with this person in it (in a group, the one who wrote; else whom it is with).
    pub(crate) fn view(
        &mut self,
        conn: &Connection,
        id: ConversationId,
        contact: Option<ContactId>,
    ) -> Result<Option<Arc<ConversationView>>, StoreError> {
        let Some(talk) = self.talk(conn, id)? else { return Ok(None) };
        let Some(contact) = talk.contact.or(contact).or(talk.last_contact) else {
            return Ok(Some(Arc::new(talk.view(Contact::nobody()))));
        };
        let view = talk.clone();
        let Some(person) = self.person(conn, contact)? else { return Ok(None) };
        Ok(Some(Arc::new(view.view(person.contact.clone()))))
    }

    pub(crate) fn keep_alias(&mut self, alias: Alias, contact: ContactId) {
        self.aliases.insert(alias, contact);
    }

    pub(crate) fn keep_person(&mut self, person: Person) {
        self.persons.insert(person.contact.id, person);
    }

    /// A conversation's window is not looked after any more.
    pub(crate) fn unwatch(&mut self, id: ConversationId) {
        // One that is not at hand is read as it is then.
        if let Some(talk) = self.talks.get(&id) {
            talk.watched = false;
        }
    }

    pub(crate) fn keep_talk(&mut self, talk: Talk) {
        self.talks.insert(talk.id, talk);
    }
}

/// Whose name it is, from disk.
pub(crate) fn find_alias(conn: &Connection, alias: &Alias) -> Result<Option<ContactId>, StoreError> {
    let mut find = conn.prepare_cached("SELECT contact FROM aliases WHERE kind = ?1 AND value = ?2")?;
    let holder = find.query_row(params![alias.kind as i64, alias.value], |row| row.get(0).map(ContactId));
    Ok(holder.optional()?)
}

/// The columns of [`contact_of`].
pub(crate) const CONTACT: &str =
    "id, name, language, created_at, member_since, opted_out_since, timezone, marketing_stopped_since";

pub(crate) fn contact_of(row: &Row<'_>) -> rusqlite::Result<Contact> {
    Ok(Contact {
        id: ContactId(row.get(0)?),
        name: row.get(1)?,
        language: row.get(2)?,
        created_at: Timestamp(row.get(3)?),
        member_since: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        opted_out_since: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        timezone: row.get(6)?,
        marketing_stopped_since: row.get::<_, Option<i64>>(7)?.map(Timestamp),
    })
}

/// A contact by its id, or by that of one that was merged into it: what stands behind `id = `.
pub(crate) const CONTACT_BEHIND: &str = "(SELECT coalesce(merged_into, id) FROM contacts WHERE id = ?1)";

/// A person, also by an id that was merged into theirs.
pub(crate) fn load_person(conn: &Connection, id: ContactId) -> Result<Option<Person>, StoreError> {
    let sql = format!("SELECT {CONTACT}, membership FROM contacts WHERE id = {CONTACT_BEHIND}");
    let mut read = conn.prepare_cached(&sql)?;
    let person = read.query_row([id.0], |row| Ok((contact_of(row)?, row.get(8)?))).optional()?;
    let Some((contact, membership)) = person else { return Ok(None) };
    let id = contact.id;
    let talks = conn
        .prepare_cached("SELECT channel, id FROM conversations WHERE contact = ?1")?
        .query_map([id.0], |row| Ok((row.get(0)?, ConversationId(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    Ok(Some(Person { contact, membership: Membership::from_number(membership), talks }))
}

/// A conversation, also by an id that was merged into its own.
pub(crate) fn load_talk(conn: &Connection, id: ConversationId) -> Result<Option<Talk>, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT channel, contact, platform_group, last_contact, address_kind, address, last_inbound_at, window_until,
             free_entry_until, EXISTS (SELECT 1 FROM windows WHERE windows.conversation = conversations.id), id
         FROM conversations WHERE id = (SELECT coalesce(merged_into, id) FROM conversations WHERE id = ?1)",
    )?;
    let talk = read.query_row([id.0], |row| {
        let talk = Talk {
            id: ConversationId(row.get(10)?),
            channel: row.get(0)?,
            contact: row.get::<_, Option<i64>>(1)?.map(ContactId),
            group: row.get(2)?,
            last_contact: row.get::<_, Option<i64>>(3)?.map(ContactId),
            address: None,
            last_inbound_at: row.get(6)?,
            window_until: row.get(7)?,
            free_entry_until: row.get::<_, Option<i64>>(8)?.map(Timestamp),
            watched: row.get(9)?,
        };
        Ok((talk, row.get::<_, Option<i64>>(4)?, row.get::<_, Option<String>>(5)?))
    });
    let Some((mut talk, kind, address)) = talk.optional()? else { return Ok(None) };
    talk.address = kind.zip(address).map(|(kind, address)| alias_of(kind, address)).transpose()?;
    Ok(Some(talk))
}

/// A conversation as it is on disk now, with this person in it where it is a group's.
pub(crate) fn load_view(
    conn: &Connection,
    id: ConversationId,
    contact: Option<ContactId>,
) -> Result<Option<ConversationView>, StoreError> {
    let Some(talk) = load_talk(conn, id)? else { return Ok(None) };
    let Some(contact) = talk.contact.or(contact).or(talk.last_contact) else {
        return Ok(Some(talk.view(Contact::nobody())));
    };
    Ok(load_person(conn, contact)?.map(|person| talk.view(person.contact)))
}
