//! Reports of the platform that a person has another number or another user id.
//!
//! A report may come after the first messages of the new identity, because webhooks are not
//! ordered. The contact that those messages created is then merged with the person's contact, in
//! the transaction of the report, so that a STOP, a ban or a withdrawn consent of either holds (ADR
//! 0095). If the new number belonged to another person before, only the number moves. That person
//! may be the same one, whom the platform reports late, so what the reported person refused holds
//! for both, and what the other contact refused, if it wrote in the 45 days before.

use super::inbound::{Inbound, is_number};
use super::keywords::apply_membership;
use crate::consents::consent_changed;
use crate::error::StoreError;
use crate::people::Person;
use crate::tx::Tx;
use beadle_model::consent::{ConsentAct, NewConsent, Purpose, actor};
use beadle_model::phone::other_spelling;
use beadle_model::time::DAY_MS;
use beadle_model::{
    Alias, AliasKind, ConsentState, Contact, ContactId, ConversationId, EventBody, Keyword, MessageId, Role, Timestamp,
};
use rusqlite::params;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A contact with the new number that was first seen longer than this before the change belongs to
/// a previous owner of the number. WhatsApp repeats webhooks for this time, and no network operator
/// gives a number to another person within it.
const LATE_REPORT_MS: i64 = 7 * DAY_MS;

/// A number from which a message came within this time before the change was not given to another
/// person in between: network operators keep a number unused for longer (47 CFR 52.15: at least 45
/// days).
const UNUSED_NUMBER_MS: i64 = 45 * DAY_MS;

/// The change that the platform reports.
pub(super) struct ReportedChange<'a> {
    /// The new number, if the number changed.
    number: Option<&'a str>,
    /// The user ids that belong to the new number.
    user_ids: Vec<&'a Alias>,
}

impl ReportedChange<'_> {
    /// The new number as it may be recorded: in each of its spellings.
    fn numbers(&self, aliases: &[Alias]) -> Vec<Alias> {
        let spellings = |alias: &Alias| {
            let other = other_spelling(&alias.value).map(|value| Alias { kind: alias.kind, value });
            std::iter::once(alias.clone()).chain(other).collect::<Vec<_>>()
        };
        aliases.iter().filter(|alias| self.is_new_number(alias)).flat_map(spellings).collect()
    }

    fn is_new_number(&self, alias: &Alias) -> bool {
        is_number(alias) && self.number.is_some_and(|number| is_same_number(number, &alias.value))
    }
}

/// The result of merging the contacts of a report.
#[derive(Default)]
pub(super) struct ReportedMerge {
    /// Conversations that were merged, and into which.
    pub(super) merged: Vec<(ConversationId, ConversationId)>,
    /// The number of events that were appended about the merges.
    pub(super) events: usize,
    /// The contact that had the new number before the report.
    pub(super) holder: Option<ContactId>,
}

/// A contact that has some of the reported identities.
struct Holder {
    person: Person,
    has_user_id: bool,
    has_new_number: bool,
    has_other_number: bool,
}

fn is_same_number(one: &str, other: &str) -> bool {
    one == other || other_spelling(one).as_deref() == Some(other)
}

/// The entries of the ledger by which what one contact refused holds for another one.
fn refusals(from: &Contact, to: &Contact, now: Timestamp) -> Vec<NewConsent> {
    let withdrawal = |purpose: &Purpose, actor: &str| NewConsent {
        evidence: Some(format!("refused by {}", from.id)),
        actor: actor.into(),
        ..NewConsent::in_chat(purpose.clone(), ConsentAct::Withdrawn, now)
    };
    let is_withdrawn = |contact: &Contact, purpose| contact.consent_for(purpose).state == ConsentState::Withdrawn;
    let purposes = from.profile().consents.purposes();
    let new = purposes.filter(|purpose| is_withdrawn(from, purpose) && !is_withdrawn(to, purpose));
    let mut entries: Vec<_> = new.map(|purpose| withdrawal(purpose, actor::HOST)).collect();
    if from.marketing_stopped_since.is_some() && to.marketing_stopped_since.is_none() {
        entries.push(withdrawal(&Purpose::Marketing, actor::PLATFORM));
    }
    entries
}

/// The change that an event reports; `None` for all other events.
pub(super) fn reported_change<'a>(inbound: &Inbound<'a>) -> Option<ReportedChange<'a>> {
    let EventBody::ContactChanged { change, .. } = &inbound.event.body else { return None };
    let aliases = &inbound.sender.aliases;
    let first = aliases.iter().position(is_number);
    let number = first.and_then(|first| aliases.get(first)).filter(|_| change == "number-changed");
    let user_ids = match number {
        Some(_) => aliases.iter().take_while(|alias| !is_number(alias)).collect(),
        None => Vec::new(),
    };
    matches!(change.as_str(), "number-changed" | "id-changed")
        .then(|| ReportedChange { number: number.map(|alias| alias.value.as_str()), user_ids })
}

impl Tx<'_> {
    /// Merges the contacts of a report, or moves the new number from its previous owner.
    pub(super) fn merge_reported(&mut self, inbound: &Inbound<'_>) -> Result<ReportedMerge, StoreError> {
        let Some(change) = reported_change(inbound) else { return Ok(ReportedMerge::default()) };
        let mut holders = self.holders(inbound.aliases, &change)?;
        let holder = holders.iter().find(|holder| holder.has_new_number).map(|holder| holder.person.contact.id);
        let mut outcome = ReportedMerge { holder, ..ReportedMerge::default() };
        let mut previous = None;
        if holders.len() > 1
            && let Some(at) = holders.iter().position(|holder| holder.has_new_number)
            && let Some(holder) = holders.get(at)
            && self.is_previous_owner(holder, &holders, inbound.event.happened_at)?
        {
            previous = Some(holders.remove(at).person.contact.id);
        }
        // The oldest contact is kept.
        holders.sort_by_key(|holder| (holder.person.contact.created_at, holder.person.contact.id));
        let mut holders = holders.into_iter();
        let Some(kept) = holders.next().map(|holder| holder.person.contact.id) else { return Ok(outcome) };
        let inserted = self.inserted.len();
        if let Some(previous) = previous {
            self.move_number(&change.numbers(inbound.aliases), previous, kept, inbound.now.plus_ms(1))?;
            if !self.is_distinct(kept, previous)? {
                self.share_refusals(inbound, kept, previous)?;
                // A previous owner who has not written for long is another person: what they
                // refused says nothing about the reported one.
                if self.last_written(previous)? > inbound.event.happened_at.plus_ms(-UNUSED_NUMBER_MS) {
                    self.share_refusals(inbound, previous, kept)?;
                }
            }
        }
        for other in holders {
            let id = other.person.contact.id;
            if !self.is_distinct(kept, id)? && !self.is_next_owner(&other, inbound.aliases)? {
                tracing::info!(%kept, merged = %id, "contacts merged after a reported change");
                outcome.merged.extend(self.merge(kept, id, false, inbound.now)?.merged_conversations);
            }
        }
        outcome.events = self.inserted.len() - inserted;
        Ok(outcome)
    }

    /// The contacts that have some of these aliases, without those that are being erased.
    fn holders(&mut self, aliases: &[Alias], change: &ReportedChange<'_>) -> Result<Vec<Holder>, StoreError> {
        let mut holders: Vec<Holder> = Vec::new();
        for alias in aliases.iter().filter(|alias| alias.kind != AliasKind::ParentUserId) {
            let Some(id) = self.cache.people.holder_in_any_spelling(self.conn, alias)? else { continue };
            let at = match holders.iter().position(|holder| holder.person.contact.id == id) {
                Some(at) => at,
                None => {
                    let person = self.person(id)?;
                    if person.contact.profile().erased_since.is_some() {
                        continue;
                    }
                    holders.push(Holder { person, has_user_id: false, has_new_number: false, has_other_number: false });
                    holders.len() - 1
                }
            };
            if let Some(holder) = holders.get_mut(at) {
                holder.has_user_id |= !is_number(alias);
                holder.has_new_number |= change.is_new_number(alias);
                holder.has_other_number |= is_number(alias) && !change.is_new_number(alias);
            }
        }
        Ok(holders)
    }

    /// Whether this contact had the new number before the reported person: an operator marked the
    /// two as distinct, or the contact is old and wrote. The history of a contact that never wrote
    /// is empty, so that merging it mixes up nothing.
    fn is_previous_owner(&self, holder: &Holder, all: &[Holder], changed_at: Timestamp) -> Result<bool, StoreError> {
        for other in all {
            if self.is_distinct(holder.person.contact.id, other.person.contact.id)? {
                return Ok(true);
            }
        }
        let has_more = holder.has_user_id || holder.has_other_number;
        let is_old = holder.person.contact.created_at < changed_at.plus_ms(-LATE_REPORT_MS);
        Ok(!has_more && is_old && self.last_written(holder.person.contact.id)?.0 > 0)
    }

    /// Whether this contact is the next owner of a number that the reported person gave up: it
    /// wrote from the number with a user id that is not in the report.
    fn is_next_owner(&self, holder: &Holder, aliases: &[Alias]) -> Result<bool, StoreError> {
        let contact = holder.person.contact.id;
        let has_more = holder.has_user_id || holder.has_new_number;
        Ok(!has_more && self.last_written(contact)?.0 > 0 && self.has_user_id_with(aliases, contact)?)
    }

    /// When this contact wrote last; 0 if never.
    fn last_written(&self, contact: ContactId) -> Result<Timestamp, StoreError> {
        let sql = "SELECT coalesce(max(last_inbound_at), 0) FROM conversations WHERE contact = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([contact.0], |row| row.get(0).map(Timestamp))?)
    }

    /// What one contact refused, and a ban, hold for the other one, too.
    fn share_refusals(&mut self, inbound: &Inbound<'_>, from: ContactId, to: ContactId) -> Result<(), StoreError> {
        let (source, mut person) = (self.person(from)?.contact, self.person(to)?);
        let entries = refusals(&source, &person.contact, inbound.now);
        let is_banned = source.profile().role == Role::Banned && person.contact.profile().role != Role::Banned;
        if (entries.is_empty() && !is_banned) || person.contact.profile().erased_since.is_some() {
            return Ok(());
        }
        let mut events = Vec::new();
        let mut profile = person.contact.profile().clone();
        if is_banned {
            profile.role = Role::Banned;
        }
        if entries.iter().any(|entry| entry.purpose == Purpose::Service) {
            profile.left_before = Some(MessageId(self.shared.next_message.load(Ordering::Relaxed)));
            events.extend(apply_membership(Keyword::Stop, &mut person, inbound.now).0);
        }
        person.contact.profile = Some(Arc::new(profile));
        self.cache.is_restricting = true;
        for entry in self.record_consents(&mut person.contact, &entries, inbound.now)? {
            events.extend(inbound.interest.consent_changed.then(|| consent_changed(&entry)));
        }
        self.update_person(&person)?;
        self.cache.people.insert_person(person);
        if let Some(conversation) = self.latest_conversation(to)? {
            for event in events {
                self.append_about(event, conversation, to, inbound.now)?;
            }
        }
        tracing::info!(%from, %to, "refusals carried over after a reported change");
        Ok(())
    }

    /// Whether an operator marked the two as different people.
    fn is_distinct(&self, one: ContactId, other: ContactId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM distinct_contacts WHERE lower = ?1 AND higher = ?2)";
        let bounds = [one.0.min(other.0), one.0.max(other.0)];
        Ok(self.conn.prepare_cached(sql)?.query_row(bounds, |row| row.get(0))?)
    }

    /// Adds the aliases of a report to the contact. `holder` is the contact that had the new number
    /// before the report.
    ///
    /// The new number counts as recorded after the user ids that the person had, because those
    /// belonged to the old number, and at the same time as the user ids that are reported with it.
    pub(super) fn write_changed(
        &mut self,
        inbound: &Inbound<'_>,
        change: &ReportedChange<'_>,
        person: &Person,
        holder: Option<ContactId>,
    ) -> Result<(), StoreError> {
        let (contact, later) = (person.contact.id, inbound.now.plus_ms(1));
        let has_returned = holder == Some(contact) && !self.is_address(change, person, &inbound.sender.channel)?;
        for alias in inbound.aliases {
            let is_new = change.is_new_number(alias) || change.user_ids.contains(&alias);
            let at = if is_new { later } else { inbound.now };
            if !self.write_alias(alias, contact, at)? && is_new && has_returned {
                self.conn
                    .prepare_cached(
                        "UPDATE aliases SET created_at = ?4 WHERE kind = ?1 AND value = ?2 AND contact = ?3",
                    )?
                    .execute(params![alias.kind as i64, alias.value, contact.0, later.0])?;
            }
        }
        Ok(())
    }

    /// Whether the new number is already the contact's address, because the report is repeated.
    fn is_address(&mut self, change: &ReportedChange<'_>, person: &Person, channel: &str) -> Result<bool, StoreError> {
        let Some((_, id)) = person.conversations.iter().find(|(name, _)| **name == *channel) else { return Ok(false) };
        let conversation = self.cache.people.conversation_row(self.conn, *id)?;
        Ok(conversation.and_then(|row| row.address.as_ref()).is_some_and(|address| change.is_new_number(address)))
    }
}
