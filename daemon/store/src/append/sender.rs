//! Events from people: finds or creates contact and conversation by the sender's aliases, and
//! applies reserved words.

use super::changed::reported_change;
use super::decisive_aliases;
use super::inbound::{Inbound, is_number};
use super::plan::AppendPlan;
use crate::consents::{consent_changed, is_known};
use crate::error::StoreError;
use crate::people::{ConversationRow, Membership, Person, profile_column};
use crate::step::Sender;
use crate::tx::Tx;
use beadle_model::consent::{ConsentAct, NewConsent, Purpose, actor};
use beadle_model::phone::other_spelling;
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, ConversationId, EventBody, Profile, Role, Timestamp, zone_of_number,
};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;

/// A new contact; its id is 0 until it has a row.
fn new_person(inbound: &Inbound<'_>) -> Person {
    let contact = Contact {
        id: ContactId(0),
        name: inbound.sender.name.clone(),
        language: None,
        timezone: None,
        created_at: inbound.now,
        member_since: None,
        opted_out_since: None,
        marketing_stopped_since: None,
        profile: None,
    };
    Person { contact, membership: Membership::Unasked, conversations: Vec::new() }
}

/// The notification for a new or renamed contact; `before` is the contact before the event.
fn contact_notification(inbound: &Inbound<'_>, before: &Contact) -> Option<EventBody> {
    let change = match &inbound.sender.name {
        _ if before.id.0 == 0 => "created",
        Some(name) if before.name.as_ref() != Some(name) => "renamed",
        _ => return None,
    };
    Some(EventBody::ContactChanged { change: change.into(), merged: None, extra: serde_json::Value::Null })
}

/// The entry of the ledger for a marketing preference from the platform.
fn preference(change: &str, at: Timestamp) -> Option<NewConsent> {
    let act = match change {
        "marketing-stopped" => ConsentAct::Withdrawn,
        "marketing-resumed" | "marketing-signup" => ConsentAct::Granted,
        _ => return None,
    };
    let evidence = Some(format!("preference {change}"));
    Some(NewConsent { actor: actor::PLATFORM.into(), evidence, ..NewConsent::in_chat(Purpose::Marketing, act, at) })
}

impl Tx<'_> {
    /// Finds or creates contact and conversation and applies the event to them; `None` if the event
    /// is known already.
    pub(super) fn apply_sender(&mut self, inbound: &Inbound<'_>) -> Result<Option<AppendPlan>, StoreError> {
        if let Some(plan) = self.apply_known_sender(inbound)? {
            return Ok(Some(plan));
        }
        if self.seen(inbound.event.key)? {
            return Ok(None);
        }
        let reported_merge = self.merge_reported(inbound)?;
        let known = self.find_contact(inbound.aliases)?;
        let previous_owner = match known {
            Some(id) if self.is_new_owner(inbound, id)? => Some(id),
            _ => None,
        };
        let mut person = match known.filter(|_| previous_owner.is_none()) {
            Some(id) => self.person(id)?,
            None => new_person(inbound),
        };
        let before = person.contact.clone();
        if inbound.sender.name.is_some() {
            person.contact.name.clone_from(&inbound.sender.name);
        }
        if person.contact.timezone.is_none() {
            let phones = inbound.aliases.iter().filter(|alias| alias.kind == AliasKind::Phone);
            person.contact.timezone = phones.filter_map(|alias| zone_of_number(&alias.value)).next().map(str::to_owned);
        }
        let stated =
            inbound.event.keyword.as_ref().and_then(|word| word.language).map(|language| language.code().to_owned());
        let language = stated.or_else(|| person.contact.language.take());
        person.contact.language = language.or_else(|| inbound.sender.language.clone());
        let mut plan = AppendPlan { reported_merge, ..AppendPlan::plain(None, None) };
        if inbound.interest.contact_changed {
            plan.before.extend(contact_notification(inbound, &before));
        }
        let mut consents = Vec::new();
        if let EventBody::ContactChanged { change, .. } = &inbound.event.body {
            consents.extend(preference(change, inbound.expressed_at()));
        }
        if inbound.joins(&person) {
            person.membership = Membership::Member;
            person.contact.member_since = Some(inbound.at());
            plan.before.push(EventBody::MemberJoined { reason: "first-message".into(), again: false });
            let joined = [Purpose::Service, Purpose::Group];
            consents.extend(
                joined.map(|purpose| NewConsent::in_chat(purpose, ConsentAct::Granted, inbound.expressed_at())),
            );
        }
        let is_new = person.contact.id.0 == 0;
        if is_new {
            self.write_person(&mut person)?;
            // A ban outlasts an erasure; everything else about the person is new.
            if self.refused_before(inbound.aliases)?.is_some_and(|(refused, _)| refused.is_banned()) {
                let profile = Profile { role: Role::Banned, ..person.contact.profile().clone() };
                person.contact.profile = Some(Arc::new(profile));
            }
        }
        if let Some(word) = &inbound.event.keyword {
            let applied = self.apply_word(word, &mut person, inbound)?;
            plan.after.extend(applied.event);
            plan.reply = applied.reply;
            consents.extend(applied.consents);
        }
        self.record_chat_consents(inbound, &mut person, &consents, &mut plan)?;
        self.update_person(&person)?;
        let contact = person.contact.id;
        if let Some(previous) = previous_owner {
            let numbers: Vec<Alias> = inbound.aliases.iter().filter(|alias| is_number(alias)).cloned().collect();
            self.move_number(&numbers, previous, contact, inbound.now)?;
        }
        match reported_change(inbound) {
            Some(change) => self.write_changed(inbound, &change, &person, plan.reported_merge.holder)?,
            None => self.write_aliases(inbound.aliases, contact, inbound.now)?,
        }
        plan.contact = Some(contact);
        plan.conversation = Some(self.find_or_create_conversation(inbound, &mut person)?);
        self.cache.people.insert_person(person);
        Ok(Some(plan))
    }

    /// Records the consents that the person expressed, where they are new, and plans the events
    /// about them.
    fn record_chat_consents(
        &mut self,
        inbound: &Inbound<'_>,
        person: &mut Person,
        consents: &[NewConsent],
        plan: &mut AppendPlan,
    ) -> Result<(), StoreError> {
        let message = match &inbound.event.body {
            EventBody::Message { message, .. } => Some(message),
            _ => None,
        };
        for consent in consents {
            if is_known(self.conn, &person.contact, consent)? {
                continue;
            }
            let evidence = consent.evidence.clone().or_else(|| message.cloned());
            // A withdrawal that arrives late also ends what was granted since: a first message that
            // was written after STOP is not a consent.
            let ended = person.contact.profile().consents.ended_by(&consent.purpose);
            let at = match consent.act {
                ConsentAct::Withdrawn => consent.at.max(ended.map_or(consent.at, |mark| mark.at)),
                _ => consent.at,
            };
            let consent = NewConsent { evidence, at, ..consent.clone() };
            for entry in self.record_consents(&mut person.contact, &[consent], inbound.now)? {
                plan.after.extend(inbound.interest.consent_changed.then(|| consent_changed(&entry)));
            }
        }
        Ok(())
    }

    /// The common case: all aliases belong to one contact, and neither it nor the conversation
    /// changes.
    fn apply_known_sender(&mut self, inbound: &Inbound<'_>) -> Result<Option<AppendPlan>, StoreError> {
        if inbound.event.keyword.is_some() || matches!(inbound.event.body, EventBody::ContactChanged { .. }) {
            return Ok(None);
        }
        let mut contact = None;
        for alias in inbound.aliases {
            match self.cache.people.holder(self.conn, alias)? {
                Some(holder) if contact.is_none_or(|contact| contact == holder) => contact = Some(holder),
                _ => return Ok(None),
            }
        }
        let Some(contact) = contact else { return Ok(None) };
        let Some(person) = self.cache.people.person(self.conn, contact)? else { return Ok(None) };
        let renamed = inbound.sender.name.is_some() && inbound.sender.name != person.contact.name;
        let guessed = inbound.sender.language.is_some() && person.contact.language.is_none();
        if renamed || guessed || inbound.joins(person) {
            return Ok(None);
        }
        let conversation = match &inbound.sender.group {
            Some(group) => self.cache.people.group(self.conn, &inbound.sender.channel, group)?,
            None => {
                person.conversations.iter().find(|(channel, _)| **channel == *inbound.sender.channel).map(|(_, id)| *id)
            }
        };
        let Some(conversation) = conversation else { return Ok(None) };
        let Some(row) = self.cache.people.conversation_row(self.conn, conversation)? else { return Ok(None) };
        let same_address = row.address.as_ref() == inbound.address();
        Ok(same_address.then(|| AppendPlan::plain(Some(row.id), Some(contact))))
    }

    /// Adds aliases from a receipt to the contact of a conversation. `at` is the time of the
    /// message, when they belonged to this contact; a number may have another owner since.
    pub(super) fn add_aliases(
        &mut self,
        aliases: &[Alias],
        conversation: ConversationId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let aliases = decisive_aliases(aliases);
        if aliases.is_empty() {
            return Ok(());
        }
        let contact = self.cache.people.conversation_row(self.conn, conversation)?.and_then(|row| row.contact);
        let Some(contact) = contact else { return Ok(()) };
        // A person who is being erased must not be found by a number.
        let person = self.cache.people.person(self.conn, contact)?;
        match person.is_none_or(|person| person.contact.profile().erased_since.is_some()) {
            true => Ok(()),
            false => self.write_aliases(&aliases, contact, at),
        }
    }

    /// A contact that was mentioned: found, or created without becoming a member.
    pub(crate) fn find_or_create_contact(
        &mut self,
        aliases: &[Alias],
        now: Timestamp,
    ) -> Result<Option<ContactId>, StoreError> {
        let aliases = decisive_aliases(aliases);
        if aliases.is_empty() {
            return Ok(None);
        }
        let mut person = match self.find_contact(&aliases)? {
            Some(id) => self.person(id)?,
            None => Person {
                contact: Contact { created_at: now, ..Contact::unknown() },
                membership: Membership::Unasked,
                conversations: Vec::new(),
            },
        };
        if person.contact.id.0 == 0 {
            self.write_person(&mut person)?;
        }
        let id = person.contact.id;
        self.write_aliases(&aliases, id, now)?;
        self.cache.people.insert_person(person);
        Ok(Some(id))
    }

    /// Whether a known phone number comes with a new user id, because another person has the number
    /// now. User ids are scoped to a business, so a different id counts only if the contact already
    /// wrote on this channel. The user id changes together with the number, so only an id that was
    /// seen with this number counts. A report about a changed id is not a message of a new owner.
    fn is_new_owner(&mut self, inbound: &Inbound<'_>, contact: ContactId) -> Result<bool, StoreError> {
        let mut user_ids = inbound.aliases.iter().filter(|alias| alias.kind == AliasKind::UserId);
        let Some(user_id) = user_ids.next() else { return Ok(false) };
        if matches!(inbound.event.body, EventBody::ContactChanged { .. })
            || self.cache.people.holder(self.conn, user_id)?.is_some()
        {
            return Ok(false);
        }
        let contact = self.person(contact)?;
        let is_known_here = contact.conversations.iter().any(|(channel, _)| **channel == *inbound.sender.channel);
        Ok(is_known_here && self.has_user_id_with(inbound.aliases, contact.contact.id)?)
    }

    /// Whether a user id of the contact was seen together with one of these numbers: it was
    /// recorded at the same time as the number, or later.
    pub(super) fn has_user_id_with(&self, aliases: &[Alias], contact: ContactId) -> Result<bool, StoreError> {
        let mut with_number = self.conn.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM aliases AS number JOIN aliases AS user USING (contact)
             WHERE number.kind = ?1 AND number.value = ?2 AND contact = ?3
               AND user.kind = ?4 AND user.created_at >= number.created_at)",
        )?;
        for alias in aliases.iter().filter(|alias| is_number(alias)) {
            for value in std::iter::once(alias.value.clone()).chain(other_spelling(&alias.value)) {
                let bounds = params![alias.kind as i64, value, contact.0, AliasKind::UserId as i64];
                if with_number.query_row(bounds, |row| row.get(0))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn user_id_of(&self, contact: ContactId) -> Result<Option<String>, StoreError> {
        let mut read = self
            .conn
            .prepare_cached("SELECT value FROM aliases WHERE contact = ?1 AND kind = ?2 ORDER BY created_at DESC")?;
        Ok(read.query_row([contact.0, AliasKind::UserId as i64], |row| row.get(0)).optional()?)
    }

    /// Gives numbers to their new owner. The previous owner keeps everything else and is
    /// reached by user id from now on; the conflict is recorded for an operator.
    pub(super) fn move_number(
        &mut self,
        numbers: &[Alias],
        previous: ContactId,
        owner: ContactId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let user_id = self.user_id_of(previous)?;
        for alias in numbers {
            let moved = self
                .conn
                .prepare_cached("UPDATE aliases SET contact = ?3, created_at = ?4 WHERE kind = ?1 AND value = ?2")?
                .execute(params![alias.kind as i64, alias.value, owner.0, now.0])?;
            if moved == 0 {
                continue;
            }
            self.cache.people.insert_alias(alias.clone(), owner);
            self.insert_conflict(alias, owner, previous, now)?;
            let changed: Vec<i64> = self
                .conn
                .prepare_cached(
                    "UPDATE conversations SET address_kind = ?3, address = ?4 WHERE contact = ?1 AND address = ?2 RETURNING id",
                )?
                .query_map(params![previous.0, alias.value, AliasKind::UserId as i64, user_id], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for id in changed {
                if let Some(row) = self.cache.people.conversation_row(self.conn, ConversationId(id))? {
                    row.address = user_id.clone().map(|value| Alias { kind: AliasKind::UserId, value });
                }
            }
        }
        Ok(())
    }

    /// The contact of the first alias that has one.
    pub(crate) fn find_contact(&mut self, aliases: &[Alias]) -> Result<Option<ContactId>, StoreError> {
        for alias in aliases {
            if let Some(holder) = self.cache.people.holder_in_any_spelling(self.conn, alias)? {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }

    pub(super) fn person(&mut self, id: ContactId) -> Result<Person, StoreError> {
        let person = self.cache.people.person(self.conn, id)?.cloned();
        person.ok_or_else(|| StoreError::NotFound { object: "contact", id: id.to_string() })
    }

    /// Inserts or updates the contact's row; sets the id of a new one.
    fn write_person(&self, person: &mut Person) -> Result<(), StoreError> {
        if person.contact.id.0 != 0 {
            return self.update_person(person);
        }
        let contact = &mut person.contact;
        let id = self
            .conn
            .prepare_cached("INSERT INTO contacts (name, created_at, timezone, language) VALUES (?1, ?2, ?3, ?4)")?
            .insert(params![contact.name, contact.created_at.0, contact.timezone, contact.language])?;
        contact.id = ContactId(id);
        Ok(())
    }

    /// Writes everything about a contact that has a row.
    pub(crate) fn update_person(&self, person: &Person) -> Result<(), StoreError> {
        let contact = &person.contact;
        let ms = |at: Option<Timestamp>| at.map(|at| at.0);
        self.conn
            .prepare_cached(
                "UPDATE contacts SET name = ?2, membership = ?3, member_since = ?4, opted_out_since = ?5, timezone = ?6,
                     marketing_stopped_since = ?7, language = ?8, profile = ?9 WHERE id = ?1",
            )?
            .execute(params![
                contact.id.0,
                contact.name,
                person.membership as i64,
                ms(contact.member_since),
                ms(contact.opted_out_since),
                contact.timezone,
                ms(contact.marketing_stopped_since),
                contact.language,
                profile_column(contact)?
            ])?;
        Ok(())
    }

    /// Adds new aliases of a message to the contact. Records a conflict for those of another
    /// contact.
    fn write_aliases(&mut self, aliases: &[Alias], contact: ContactId, now: Timestamp) -> Result<(), StoreError> {
        let mut is_new = false;
        for alias in aliases {
            is_new |= self.write_alias(alias, contact, now)?;
        }
        if is_new {
            self.note_seen_together(aliases, contact)?;
        }
        Ok(())
    }

    /// Adds an alias to the contact; `false` if it is known. Records a conflict if it is another
    /// contact's.
    pub(super) fn write_alias(&mut self, alias: &Alias, contact: ContactId, at: Timestamp) -> Result<bool, StoreError> {
        match self.cache.people.holder(self.conn, alias)? {
            Some(holder) if holder == contact => Ok(false),
            Some(holder) => {
                self.insert_conflict(alias, holder, contact, at)?;
                Ok(false)
            }
            None => {
                self.conn
                    .prepare_cached("INSERT INTO aliases (kind, value, contact, created_at) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![alias.kind as i64, alias.value, contact.0, at.0])?;
                self.cache.people.insert_alias(alias.clone(), contact);
                Ok(true)
            }
        }
    }

    /// The user ids of a message count as recorded no earlier than its numbers, whichever was known
    /// first.
    fn note_seen_together(&self, aliases: &[Alias], contact: ContactId) -> Result<(), StoreError> {
        let mut raise = self.conn.prepare_cached(
            "UPDATE aliases SET created_at = max(created_at, coalesce(
                 (SELECT created_at FROM aliases WHERE kind = ?3 AND value = ?4 AND contact = ?5), created_at))
             WHERE kind = ?1 AND value = ?2 AND contact = ?5",
        )?;
        for user_id in aliases.iter().filter(|alias| alias.kind == AliasKind::UserId) {
            for number in aliases.iter().filter(|alias| is_number(alias)) {
                raise.execute(params![
                    user_id.kind as i64,
                    user_id.value,
                    number.kind as i64,
                    number.value,
                    contact.0
                ])?;
            }
        }
        Ok(())
    }

    fn insert_conflict(
        &self,
        alias: &Alias,
        holder: ContactId,
        claimant: ContactId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO alias_conflicts (kind, value, holder, claimant, seen_at)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute(params![alias.kind as i64, alias.value, holder.0, claimant.0, now.0])?;
        Ok(())
    }

    /// Finds or creates the conversation with the contact or group, and updates its address.
    fn find_or_create_conversation(
        &mut self,
        inbound: &Inbound<'_>,
        person: &mut Person,
    ) -> Result<ConversationId, StoreError> {
        let Sender { channel, group, .. } = inbound.sender;
        let known = match group {
            Some(group) => self.cache.people.group(self.conn, channel, group)?,
            None => person.conversations.iter().find(|(name, _)| **name == **channel).map(|(_, id)| *id),
        };
        let address = inbound.address();
        let (kind, value) = (address.map(|address| address.kind as i64), address.map(|address| &address.value));
        if let Some(id) = known {
            if let Some(row) = self.cache.people.conversation_row(self.conn, id)?
                && row.address.as_ref() != address
            {
                row.address = address.cloned();
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
        let channel = self.cache.people.channel(channel);
        if group.is_none() {
            person.conversations.push((channel.clone(), id));
        }
        self.cache.people.insert_conversation(ConversationRow {
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
