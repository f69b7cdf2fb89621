//! A request to be asked whether one agrees, from a web form that anyone can fill in for any
//! number.
//!
//! It is decided in one transaction, so that two at once ask one question. What became of it is for
//! the operator's counters only: who fills in the form must not find out who is a member, or who
//! has opted out. A person whom only a form has named is quarantined, and is erased if they never
//! answer (ADR 0096).

use crate::consents::entries_of;
use crate::contact_edit::ContactEdit;
use crate::erasure::AskedBy;
use crate::error::StoreError;
use crate::handle::Store;
use crate::import::{ImportedContact, aliases_of_number};
use crate::people::load_person;
use crate::step::Interest;
use crate::tx::Tx;
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::consent::{ConsentAct, ConsentEntry, actor};
use beadle_model::time::DAY_MS;
use beadle_model::{ConsentState, Contact, ContactId, Profile, Role, Timestamp};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// A person is asked once in this time because of a form, whatever it is for.
const ASK_AGAIN_AFTER_MS: i64 = DAY_MS;

/// The maximum number of questions to a person in [`QUESTIONS_WITHIN_MS`]: someone who keeps typing
/// another's number annoys them three times.
const MAX_QUESTIONS: usize = 3;
const QUESTIONS_WITHIN_MS: i64 = 30 * DAY_MS;

/// Who said no, or withdrew this consent, is not asked because of a form for this long. They can
/// send the word of the wording.
const DECLINED_FOR_MS: i64 = 30 * DAY_MS;

/// The people that one slice of retention looks at. Each erasure searches the whole database.
const FORGOTTEN_AT_ONCE: usize = 20;

/// A request from a web form.
#[derive(Clone, Debug)]
pub struct OptInRequest {
    /// Digits with country code.
    pub phone: String,
    /// The entry, and the question. Its contact is not yet known.
    pub planned: PlannedConsent,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptInOutcome {
    /// The request is in the ledger, and the question is queued.
    Asked,
    /// The request is in the ledger, but the question could not be queued.
    NotAsked,
    /// The person was asked a short time ago, or three times this month.
    Repeated,
    /// The person has agreed already.
    Agreed,
    /// The person said no, or withdrew this consent, a short time ago.
    Declined,
    /// The person has opted out of all messages, or is banned.
    Excluded,
}

impl OptInOutcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Asked, Self::NotAsked, Self::Repeated, Self::Agreed, Self::Declined, Self::Excluded];

    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::NotAsked => "not-asked",
            Self::Repeated => "repeated",
            Self::Agreed => "agreed",
            Self::Declined => "declined",
            Self::Excluded => "excluded",
        }
    }
}

impl Tx<'_> {
    /// Records a request and queues the question, on this channel if the person has no
    /// conversation.
    pub(crate) fn opt_in(
        &mut self,
        channel: &str,
        request: &OptInRequest,
        wants_event: bool,
        now: Timestamp,
    ) -> Result<OptInOutcome, StoreError> {
        let aliases = aliases_of_number(&request.phone);
        let known = match self.find_contact(&aliases)? {
            Some(id) => load_person(self.conn, id)?.map(|person| person.contact),
            None => None,
        };
        let objection = match &known {
            Some(contact) => self.objection(contact, request, now)?,
            // Of an erased person the refusals are known, as hashes.
            None => {
                let refused = self.refused_before(&aliases)?;
                refused.filter(|(refused, _)| refused.is_of_everything()).map(|_| OptInOutcome::Excluded)
            }
        };
        if let Some(outcome) = objection {
            return Ok(outcome);
        }
        let row = ImportedContact {
            phone: request.phone.clone(),
            name: None,
            edit: ContactEdit::default(),
            consents: vec![request.planned.clone()],
        };
        let imported = self.import(channel, std::slice::from_ref(&row), wants_event, now)?;
        let Some(imported) = imported.first() else { return Ok(OptInOutcome::NotAsked) };
        self.note_named_by_form(imported.contact, imported.created, now)?;
        Ok(match (imported.asked, imported.recorded) {
            (1.., _) => OptInOutcome::Asked,
            (0, 0) => OptInOutcome::Repeated,
            (0, _) => OptInOutcome::NotAsked,
        })
    }

    /// Why the person is not asked.
    fn objection(
        &self,
        contact: &Contact,
        request: &OptInRequest,
        now: Timestamp,
    ) -> Result<Option<OptInOutcome>, StoreError> {
        if contact.opted_out_since.is_some() || contact.profile().role == Role::Banned {
            return Ok(Some(OptInOutcome::Excluded));
        }
        let wanted = &request.planned.consent;
        let decision = contact.consent_for(&wanted.purpose);
        let is_recent = |at: Timestamp, ms: i64| now.since_ms(at) < ms;
        match decision.state {
            ConsentState::Granted => return Ok(Some(OptInOutcome::Agreed)),
            ConsentState::Withdrawn if decision.by.is_some_and(|mark| is_recent(mark.at, DECLINED_FOR_MS)) => {
                return Ok(Some(OptInOutcome::Declined));
            }
            _ => {}
        }
        let entries = entries_of(self.conn, contact.id)?;
        let asked_within = |ms: i64| {
            let is_question = |entry: &&ConsentEntry| {
                let consent = &entry.consent;
                consent.act == ConsentAct::Requested
                    && consent.source == wanted.source
                    && is_recent(entry.recorded_at, ms)
            };
            entries.iter().filter(is_question).count()
        };
        let is_enough = asked_within(ASK_AGAIN_AFTER_MS) > 0 || asked_within(QUESTIONS_WITHIN_MS) >= MAX_QUESTIONS;
        Ok(is_enough.then_some(OptInOutcome::Repeated))
    }

    /// Notes that nothing but a form has named a person. Until they write or agree, nothing else is
    /// sent to them: whoever typed the number may have had no right to.
    fn note_named_by_form(&mut self, contact: ContactId, is_new: bool, now: Timestamp) -> Result<(), StoreError> {
        if !is_new {
            self.conn
                .prepare_cached("UPDATE opt_in_contacts SET asked_at = ?2 WHERE contact = ?1")?
                .execute([contact.0, now.0])?;
            return Ok(());
        }
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO opt_in_contacts (contact, asked_at) VALUES (?1, ?2)")?
            .execute([contact.0, now.0])?;
        let Some(mut person) = load_person(self.conn, contact)? else { return Ok(()) };
        let mut profile = person.contact.profile().clone();
        profile.quarantined_since = Some(now);
        person.contact.profile = Some(Arc::new(profile));
        self.update_person(&person)?;
        self.cache.people.forget(contact);
        Ok(())
    }

    /// Begins the erasure of people whom only a form has named and who have not answered since.
    /// Returns whether there are more.
    pub(crate) fn forget_unanswered(&mut self, asked_before: i64, now: Timestamp) -> Result<bool, StoreError> {
        let due: Vec<i64> = self
            .conn
            .prepare_cached("SELECT contact FROM opt_in_contacts WHERE asked_at < ?1 ORDER BY asked_at LIMIT ?2")?
            .query_map(params![asked_before, FORGOTTEN_AT_ONCE as i64], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for contact in &due {
            self.conn.prepare_cached("DELETE FROM opt_in_contacts WHERE contact = ?1")?.execute([contact])?;
            if is_known_by_form_only(self.conn, ContactId(*contact))? {
                self.begin_erasure(ContactId(*contact), AskedBy::Unanswered, now)?;
            }
        }
        Ok(due.len() == FORGOTTEN_AT_ONCE)
    }

    /// A person who is merged with another is known otherwise.
    pub(crate) fn merge_opt_ins(&self, keep: ContactId, removed: ContactId) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("DELETE FROM opt_in_contacts WHERE contact IN (?1, ?2)")?
            .execute([keep.0, removed.0])?;
        Ok(())
    }
}

impl Store {
    /// Records that someone asked by a web form to be asked for consent, and queues the question.
    pub async fn opt_in(
        &self,
        channel: &str,
        request: OptInRequest,
        interest: Interest,
    ) -> Result<OptInOutcome, StoreError> {
        let (channel, now) = (channel.to_owned(), self.shared().clock.now());
        self.ask(move |tx| tx.opt_in(&channel, &request, interest.consent_changed, now)).await
    }
}

/// Whether a person never wrote, and nobody recorded anything about them but requests.
fn is_known_by_form_only(conn: &Connection, contact: ContactId) -> Result<bool, StoreError> {
    let Some(person) = load_person(conn, contact)? else { return Ok(false) };
    let contact = person.contact;
    let Profile { role, tags, attributes, erased_since, .. } = contact.profile();
    let is_untouched = contact.name.is_none()
        && contact.member_since.is_none()
        && *role == Role::Member
        && tags.is_empty()
        && attributes.is_empty()
        && erased_since.is_none();
    // The host's own entries are the requests, and what an erased person had refused.
    let is_own = |entry: &ConsentEntry| entry.consent.actor == actor::HOST && entry.consent.act != ConsentAct::Granted;
    if !is_untouched || !entries_of(conn, contact.id)?.iter().all(is_own) {
        return Ok(false);
    }
    let mut wrote = conn.prepare_cached("SELECT 1 FROM conversations WHERE contact = ?1 AND last_inbound_at > 0")?;
    Ok(!wrote.exists([contact.id.0])?)
}
