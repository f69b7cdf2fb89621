//! Reports of the platform that a person has another number or another user id.
//!
//! A report may come after the first messages of the new identity, because webhooks are not
//! ordered. What was taken for a stranger is then merged with the person, in the same transaction,
//! so that a STOP, a ban or a withdrawn consent of either holds (ADR 0095). The new number may also
//! have belonged to somebody else before: then only the number moves.

use super::inbound::{Inbound, is_number};
use crate::error::StoreError;
use crate::people::Person;
use crate::tx::Tx;
use beadle_model::phone::other_spelling;
use beadle_model::time::DAY_MS;
use beadle_model::{Alias, AliasKind, ContactId, ConversationId, EventBody, Timestamp};
use rusqlite::params;

/// A contact with the new number that was first seen longer than this before the change belongs to
/// a previous owner of the number. WhatsApp repeats webhooks for as long, and no operator gives a
/// number to somebody else within that time.
const LATE_REPORT_MS: i64 = 7 * DAY_MS;

/// What the platform reports about a person.
pub(super) struct ReportedChange<'a> {
    /// The new number, if the number changed.
    number: Option<&'a str>,
    /// The user ids that belong to it.
    user_ids: Vec<&'a Alias>,
}

impl ReportedChange<'_> {
    fn is_new_number(&self, name: &Alias) -> bool {
        is_number(name) && self.number.is_some_and(|number| is_same_number(number, &name.value))
    }
}

/// What became of the contacts that a report names.
#[derive(Default)]
pub(super) struct United {
    /// Conversations that were merged, and into which.
    pub(super) merged: Vec<(ConversationId, ConversationId)>,
    /// The number of events that were appended about it.
    pub(super) events: usize,
    /// Who had the new number before.
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
    /// Merges the contacts that a report names, or moves the new number from its previous owner.
    pub(super) fn unite(&mut self, inbound: &Inbound<'_>) -> Result<United, StoreError> {
        let Some(change) = reported_change(inbound) else { return Ok(United::default()) };
        let mut holders = self.holders(inbound.names, &change)?;
        let holder = holders.iter().find(|holder| holder.has_new_number).map(|holder| holder.person.contact.id);
        let mut united = United { holder, ..United::default() };
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
        let Some(kept) = holders.next().map(|holder| holder.person.contact.id) else { return Ok(united) };
        if let Some(previous) = previous {
            let numbers: Vec<Alias> = inbound.names.iter().filter(|name| change.is_new_number(name)).cloned().collect();
            self.move_number(&numbers, previous, kept, inbound.now.plus_ms(1))?;
        }
        let inserted = self.inserted.len();
        for other in holders {
            let id = other.person.contact.id;
            if !self.is_distinct(kept, id)? && !self.is_next_owner(&other, inbound.names)? {
                tracing::info!(%kept, merged = %id, "contacts merged after a reported change");
                united.merged.extend(self.merge(kept, id, false, inbound.now)?.merged_conversations);
            }
        }
        united.events = self.inserted.len() - inserted;
        Ok(united)
    }

    /// The contacts that have some of these identities. Those that are being erased have none.
    fn holders(&mut self, names: &[Alias], change: &ReportedChange<'_>) -> Result<Vec<Holder>, StoreError> {
        let mut holders: Vec<Holder> = Vec::new();
        for name in names.iter().filter(|name| name.kind != AliasKind::ParentUserId) {
            let Some(id) = self.cache.people.holder_in_any_spelling(self.conn, name)? else { continue };
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
                holder.has_user_id |= !is_number(name);
                holder.has_new_number |= change.is_new_number(name);
                holder.has_other_number |= is_number(name) && !change.is_new_number(name);
            }
        }
        Ok(holders)
    }

    /// Whether this contact had the new number before it was the reported person's, as an operator
    /// said or by its age. Someone who never wrote has no history that could be mixed up.
    fn is_previous_owner(&self, holder: &Holder, all: &[Holder], changed_at: Timestamp) -> Result<bool, StoreError> {
        for other in all {
            if self.is_distinct(holder.person.contact.id, other.person.contact.id)? {
                return Ok(true);
            }
        }
        let has_more = holder.has_user_id || holder.has_other_number;
        let is_old = holder.person.contact.created_at < changed_at.plus_ms(-LATE_REPORT_MS);
        Ok(!has_more && is_old && self.has_written(holder.person.contact.id)?)
    }

    /// Whether this contact has a number that the reported person gave up: it wrote from it with a
    /// user id that is not reported.
    fn is_next_owner(&self, holder: &Holder, names: &[Alias]) -> Result<bool, StoreError> {
        let contact = holder.person.contact.id;
        let has_more = holder.has_user_id || holder.has_new_number;
        Ok(!has_more && self.has_written(contact)? && self.has_user_id_with(names, contact)?)
    }

    fn has_written(&self, contact: ContactId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM conversations WHERE contact = ?1 AND last_inbound_at > 0)";
        Ok(self.conn.prepare_cached(sql)?.query_row([contact.0], |row| row.get(0))?)
    }

    /// Whether an operator marked the two as different people.
    fn is_distinct(&self, one: ContactId, other: ContactId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM distinct_contacts WHERE lower = ?1 AND higher = ?2)";
        let bounds = [one.0.min(other.0), one.0.max(other.0)];
        Ok(self.conn.prepare_cached(sql)?.query_row(bounds, |row| row.get(0))?)
    }

    /// Adds the identities of a report to the contact. A new number counts as recorded after the
    /// user ids that the person had, which belonged to the old one, and not after those that are
    /// reported with it. `holder` is who had it before.
    pub(super) fn write_changed(
        &mut self,
        inbound: &Inbound<'_>,
        change: &ReportedChange<'_>,
        person: &Person,
        holder: Option<ContactId>,
    ) -> Result<(), StoreError> {
        let (contact, later) = (person.contact.id, inbound.now.plus_ms(1));
        let has_returned = holder == Some(contact) && !self.is_address(change, person, &inbound.sender.channel)?;
        for name in inbound.names {
            let is_new = change.is_new_number(name) || change.user_ids.contains(&name);
            let at = if is_new { later } else { inbound.now };
            if !self.write_alias(name, contact, at)? && is_new && has_returned {
                self.conn
                    .prepare_cached(
                        "UPDATE aliases SET created_at = ?4 WHERE kind = ?1 AND value = ?2 AND contact = ?3",
                    )?
                    .execute(params![name.kind as i64, name.value, contact.0, later.0])?;
            }
        }
        Ok(())
    }

    /// Whether the contact is reached by the new number already: the report is repeated.
    fn is_address(&mut self, change: &ReportedChange<'_>, person: &Person, channel: &str) -> Result<bool, StoreError> {
        let Some((_, id)) = person.conversations.iter().find(|(name, _)| **name == *channel) else { return Ok(false) };
        let conversation = self.cache.people.conversation_row(self.conn, *id)?;
        Ok(conversation.and_then(|row| row.address.as_ref()).is_some_and(|address| change.is_new_number(address)))
    }
}
