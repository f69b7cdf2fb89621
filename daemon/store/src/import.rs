//! An import of contacts by an operator: found by their number or created, edited, and with what is
//! known about their consent. A new person without any is quarantined: nothing is sent to them
//! until they write, or their consent is recorded.

use crate::contact_edit::{ContactEdit, apply_edit};
use crate::error::StoreError;
use crate::people::load_person;
use crate::tx::Tx;
use beadle_model::consent::NewConsent;
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::profile::ProfileEdit;
use beadle_model::{Alias, AliasKind, ContactId, Role, Timestamp, zone_of_number};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;

/// A contact to import.
#[derive(Clone, Debug)]
pub struct ImportedContact {
    /// Digits with country code.
    pub phone: String,
    /// Their name; kept if the contact has one.
    pub name: Option<String>,
    /// Language, time zone, tags, attributes, role.
    pub edit: ContactEdit,
    /// What they agreed to.
    pub consents: Vec<PlannedConsent>,
}

/// What became of an imported contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportOutcome {
    /// The contact.
    pub contact: ContactId,
    /// Whether it is new.
    pub created: bool,
    /// Whether nothing may be sent to them.
    pub quarantined: bool,
    /// Entries of the consent ledger.
    pub recorded: usize,
    /// Questions that were queued.
    pub asked: usize,
}

/// What identifies the person of a number of which nothing else is known.
pub(crate) fn aliases_of_number(phone: &str) -> [Alias; 2] {
    [AliasKind::WaId, AliasKind::Phone].map(|kind| Alias { kind, value: phone.to_owned() })
}

impl Tx<'_> {
    /// Imports contacts for a channel.
    pub(crate) fn import(
        &mut self,
        channel: &str,
        rows: &[ImportedContact],
        wants_event: bool,
        now: Timestamp,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        rows.iter().map(|row| self.import_one(channel, row, wants_event, now)).collect()
    }

    fn import_one(
        &mut self,
        channel: &str,
        row: &ImportedContact,
        wants_event: bool,
        now: Timestamp,
    ) -> Result<ImportOutcome, StoreError> {
        let aliases = aliases_of_number(&row.phone);
        let known = self.find_contact(&aliases)?;
        let id = self.find_or_create_contact(&aliases, now)?;
        let id = id.ok_or_else(|| StoreError::NotFound { object: "contact", id: "without a number".into() })?;
        let found = load_person(self.conn, id)?;
        let mut person = found.ok_or_else(|| StoreError::NotFound { object: "contact", id: id.to_string() })?;
        let created = known.is_none();
        person.contact.name = person.contact.name.take().or_else(|| row.name.clone());
        person.contact.timezone =
            person.contact.timezone.take().or_else(|| zone_of_number(&row.phone).map(str::to_owned));
        apply_edit(&mut person, &row.edit)?;
        if created && row.consents.is_empty() {
            let mut profile = person.contact.profile().clone();
            profile.quarantined_since = Some(now);
            person.contact.profile = Some(Arc::new(profile));
        }
        self.update_person(&person)?;
        self.ensure_conversation(id, channel, &aliases[0])?;
        // The cache has the contact from before these changes, without the conversation.
        self.cache.people.forget(id);
        if let Some((refused, at)) = self.refused_before(&aliases)? {
            let contact = load_person(self.conn, id)?.map(|person| person.contact);
            let is_older = |consent: &NewConsent| {
                let known = contact.as_ref().and_then(|contact| contact.consent_for(&consent.purpose).by);
                known.is_none_or(|mark| mark.at < at)
            };
            for consent in Self::refusals_of(refused, id, at).into_iter().filter(is_older) {
                self.record_consent(&PlannedConsent { consent, question: None }, wants_event, now)?;
            }
            if refused.is_banned() && created {
                let ban = ContactEdit {
                    profile: ProfileEdit { role: Some(Role::Banned), ..ProfileEdit::default() },
                    ..ContactEdit::default()
                };
                self.edit_contact(id, &ban, now)?;
            }
        }
        let (mut recorded, mut asked) = (0, 0);
        for planned in &row.consents {
            let mut planned = planned.clone();
            planned.consent.contact = id;
            if let Some(consent) = self.record_consent(&planned, wants_event, now)? {
                recorded += 1;
                asked += usize::from(consent.asked);
            }
        }
        let quarantined =
            load_person(self.conn, id)?.is_some_and(|person| person.contact.profile().quarantined_since.is_some());
        Ok(ImportOutcome { contact: id, created, quarantined, recorded, asked })
    }

    /// A conversation on this channel, so that a template can be sent there.
    fn ensure_conversation(&self, contact: ContactId, channel: &str, address: &Alias) -> Result<(), StoreError> {
        let known: Option<i64> = self
            .conn
            .prepare_cached("SELECT id FROM conversations WHERE contact = ?1 AND channel = ?2")?
            .query_row(params![contact.0, channel], |row| row.get(0))
            .optional()?;
        if known.is_none() {
            self.conn
                .prepare_cached(
                    "INSERT INTO conversations (channel, contact, last_contact, address_kind, address)
                     VALUES (?1, ?2, ?2, ?3, ?4)",
                )?
                .execute(params![channel, contact.0, address.kind as i64, address.value])?;
        }
        Ok(())
    }
}
