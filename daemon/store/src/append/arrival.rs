//! Who sent it: found by any of their names, or met for the first time; and the words that change what they are to us.

use super::Course;
use crate::StoreError;
use crate::people::{Membership, Person, Talk};
use crate::step::{NewEvent, NewSend, OutboxRow, SendState, Sender};
use crate::writer::Tx;
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, ConversationId, EventBody, EventId, MessageId, Outgoing, PluginNo, Timestamp,
    Word, zone_of_number,
};
use rusqlite::params;

/// An event from a person.
pub(super) struct Arrival<'a> {
    pub(super) event: &'a NewEvent,
    pub(super) sender: &'a Sender,
    /// All their names, the deciding ones first.
    pub(super) names: &'a [Alias],
    pub(super) now: Timestamp,
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
    };
    Person { contact, membership: Membership::Unasked, talks: Vec::new() }
}

/// What a word makes of a person: the event that follows, and whether anything changed.
fn obey(word: Word, person: &mut Person, at: Timestamp) -> (Option<EventBody>, bool) {
    let (was, was_opted_out) = (person.membership, person.contact.opted_out_since);
    let goes = matches!(word, Word::Stop | Word::Leave);
    match word {
        Word::Stop => person.contact.opted_out_since = was_opted_out.or(Some(at)),
        Word::Start => person.contact.opted_out_since = None,
        Word::Leave | Word::Join => {}
    }
    person.membership = match (goes, was) {
        (true, Membership::Unasked) => Membership::Declined,
        (true, Membership::Member) => Membership::Left,
        (true, other) => other,
        (false, _) => Membership::Member,
    };
    let reason = match word {
        Word::Stop => "stop",
        Word::Start => "start",
        Word::Leave => "leave",
        Word::Join => "join",
    };
    let reason = reason.to_owned();
    let event = match (was, person.membership) {
        (Membership::Member, Membership::Left) => {
            person.contact.member_since = None;
            Some(EventBody::MemberLeft { reason })
        }
        (before, Membership::Member) if before != Membership::Member => {
            person.contact.member_since = Some(at);
            Some(EventBody::MemberJoined { reason, again: before == Membership::Left })
        }
        _ => None,
    };
    (event, was != person.membership || was_opted_out != person.contact.opted_out_since)
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
        let mut person = match self.who(arrival)? {
            Some(id) => self.person(id)?,
            None => stranger(arrival),
        };
        if arrival.sender.name.is_some() {
            person.contact.name.clone_from(&arrival.sender.name);
        }
        if person.contact.timezone.is_none() {
            let phones = arrival.names.iter().filter(|name| name.kind == AliasKind::Phone);
            person.contact.timezone = phones.filter_map(|name| zone_of_number(&name.value)).next().map(str::to_owned);
        }
        let mut course = Course::plain(None, None);
        if arrival.joins(&person) {
            person.membership = Membership::Member;
            person.contact.member_since = Some(arrival.at());
            course.before = Some(EventBody::MemberJoined { reason: "first-message".into(), again: false });
        }
        if let Some(said) = &arrival.event.word {
            (course.after, course.answers) = obey(said.word, &mut person, arrival.at());
        }
        self.write_person(&mut person)?;
        let contact = person.contact.id;
        self.write_names(arrival, contact)?;
        course.contact = Some(contact);
        course.conversation = Some(self.meet(arrival, &mut person)?);
        self.shadow.people.keep_person(person);
        Ok(Some(course))
    }

    /// The short way: all names are of one contact, and nothing about them or their conversation changes.
    fn familiar(&mut self, arrival: &Arrival<'_>) -> Result<Option<Course>, StoreError> {
        if arrival.event.word.is_some() {
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
        if renamed || arrival.joins(person) {
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

    /// The contact whom the first name with a holder names.
    fn who(&mut self, arrival: &Arrival<'_>) -> Result<Option<ContactId>, StoreError> {
        for name in arrival.names {
            if let Some(holder) = self.shadow.people.holder(self.conn, name)? {
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
        if contact.id.0 != 0 {
            self.conn
                .prepare_cached(
                    "UPDATE contacts SET name = ?2, membership = ?3, member_since = ?4, opted_out_since = ?5, timezone = ?6
                     WHERE id = ?1",
                )?
                .execute(params![
                    contact.id.0,
                    contact.name,
                    person.membership as i64,
                    member_since,
                    opted_out,
                    contact.timezone
                ])?;
            return Ok(());
        }
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO contacts (name, created_at, membership, member_since, opted_out_since, timezone)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![
                contact.name,
                contact.created_at.0,
                person.membership as i64,
                member_since,
                opted_out,
                contact.timezone
            ])?;
        contact.id = ContactId(id);
        Ok(())
    }

    /// Names that are new become this contact's; of those that are somebody else's a note is made.
    fn write_names(&mut self, arrival: &Arrival<'_>, contact: ContactId) -> Result<(), StoreError> {
        for name in arrival.names {
            match self.shadow.people.holder(self.conn, name)? {
                Some(holder) if holder == contact => {}
                Some(holder) => {
                    self.conn
                        .prepare_cached(
                            "INSERT INTO alias_clashes (kind, value, holder, claimed, seen_at)
                             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                        )?
                        .execute(params![name.kind as i64, name.value, holder.0, contact.0, arrival.now.0])?;
                }
                None => {
                    self.conn
                        .prepare_cached(
                            "INSERT INTO aliases (kind, value, contact, created_at) VALUES (?1, ?2, ?3, ?4)",
                        )?
                        .execute(params![name.kind as i64, name.value, contact.0, arrival.now.0])?;
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
        });
        Ok(id)
    }

    /// Beadle's own answer to a word, queued to go at once.
    pub(super) fn answer_word(
        &mut self,
        event: EventId,
        conversation: ConversationId,
        answer: &Outgoing,
        now: Timestamp,
    ) -> Result<OutboxRow, StoreError> {
        let send = NewSend {
            message: MessageId(self.shared.reserve_message()),
            conversation,
            body: answer.clone(),
            reply: true,
            state: SendState::Queued,
            due_at: now,
        };
        self.insert_send(&send, Some(event), PluginNo::HOST, now)?;
        Ok(OutboxRow {
            message: send.message,
            event: Some(event),
            plugin: PluginNo::HOST,
            conversation,
            body: send.body,
            reply: true,
            state: SendState::Queued,
            due_at: now,
            attempts: 0,
            created_at: now,
            maybe_twice: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(membership: Membership, opted_out: bool) -> Person {
        let contact = Contact {
            id: ContactId(1),
            name: None,
            language: None,
            timezone: None,
            created_at: Timestamp(1),
            member_since: (membership == Membership::Member).then_some(Timestamp(1)),
            opted_out_since: opted_out.then_some(Timestamp(2)),
        };
        Person { contact, membership, talks: Vec::new() }
    }

    #[test]
    fn words_do_what_they_say_once() {
        use Membership::{Declined, Left, Member, Unasked};
        // Before, the word; after, the event (reason and `again`), whether anything changed.
        let table = [
            (Unasked, false, Word::Stop, Declined, true, None, true),
            (Member, false, Word::Stop, Left, true, Some("left stop"), true),
            (Left, true, Word::Stop, Left, true, None, false),
            (Left, false, Word::Stop, Left, true, None, true),
            (Unasked, false, Word::Start, Member, false, Some("joined start"), true),
            (Declined, true, Word::Start, Member, false, Some("joined start"), true),
            (Left, true, Word::Start, Member, false, Some("joined start again"), true),
            (Member, false, Word::Start, Member, false, None, false),
            (Member, true, Word::Start, Member, false, None, true),
            (Member, false, Word::Leave, Left, false, Some("left leave"), true),
            (Left, false, Word::Leave, Left, false, None, false),
            (Left, true, Word::Join, Member, true, Some("joined join again"), true),
            (Member, false, Word::Join, Member, false, None, false),
        ];
        for (was, was_out, word, is, is_out, event, changed) in table {
            let mut person = person(was, was_out);
            let (body, did_change) = obey(word, &mut person, Timestamp(9));
            let said = body.map(|body| match body {
                EventBody::MemberJoined { reason, again } => {
                    format!("joined {reason}{}", if again { " again" } else { "" })
                }
                EventBody::MemberLeft { reason } => format!("left {reason}"),
                other => panic!("{other:?}"),
            });
            let case = format!("{was:?} out={was_out} {word:?}");
            assert_eq!(said.as_deref(), event, "{case}");
            assert_eq!(did_change, changed, "{case}");
            assert_eq!(person.membership, is, "{case}");
            assert_eq!(person.contact.opted_out_since.is_some(), is_out, "{case}");
            assert_eq!(person.contact.member_since.is_some(), is == Member, "{case}");
        }
    }
}
