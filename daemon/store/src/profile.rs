//! Changes of a contact by an operator: language and time zone.

use crate::error::StoreError;
use crate::people::load_person;
use crate::tx::Tx;
use beadle_model::{Contact, ContactId, EventBody, Timestamp};
use rusqlite::params;

/// Changes of a contact. Omitted fields are unchanged; an empty value clears one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactEdit {
    /// BCP 47.
    pub language: Option<String>,
    /// IANA.
    pub timezone: Option<String>,
}

impl Tx<'_> {
    /// Applies the changes and appends an event, unless nothing changed.
    pub(crate) fn edit_contact(
        &mut self,
        id: ContactId,
        edit: &ContactEdit,
        now: Timestamp,
    ) -> Result<Contact, StoreError> {
        let found = load_person(self.conn, id)?;
        let mut person = found.ok_or_else(|| StoreError::NotFound { object: "contact", id: id.to_string() })?;
        let was = person.contact.clone();
        for (known, value) in
            [(&mut person.contact.language, &edit.language), (&mut person.contact.timezone, &edit.timezone)]
        {
            if let Some(value) = value {
                *known = Some(value.clone()).filter(|value| !value.is_empty());
            }
        }
        let contact = person.contact.clone();
        if contact == was {
            return Ok(contact);
        }
        self.conn
            .prepare_cached("UPDATE contacts SET language = ?2, timezone = ?3 WHERE id = ?1")?
            .execute(params![contact.id.0, contact.language, contact.timezone])?;
        self.cache.people.insert_person(person);
        if let Some(place) = self.latest_conversation(contact.id)? {
            let body =
                EventBody::ContactChanged { change: "edited".into(), merged: None, extra: serde_json::Value::Null };
            self.append_about(body, place, contact.id, now)?;
        }
        Ok(contact)
    }
}
