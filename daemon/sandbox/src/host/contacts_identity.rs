//! `contacts-identity`: phone numbers and the platform's ids of contacts, for plugins that were
//! granted them. Nothing else gives them to a plugin.

use super::answer::{Answer, HostError, answer};
use super::host_state::HostState;
use crate::bindings::latest::contacts_identity::{Host, Identity};
use beadle_model::phone::{WrittenNumber, other_spelling};
use beadle_model::{Alias, AliasKind, Refusal};

impl Host for HostState {
    async fn get(&mut self, contact: String) -> Answer<Vec<Identity>> {
        self.enter()?;
        answer(self.identities(&contact))
    }

    async fn find(&mut self, phone: String) -> Answer<Option<String>> {
        self.enter()?;
        answer(self.contact_with_number(&phone))
    }
}

impl HostState {
    fn identities(&self, contact: &str) -> Result<Vec<Identity>, HostError> {
        let contact = self.known_contact(contact)?.id;
        let identity = |(alias, since): (Alias, beadle_model::Timestamp)| Identity {
            kind: alias.kind.name().into(),
            value: alias.value,
            since: since.as_ms(),
        };
        Ok(self.facts.reader.aliases_of(contact)?.into_iter().map(identity).collect())
    }

    fn contact_with_number(&self, phone: &str) -> Result<Option<String>, HostError> {
        self.event()?;
        let number = WrittenNumber::parse(phone).map(|number| number.digits).ok_or_else(|| {
            Refusal::new("bad-phone", "This is not a phone number.")
                .instead("A number has 8 to 15 digits with its country code: `+31 6 12345678`.")
        })?;
        for value in other_spelling(&number).into_iter().chain([number]) {
            for kind in [AliasKind::Phone, AliasKind::WaId] {
                if let Some(found) = self.facts.reader.contact_by_alias(&Alias { kind, value: value.clone() })? {
                    return Ok(Some(found.to_string()));
                }
            }
        }
        Ok(None)
    }
}
