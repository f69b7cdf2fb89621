//! `contacts`: contacts with Beadle's ids. A plugin sees neither phone numbers nor the platform's
//! ids.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use crate::bindings::contact;
use crate::bindings::latest::contacts::{ContactPage, Host};
use crate::bindings::latest::types as wit;
use crate::limits;
use beadle_model::{ContactId, Refusal, Role};

impl Host for HostState {
    async fn get(&mut self, id: String) -> Answer<Option<wit::Contact>> {
        self.enter()?;
        answer(self.contact(&id))
    }

    async fn page(&mut self, after: Option<String>, limit: u32) -> Answer<ContactPage> {
        self.enter()?;
        answer(self.contact_page(after.as_deref(), limit))
    }

    async fn with_role(&mut self, role: String) -> Answer<Vec<wit::Contact>> {
        self.enter()?;
        answer(self.contacts_with_role(&role))
    }
}

impl HostState {
    fn contact(&self, id: &str) -> Result<Option<wit::Contact>, HostError> {
        self.event()?;
        let id = id.parse().map_err(bad_id)?;
        Ok(self.facts.reader.contact(id)?.as_ref().map(contact))
    }

    fn contacts_with_role(&self, name: &str) -> Result<Vec<wit::Contact>, HostError> {
        self.event()?;
        let role = Role::named(name).filter(|role| *role != Role::Member).ok_or_else(|| {
            Refusal::new("bad-role", format!("`{name}` is not a role that can be listed."))
                .instead("Members are everyone else: use `page`.")
        })?;
        Ok(self.facts.reader.contacts_with_role(role, limits::PAGE_CONTACTS)?.iter().map(contact).collect())
    }

    fn contact_page(&self, after: Option<&str>, limit: u32) -> Result<ContactPage, HostError> {
        self.event()?;
        let after: Option<ContactId> = after.map(|after| after.parse().map_err(bad_id)).transpose()?;
        let limit = (limit as usize).clamp(1, limits::PAGE_CONTACTS);
        let found = self.facts.reader.contacts(after, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|last| last.id.to_string());
        Ok(ContactPage { contacts: found.iter().map(contact).collect(), next })
    }
}
