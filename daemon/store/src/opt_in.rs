//! A request to be asked whether one agrees, from a web form that anyone can fill in for any number.
//!
//! It is decided in one transaction, so that two at once ask one question. What became of it is for the operator's
//! counters only: who fills in the form must not find out who is a member, or who has opted out.

use crate::consents::entries_of;
use crate::error::StoreError;
use crate::import::ImportedContact;
use crate::people::load_person;
use crate::profile::ContactEdit;
use crate::tx::Tx;
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::consent::{ConsentAct, ConsentEntry};
use beadle_model::{Alias, AliasKind, ConsentState, Contact, Role, Timestamp};

/// A request from a web form.
#[derive(Clone, Debug)]
pub struct OptInRequest {
    /// Digits with country code.
    pub phone: String,
    /// The entry, and the question. Its contact is not yet known.
    pub planned: PlannedConsent,
    /// A person is asked once in this time by requests of this source, in milliseconds.
    pub ask_again_after_ms: i64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptInOutcome {
    /// The request is in the ledger, and the question is queued.
    Asked,
    /// The request is in the ledger, but the question could not be queued.
    NotAsked,
    /// The person was asked a short time ago.
    Repeated,
    /// The person has agreed already.
    Agreed,
    /// The person has opted out of all messages, or is banned.
    Excluded,
}

impl OptInOutcome {
    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            OptInOutcome::Asked => "asked",
            OptInOutcome::NotAsked => "not-asked",
            OptInOutcome::Repeated => "repeated",
            OptInOutcome::Agreed => "agreed",
            OptInOutcome::Excluded => "excluded",
        }
    }
}

impl Tx<'_> {
    /// Records a request and queues the question, on this channel if the person has no conversation.
    pub(crate) fn opt_in(
        &mut self,
        channel: &str,
        request: &OptInRequest,
        wants_event: bool,
        now: Timestamp,
    ) -> Result<OptInOutcome, StoreError> {
        if let Some(contact) = self.contact_with_phone(&request.phone)?
            && let Some(outcome) = self.objection(&contact, request, now)?
        {
            return Ok(outcome);
        }
        let row = ImportedContact {
            phone: request.phone.clone(),
            name: None,
            edit: ContactEdit::default(),
            consents: vec![request.planned.clone()],
        };
        let imported = self.import(channel, std::slice::from_ref(&row), wants_event, now)?;
        let asked = imported.iter().any(|outcome| outcome.asked > 0);
        Ok(if asked { OptInOutcome::Asked } else { OptInOutcome::NotAsked })
    }

    fn contact_with_phone(&mut self, phone: &str) -> Result<Option<Contact>, StoreError> {
        for kind in [AliasKind::WaId, AliasKind::Phone] {
            let alias = Alias { kind, value: phone.to_owned() };
            if let Some(id) = self.cache.people.holder_in_any_spelling(self.conn, &alias)? {
                return Ok(load_person(self.conn, id)?.map(|person| person.contact));
            }
        }
        Ok(None)
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
        if contact.consent_for(&wanted.purpose).state == ConsentState::Granted {
            return Ok(Some(OptInOutcome::Agreed));
        }
        let since = now.plus_ms(-request.ask_again_after_ms);
        let is_recent = |entry: &ConsentEntry| {
            let consent = &entry.consent;
            consent.act == ConsentAct::Requested && consent.source == wanted.source && entry.recorded_at > since
        };
        let entries = entries_of(self.conn, contact.id)?;
        Ok(entries.iter().any(is_recent).then_some(OptInOutcome::Repeated))
    }
}
