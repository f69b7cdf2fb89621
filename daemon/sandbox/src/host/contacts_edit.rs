//! `contacts-edit`: tags, attributes and roles of contacts, as effects.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use crate::bindings::latest::contacts_edit::Host;
use beadle_model::effect::ContactWrite;
use beadle_model::profile::{ProfileEdit, ProfileError, check_attribute, check_tag};
use beadle_model::{Contact, ContactId, Refusal, Role};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

impl Host for HostState {
    async fn add_tags(&mut self, contact: String, tags: Vec<String>) -> Answer<()> {
        self.enter()?;
        answer(
            checked(&tags)
                .and_then(|add_tags| self.edit_contact(&contact, ProfileEdit { add_tags, ..ProfileEdit::default() })),
        )
    }

    async fn remove_tags(&mut self, contact: String, tags: Vec<String>) -> Answer<()> {
        self.enter()?;
        answer(
            checked(&tags).and_then(|remove_tags| {
                self.edit_contact(&contact, ProfileEdit { remove_tags, ..ProfileEdit::default() })
            }),
        )
    }

    async fn set_attributes(&mut self, contact: String, attributes: String) -> Answer<()> {
        self.enter()?;
        answer(self.set_attributes_of(&contact, &attributes))
    }

    async fn set_role(&mut self, contact: String, role: String) -> Answer<()> {
        self.enter()?;
        answer(self.set_role_of(&contact, &role))
    }
}

fn code(error: &ProfileError) -> &'static str {
    match error {
        ProfileError::Unknown(_) => "attribute-unknown",
        ProfileError::WrongType { .. } => "attribute-type",
        ProfileError::BadTag(_) | ProfileError::TooManyTags => "bad-tag",
    }
}

/// The refusal for a value that does not fit.
fn refused(error: &ProfileError) -> Refusal {
    Refusal::new(code(error), format!("{error}."))
}

fn checked(tags: &[String]) -> Result<BTreeSet<String>, HostError> {
    let tags: Result<_, ProfileError> = tags.iter().map(|tag| check_tag(tag)).collect();
    tags.map_err(|error| refused(&error).into())
}

impl HostState {
    /// The contact with this id, also by the id of a merged one.
    pub(super) fn known_contact(&self, id: &str) -> Result<Contact, HostError> {
        self.event()?;
        let id: ContactId = id.parse().map_err(bad_id)?;
        let unknown = || Refusal::new("unknown-contact", format!("There is no contact {id}."));
        Ok(self.facts.reader.contact(id)?.ok_or_else(unknown)?)
    }

    fn edit_contact(&mut self, id: &str, edit: ProfileEdit) -> Result<(), HostError> {
        let contact = self.known_contact(id)?;
        edit.apply(&mut contact.profile().clone()).map_err(|error| refused(&error))?;
        let tags = edit.add_tags.iter().chain(&edit.remove_tags).map(String::len).sum::<usize>();
        let contact = contact.id;
        self.effect(tags)?.contacts.push(ContactWrite::Edit { contact, edit });
        Ok(())
    }

    fn set_attributes_of(&mut self, id: &str, json: &str) -> Result<(), HostError> {
        let not_an_object = || Refusal::new("attribute-type", "The attributes must be a JSON object.");
        let values: Map<String, Value> = serde_json::from_str(json).map_err(|_| not_an_object())?;
        let types = &self.facts.people.attributes;
        let attributes: Result<_, ProfileError> =
            values.iter().map(|(name, value)| Ok((name.clone(), check_attribute(types, name, value)?))).collect();
        let attributes = attributes.map_err(|error| refused(&error))?;
        self.effect(json.len())?;
        self.edit_contact(id, ProfileEdit { attributes, ..ProfileEdit::default() })
    }

    fn set_role_of(&mut self, id: &str, name: &str) -> Result<(), HostError> {
        let role = Role::named(name).filter(|role| *role < Role::Admin).ok_or_else(|| {
            Refusal::new("bad-role", format!("`{name}` is not a role that a plugin can give."))
                .instead("The roles are `moderator`, `helper`, `member` and `banned`.")
        })?;
        if self.known_contact(id)?.profile().role >= Role::Admin {
            let message = "Only the operator changes the role of an owner or admin.";
            return Err(Refusal::new("bad-role", message).into());
        }
        self.edit_contact(id, ProfileEdit { role: Some(role), ..ProfileEdit::default() })
    }
}
