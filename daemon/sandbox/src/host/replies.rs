//! `replies`: answers in the conversation of the event.

use super::outgoing::Sendable;
use super::{Answer, HostState, No, answer};
use crate::abi::latest::outgoing;
use crate::abi::latest::replies::Host;
use beadle_model::{Outgoing, Refusal};
use std::sync::Arc;

impl Host for HostState {
    async fn send_text(&mut self, message: outgoing::Text) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_buttons(&mut self, message: outgoing::Buttons) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_list(&mut self, message: outgoing::List) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_media(&mut self, message: outgoing::MediaMessage) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_location(&mut self, message: outgoing::LocationMessage) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_contacts(&mut self, message: outgoing::ContactsMessage) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_cta_url(&mut self, message: outgoing::CtaUrl) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_location_request(&mut self, message: outgoing::LocationRequest) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_contact_request(&mut self, message: outgoing::ContactRequest) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_flow(&mut self, message: outgoing::Flow) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_product(&mut self, message: outgoing::Product) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_product_list(&mut self, message: outgoing::ProductList) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_catalog(&mut self, message: outgoing::Catalog) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_interactive(&mut self, message: outgoing::Interactive) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn send_template(&mut self, message: outgoing::Template) -> Answer<String> {
        self.enter()?;
        answer(self.answer_with(message))
    }

    async fn react(&mut self, to: String, emoji: String) -> Answer<String> {
        self.enter()?;
        answer(self.reply(Outgoing::Reaction { to, emoji }))
    }

    async fn show_typing(&mut self, to: String) -> Answer<()> {
        self.enter()?;
        answer(self.reply(Outgoing::Typing { to }).map(drop))
    }

    async fn mark_read(&mut self, message: String) -> Answer<()> {
        self.enter()?;
        answer(self.reply(Outgoing::MarkRead { message }).map(drop))
    }
}

impl HostState {
    fn answer_with(&mut self, message: impl Sendable) -> Result<String, No> {
        let body = message.outgoing()?;
        self.reply(body)
    }

    fn reply(&mut self, body: Outgoing) -> Result<String, No> {
        let conversation = self.event()?.conversation.as_ref().map(Arc::clone).ok_or_else(|| {
            Refusal::new("no-conversation", "This event belongs to no conversation, so there is nothing to answer in.")
                .instead("Write to a contact with `messages`, which must be granted.")
        })?;
        self.send(&conversation, body, true)
    }
}
