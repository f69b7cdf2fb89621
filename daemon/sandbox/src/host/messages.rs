//! `messages`: write first, to a contact, in the conversation that is there.

use super::outgoing::Sendable;
use super::{Answer, HostState, No, answer, bad_id};
use crate::abi::latest::messages::Host;
use crate::abi::latest::outgoing;
use beadle_model::{ContactId, ConversationId, Refusal};

impl Host for HostState {
    async fn send_text(&mut self, to: String, channel: Option<String>, message: outgoing::Text) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_buttons(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::Buttons,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_list(&mut self, to: String, channel: Option<String>, message: outgoing::List) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_media(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::MediaMessage,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_location(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::LocationMessage,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_contacts(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::ContactsMessage,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_cta_url(&mut self, to: String, channel: Option<String>, message: outgoing::CtaUrl) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_location_request(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::LocationRequest,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_contact_request(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::ContactRequest,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_flow(&mut self, to: String, channel: Option<String>, message: outgoing::Flow) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_product(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::Product,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_product_list(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::ProductList,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_catalog(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::Catalog,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_interactive(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::Interactive,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_template(
        &mut self,
        to: String,
        channel: Option<String>,
        message: outgoing::Template,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }

    async fn send_direct(&mut self, to: String, channel: Option<String>, message: outgoing::Direct) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message))
    }
}

impl HostState {
    fn write_first(&mut self, to: &str, channel: Option<&str>, message: impl Sendable) -> Result<String, No> {
        self.event()?;
        let body = message.outgoing()?;
        if to.starts_with("cnv_") {
            let id: ConversationId = to.parse().map_err(bad_id)?;
            let found = self.facts.reader.conversation(id)?;
            let unknown = || Refusal::new("no-conversation", format!("There is no conversation {id}."));
            return self.send(&found.ok_or_else(unknown)?, body, false);
        }
        let contact: ContactId = to.parse().map_err(bad_id)?;
        match self.facts.reader.conversation_with(contact, channel)? {
            Some(conversation) => self.send(&conversation, body, false),
            None if self.facts.reader.contact(contact)?.is_none() => {
                Err(Refusal::new("unknown-contact", format!("Nobody is known as {contact}.")).into())
            }
            None => {
                let channel = channel.map(|channel| format!(" on channel `{channel}`")).unwrap_or_default();
                Err(Refusal::new("no-conversation", format!("{contact} never wrote{channel}, so there is no window."))
                    .instead("Wait until they write.")
                    .into())
            }
        }
    }
}
