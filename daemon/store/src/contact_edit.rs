//! Changes of a contact by an operator, by a plugin, or by an import: language, time zone, tags,
//! attributes, role.

use crate::error::StoreError;
use crate::people::{Person, load_person};
use crate::tx::Tx;
use beadle_model::profile::ProfileEdit;
use beadle_model::{Contact, ContactId, EventBody, Timestamp};
use std::sync::Arc;

/// Changes of a contact. Omitted fields are unchanged; an empty value clears one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactEdit {
    /// BCP 47.
    pub language: Option<String>,
    /// IANA.
    pub timezone: Option<String>,
    /// Tags, attributes and role.
    pub profile: ProfileEdit,
    /// Ends a quarantine.
    pub release: bool,
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
        let before = person.contact.clone();
        apply_edit(&mut person, edit)?;
        let contact = person.contact.clone();
        if contact == before {
            return Ok(contact);
        }
        self.cache.is_restricting |= contact.profile().role != before.profile().role;
        self.update_person(&person)?;
        self.cache.people.insert_person(person);
        if let Some(conversation) = self.latest_conversation(contact.id)? {
            let body =
                EventBody::ContactChanged { change: "edited".into(), merged: None, extra: serde_json::Value::Null };
            self.append_about(body, conversation, contact.id, now)?;
        }
        Ok(contact)
    }
}

/// Applies the changes.
pub(crate) fn apply_edit(person: &mut Person, edit: &ContactEdit) -> Result<(), StoreError> {
    for (known, value) in
        [(&mut person.contact.language, &edit.language), (&mut person.contact.timezone, &edit.timezone)]
    {
        if let Some(value) = value {
            *known = Some(value.clone()).filter(|value| !value.is_empty());
        }
    }
    if edit.profile.is_empty() && !edit.release {
        return Ok(());
    }
    let mut profile = person.contact.profile().clone();
    let refused = |error: beadle_model::profile::ProfileError| StoreError::Profile { reason: error.to_string() };
    edit.profile.apply(&mut profile).map_err(refused)?;
    if edit.release {
        profile.quarantined_since = None;
    }
    person.contact.profile = Some(Arc::new(profile)).filter(|profile| **profile != Default::default());
    Ok(())
}
