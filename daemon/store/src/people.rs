//! Contacts and conversations: reading them, and the writer's cache of them.

use crate::cache::{ById, Cache};
use crate::codec::{alias_of, time_of, to_json};
use crate::error::StoreError;
use crate::merged::MergedScopes;
use beadle_model::phone::other_spelling;
use beadle_model::{Alias, AliasKind, Contact, ContactId, ConversationId, ConversationView, Profile, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;
use std::sync::Arc;

/// The relation of a contact to the community. The store keeps the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Membership {
    /// Never asked: the first message makes them a member.
    Unasked = 0,
    Member = 1,
    /// Was a member; rejoining counts as `again`.
    Left = 2,
    /// Declined without having been a member.
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

/// A contact with the store's own columns.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) contact: Contact,
    pub(crate) membership: Membership,
    /// Their conversations by channel.
    pub(crate) conversations: Vec<(Arc<str>, ConversationId)>,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct ConversationRow {
    pub(crate) id: ConversationId,
    pub(crate) channel: Arc<str>,
    pub(crate) contact: Option<ContactId>,
    pub(crate) group: Option<String>,
    pub(crate) last_contact: Option<ContactId>,
    pub(crate) address: Option<Alias>,
    pub(crate) last_inbound_at: i64,
    pub(crate) window_until: i64,
    pub(crate) free_entry_until: Option<Timestamp>,
    /// Whether the window has a check (see `windows`).
    pub(crate) watched: bool,
}

impl ConversationRow {
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

/// The recently used contacts and conversations.
pub(crate) struct People {
    aliases: Cache<Alias, ContactId>,
    persons: ById<ContactId, Person>,
    conversations: ById<ConversationId, ConversationRow>,
    groups: Cache<(Arc<str>, String), ConversationId>,
    /// Channel names, shared. There are as many as the configuration ever had.
    channels: HashMap<String, Arc<str>>,
    /// Merged contacts and conversations.
    pub(crate) merged: MergedScopes,
}

impl People {
    /// A cache for `capacity` contacts.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            // A WhatsApp id, its phone number and a user id: three aliases are usual.
            aliases: Cache::new(capacity.saturating_mul(3)),
            persons: Cache::new(capacity),
            conversations: Cache::new(capacity),
            groups: Cache::new(capacity),
            channels: HashMap::new(),
            merged: MergedScopes::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.aliases.clear();
        self.persons.clear();
        self.conversations.clear();
        self.groups.clear();
    }

    /// The scope that this one was merged into, or itself.
    pub(crate) fn resolve(&self, scope: Scope) -> Scope {
        self.merged.get(&scope).copied().unwrap_or(scope)
    }

    /// Whether the owner of a value or timer was erased.
    pub(crate) fn is_erased(&self, scope: Scope) -> bool {
        matches!(self.resolve(scope), Scope::Contact(ContactId(0)) | Scope::Conversation(ConversationId(0)))
    }

    fn merged_into(&self, id: ContactId) -> ContactId {
        match self.resolve(Scope::Contact(id)) {
            Scope::Contact(now) => now,
            _ => id,
        }
    }

    /// The conversation that this one was merged into, or itself.
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

    /// The contact with this alias or with the other spelling of its phone number.
    pub(crate) fn holder_in_any_spelling(
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

    /// The contact with this alias.
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
        let id = self.merged_into(id);
        if self.persons.get(&id).is_none() {
            let Some(mut person) = load_person(conn, id)? else { return Ok(None) };
            for (channel, _) in &mut person.conversations {
                *channel = self.channel(channel);
            }
            self.persons.insert(id, person);
        }
        Ok(self.persons.get(&id))
    }

    pub(crate) fn conversation_row(
        &mut self,
        conn: &Connection,
        id: ConversationId,
    ) -> Result<Option<&mut ConversationRow>, StoreError> {
        let id = self.conversation(id);
        if self.conversations.get(&id).is_none() {
            let Some(mut conversation) = load_conversation(conn, id)? else { return Ok(None) };
            conversation.channel = self.channel(&conversation.channel);
            self.conversations.insert(id, conversation);
        }
        Ok(self.conversations.get(&id))
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

    /// The conversation with its contact, or in a group with this or the last author.
    pub(crate) fn view(
        &mut self,
        conn: &Connection,
        id: ConversationId,
        contact: Option<ContactId>,
    ) -> Result<Option<Arc<ConversationView>>, StoreError> {
        let Some(conversation) = self.conversation_row(conn, id)? else { return Ok(None) };
        let Some(contact) = conversation.contact.or(contact).or(conversation.last_contact) else {
            return Ok(Some(Arc::new(conversation.view(Contact::unknown()))));
        };
        let view = conversation.clone();
        let Some(person) = self.person(conn, contact)? else { return Ok(None) };
        Ok(Some(Arc::new(view.view(person.contact.clone()))))
    }

    pub(crate) fn insert_alias(&mut self, alias: Alias, contact: ContactId) {
        self.aliases.insert(alias, contact);
    }

    /// The contact was changed on disk.
    pub(crate) fn forget(&mut self, id: ContactId) {
        self.persons.remove(&id);
    }

    pub(crate) fn insert_person(&mut self, person: Person) {
        self.persons.insert(person.contact.id, person);
    }

    /// The conversation's window needs no further check.
    pub(crate) fn clear_window_check(&mut self, id: ConversationId) {
        // If it is not cached, it will be read with the new value.
        if let Some(conversation) = self.conversations.get(&id) {
            conversation.watched = false;
        }
    }

    pub(crate) fn insert_conversation(&mut self, conversation: ConversationRow) {
        self.conversations.insert(conversation.id, conversation);
    }
}

/// Reads the contact with this alias.
pub(crate) fn find_alias(conn: &Connection, alias: &Alias) -> Result<Option<ContactId>, StoreError> {
    let mut find = conn.prepare_cached("SELECT contact FROM aliases WHERE kind = ?1 AND value = ?2")?;
    let holder = find.query_row(params![alias.kind as i64, alias.value], |row| row.get(0).map(ContactId));
    Ok(holder.optional()?)
}

/// The columns of [`contact_of`].
pub(crate) const CONTACT: &str =
    "id, name, language, created_at, member_since, opted_out_since, timezone, marketing_stopped_since, profile";

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
        profile: row.get::<_, Option<String>>(8)?.map(|json| profile_of(&json)).transpose()?,
    })
}

fn profile_of(json: &str) -> rusqlite::Result<Arc<Profile>> {
    let profile = serde_json::from_str(json).map(Arc::new);
    profile.map_err(|error| rusqlite::Error::FromSqlConversionFailure(8, rusqlite::types::Type::Text, error.into()))
}

/// A profile as its column; `None` if all of it is defaults.
pub(crate) fn profile_column(contact: &Contact) -> Result<Option<String>, StoreError> {
    match contact.profile() {
        profile if *profile == Profile::default() => Ok(None),
        profile => to_json("a profile", profile).map(Some),
    }
}

/// SQL for the id of a contact, or of the one that it was merged into.
pub(crate) const CURRENT_CONTACT: &str = "(SELECT coalesce(merged_into, id) FROM contacts WHERE id = ?1)";

/// Reads a contact, also by the id of a merged one.
pub(crate) fn load_person(conn: &Connection, id: ContactId) -> Result<Option<Person>, StoreError> {
    let sql = format!("SELECT {CONTACT}, membership FROM contacts WHERE id = {CURRENT_CONTACT}");
    let mut read = conn.prepare_cached(&sql)?;
    let person = read.query_row([id.0], |row| Ok((contact_of(row)?, row.get(9)?))).optional()?;
    let Some((contact, membership)) = person else { return Ok(None) };
    let id = contact.id;
    let conversations = conn
        .prepare_cached("SELECT channel, id FROM conversations WHERE contact = ?1")?
        .query_map([id.0], |row| Ok((row.get(0)?, ConversationId(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    Ok(Some(Person { contact, membership: Membership::from_number(membership), conversations }))
}

/// Reads a conversation, also by the id of a merged one.
pub(crate) fn load_conversation(conn: &Connection, id: ConversationId) -> Result<Option<ConversationRow>, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT channel, contact, platform_group, last_contact, address_kind, address, last_inbound_at, window_until,
             free_entry_until, EXISTS (SELECT 1 FROM windows WHERE windows.conversation = conversations.id), id
         FROM conversations WHERE id = (SELECT coalesce(merged_into, id) FROM conversations WHERE id = ?1)",
    )?;
    let conversation = read.query_row([id.0], |row| {
        let conversation = ConversationRow {
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
        Ok((conversation, row.get::<_, Option<i64>>(4)?, row.get::<_, Option<String>>(5)?))
    });
    let Some((mut conversation, kind, address)) = conversation.optional()? else { return Ok(None) };
    // An address of a kind that this version does not know must not stop the conversation: the next
    // message brings another.
    conversation.address = kind.zip(address).and_then(|(kind, address)| alias_of(kind, address).ok());
    Ok(Some(conversation))
}

/// Reads a conversation with its contact, or in a group with this or the last author.
pub(crate) fn load_view(
    conn: &Connection,
    id: ConversationId,
    contact: Option<ContactId>,
) -> Result<Option<ConversationView>, StoreError> {
    let Some(conversation) = load_conversation(conn, id)? else { return Ok(None) };
    let Some(contact) = conversation.contact.or(contact).or(conversation.last_contact) else {
        return Ok(Some(conversation.view(Contact::unknown())));
    };
    Ok(load_person(conn, contact)?.map(|person| conversation.view(person.contact)))
}
