//! Who sent it: found by any of their names, or met for the first time; and the words that change what they are to us.

use super::Course;
use super::words::obey;
use crate::StoreError;
use crate::people::{Membership, Person, Talk};
use crate::step::{NewEvent, Sender};
use crate::writer::Tx;
use beadle_model::{Alias, AliasKind, Contact, ContactId, ConversationId, EventBody, Timestamp, zone_of_number};
use rusqlite::params;

/// An event from a person.
pub(super) struct Arrival<'a> {
    pub(super) event: &'a NewEvent,
    pub(super) sender: &'a Sender,
    /// All their names, the deciding ones first.
    pub(super) names: &'a [Alias],
    pub(super) now: Timestamp,
    /// Somebody wants to hear of contacts that are new or have another name.
    pub(super) contact_news: bool,
}

impl Arrival<'_> {
    /// When it happened, but not in the future.
    fn at(&self) -> Timestamp {
        self.event.happened_at.min(self.now)
    }

    /// The name under which the channel reaches them: what it answers to longest first (whatsapp.md 6: `to` wins over
    /// `recipient`). Only names that this very message bears, since numbers change and are hidden.
    fn address(&self) -> Option<&Alias> {
        [AliasKind::WaId, AliasKind::Phone, AliasKind::UserId, AliasKind::ParentUserId]
            .into_iter()
            .find_map(|kind| self.sender.aliases.iter().find(|alias| alias.kind == kind && !alias.value.is_empty()))
    }

    /// Someone who was never asked joins with the first message; in a platform's group the platform says who joins.
    fn joins(&self, person: &Person) -> bool {
        let is_message = matches!(self.event.body, EventBody::Message { .. });
        person.membership == Membership::Unasked
            && is_message
            // What the platform reports about somebody (a new number, an edit) opens no window: they did not write.
            && self.event.opens_window
            && self.event.word.is_none()
            && self.sender.group.is_none()
    }
}

/// A first contact: id 0 until its row is there.
fn stranger(arrival: &Arrival<'_>) -> Person {
    let contact = Contact {
        id: ContactId(0),
        name: arrival.sender.name.clone(),
        language: None,
        timezone: None,
        created_at: arrival.now,
        member_since: None,
        opted_out_since: None,
        marketing_stopped_since: None,
    };
    Person { contact, membership: Membership::Unasked, talks: Vec::new() }
}

/// What an observer of contacts is told: that somebody is new, or is called otherwise than they `was`.
fn contact_news(arrival: &Arrival<'_>, was: &Contact) -> Option<EventBody> {
    let change = match &arrival.sender.name {
        _ if was.id.0 == 0 => "created",
        Some(name) if was.name.as_ref() != Some(name) => "renamed",
        _ => return None,
    };
    Some(EventBody::ContactChanged { change: change.into(), merged: None, extra: serde_json::Value::Null })
}

/// What they told the platform about marketing.
fn prefer(change: &str, person: &mut Person, at: Timestamp) {
    match change {
        "marketing-stopped" => {
            person.contact.marketing_stopped_since = person.contact.marketing_stopped_since.or(Some(at));
        }
        "marketing-resumed" | "marketing-signup" => person.contact.marketing_stopped_since = None,
        _ => {}
    }
}

impl Tx<'_> {
    /// Finds or makes contact and conversation and does what the event does to them; `None` where it came before.
    pub(super) fn arrive(&mut self, arrival: &Arrival<'_>) -> Result<Option<Course>, StoreError> {
        if let Some(course) = self.familiar(arrival)? {
            return Ok(Some(course));
        }
        if self.seen(arrival.event.key)? {
            return Ok(None);
        }
        let mut person = match self.who(arrival.names)? {
            Some(id) => self.person(id)?,
            None => stranger(arrival),
        };
        let was = person.contact.clone();
        if arrival.sender.name.is_some() {
            person.contact.name.clone_from(&arrival.sender.name);
        }
        if person.contact.timezone.is_none() {
            let phones = arrival.names.iter().filter(|name| name.kind == AliasKind::Phone);
            person.contact.timezone = phones.filter_map(|name| zone_of_number(&name.value)).next().map(str::to_owned);
        }
        let told =
            arrival.event.word.as_ref().and_then(|said| said.language).map(|language| language.code().to_owned());
        let language = told.or_else(|| person.contact.language.take());
        person.contact.language = language.or_else(|| arrival.sender.language.clone());
        let mut course = Course::plain(None, None);
        if arrival.contact_news {
            course.before.extend(contact_news(arrival, &was));
        }
        if let EventBody::ContactChanged { change, .. } = &arrival.event.body {
            prefer(change, &mut person, arrival.at());
        }
        if arrival.joins(&person) {
            person.membership = Membership::Member;
            person.contact.member_since = Some(arrival.at());
            course.before.push(EventBody::MemberJoined { reason: "first-message".into(), again: false });
        }
        if let Some(said) = &arrival.event.word {
            (course.after, course.answers) = obey(said.word, &mut person, arrival.at());
        }
        self.write_person(&mut person)?;
        let contact = person.contact.id;
        self.write_names(arrival.names, contact, arrival.now)?;
        course.contact = Some(contact);
        course.conversation = Some(self.meet(arrival, &mut person)?);
        self.shadow.people.keep_person(person);
        Ok(Some(course))
    }

    /// The short way: all names are of one contact, and nothing about them or their conversation changes.
    fn familiar(&mut self, arrival: &Arrival<'_>) -> Result<Option<Course>, StoreError> {
        if arrival.event.word.is_some() || matches!(arrival.event.body, EventBody::ContactChanged { .. }) {
            return Ok(None);
        }
        let mut contact = None;
        for name in arrival.names {
            match self.shadow.people.holder(self.conn, name)? {
                Some(holder) if contact.is_none_or(|contact| contact == holder) => contact = Some(holder),
                _ => return Ok(None),
            }
        }
        let Some(contact) = contact else { return Ok(None) };
        let Some(person) = self.shadow.people.person(self.conn, contact)? else { return Ok(None) };
        let renamed = arrival.sender.name.is_some() && arrival.sender.name != person.contact.name;
        let guessed = arrival.sender.language.is_some() && person.contact.language.is_none();
        if renamed || guessed || arrival.joins(person) {
            return Ok(None);
        }
        let talk = match &arrival.sender.group {
            Some(group) => self.shadow.people.group(self.conn, &arrival.sender.channel, group)?,
            None => person.talks.iter().find(|(channel, _)| **channel == *arrival.sender.channel).map(|talk| talk.1),
        };
        let Some(talk) = talk else { return Ok(None) };
        let Some(talk) = self.shadow.people.talk(self.conn, talk)? else { return Ok(None) };
        let same_address = talk.address.as_ref() == arrival.address();
        Ok(same_address.then(|| Course::plain(Some(talk.id), Some(contact))))
    }

    /// Names that a receipt tells of the person of a conversation.
    pub(super) fn learn_names(
        &mut self,
        names: &[Alias],
        conversation: ConversationId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let contact = self.shadow.people.talk(self.conn, conversation)?.and_then(|talk| talk.contact);
        contact.map_or(Ok(()), |contact| self.write_names(names, contact, now))
    }

    /// A person who is named and did nothing: found, or made without being a member.
    pub(super) fn named(&mut self, names: &[Alias], now: Timestamp) -> Result<Option<ContactId>, StoreError> {
        if names.is_empty() {
            return Ok(None);
        }
        let mut person = match self.who(names)? {
            Some(id) => self.person(id)?,
            None => Person {
                contact: Contact { created_at: now, ..Contact::nobody() },
                membership: Membership::Unasked,
                talks: Vec::new(),
            },
        };
        if person.contact.id.0 == 0 {
            self.write_person(&mut person)?;
        }
        let id = person.contact.id;
        self.write_names(names, id, now)?;
        self.shadow.people.keep_person(person);
        Ok(Some(id))
    }

    /// The contact whom the first name with a holder names.
    fn who(&mut self, names: &[Alias]) -> Result<Option<ContactId>, StoreError> {
        for name in names {
            if let Some(holder) = self.shadow.people.holder_either_way(self.conn, name)? {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }

    fn person(&mut self, id: ContactId) -> Result<Person, StoreError> {
        let person = self.shadow.people.person(self.conn, id)?.cloned();
        person.ok_or_else(|| StoreError::NotFound { what: "contact", id: id.to_string() })
    }

    /// The contact's row, new or changed; gives a new one its id.
    fn write_person(&self, person: &mut Person) -> Result<(), StoreError> {
        let contact = &mut person.contact;
        let (member_since, opted_out) = (contact.member_since.map(|at| at.0), contact.opted_out_since.map(|at| at.0));
        let no_marketing = contact.marketing_stopped_since.map(|at| at.0);
        if contact.id.0 != 0 {
            self.conn
                .prepare_cached(
                    "UPDATE contacts SET name = ?2, membership = ?3, member_since = ?4, opted_out_since = ?5, timezone = ?6,
                         marketing_stopped_since = ?7, language = ?8 WHERE id = ?1",
                )?
                .execute(params![
                    contact.id.0,
                    contact.name,
                    person.membership as i64,
                    member_since,
                    opted_out,
                    contact.timezone,
                    no_marketing,
                    contact.language
                ])?;
            return Ok(());
        }
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO contacts (name, created_at, membership, member_since, opted_out_since, timezone,
                     marketing_stopped_since, language) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .insert(params![
                contact.name,
                contact.created_at.0,
                person.membership as i64,
                member_since,
                opted_out,
                contact.timezone,
                no_marketing,
                contact.language
            ])?;
        contact.id = ContactId(id);
        Ok(())
    }

    /// Names that are new become this contact's; of those that are somebody else's a note is made.
    fn write_names(&mut self, names: &[Alias], contact: ContactId, now: Timestamp) -> Result<(), StoreError> {
        for name in names {
            match self.shadow.people.holder(self.conn, name)? {
                Some(holder) if holder == contact => {}
                Some(holder) => {
                    self.conn
                        .prepare_cached(
                            "INSERT INTO alias_clashes (kind, value, holder, claimed, seen_at)
                             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                        )?
                        .execute(params![name.kind as i64, name.value, holder.0, contact.0, now.0])?;
                }
                None => {
                    self.conn
                        .prepare_cached(
                            "INSERT INTO aliases (kind, value, contact, created_at) VALUES (?1, ?2, ?3, ?4)",
                        )?
                        .execute(params![name.kind as i64, name.value, contact.0, now.0])?;
                    self.shadow.people.keep_alias(name.clone(), contact);
                }
            }
        }
        Ok(())
    }

    /// The conversation of person and channel, or of the group: found or made, with the address of this message.
    fn meet(&mut self, arrival: &Arrival<'_>, person: &mut Person) -> Result<ConversationId, StoreError> {
        let Sender { channel, group, .. } = arrival.sender;
        let known = match group {
            Some(group) => self.shadow.people.group(self.conn, channel, group)?,
            None => person.talks.iter().find(|(name, _)| **name == **channel).map(|talk| talk.1),
        };
        let address = arrival.address();
        let (kind, value) = (address.map(|address| address.kind as i64), address.map(|address| &address.value));
        if let Some(id) = known {
            if let Some(talk) = self.shadow.people.talk(self.conn, id)?
                && talk.address.as_ref() != address
            {
                talk.address = address.cloned();
                self.conn
                    .prepare_cached("UPDATE conversations SET address_kind = ?2, address = ?3 WHERE id = ?1")?
                    .execute(params![id.0, kind, value])?;
            }
            return Ok(id);
        }
        let contact = group.is_none().then_some(person.contact.id);
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO conversations (channel, contact, platform_group, last_contact, address_kind, address)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![channel, contact.map(|id| id.0), group, person.contact.id.0, kind, value])?;
        let id = ConversationId(id);
        let channel = self.shadow.people.channel(channel);
        if group.is_none() {
            person.talks.push((channel.clone(), id));
        }
        self.shadow.people.keep_talk(Talk {
            id,
            channel,
            contact,
            group: group.clone(),
            last_contact: Some(person.contact.id),
            address: address.cloned(),
            last_inbound_at: 0,
            window_until: 0,
            free_entry_until: None,
            watched: false,
        });
        Ok(id)
    }
}
