//! `replies`: answers in the conversation of the event.

use super::outgoing::Sendable;
use super::{Answer, HostError, HostState, answer};
use crate::bindings::latest::outgoing;
use crate::bindings::latest::replies::Host;
use beadle_model::{Outgoing, Refusal};
use std::sync::Arc;

/// One function per kind of message.
macro_rules! send {
    ($($function:ident: $message:ident;)*) => {
        $(async fn $function(&mut self, message: outgoing::$message) -> Answer<String> {
            self.enter()?;
            answer(self.reply_with(message))
        })*
    };
}

impl Host for HostState {
    send! {
        send_text: Text;
        send_buttons: Buttons;
        send_list: List;
        send_media: MediaMessage;
        send_location: LocationMessage;
        send_contacts: ContactsMessage;
        send_cta_url: CtaUrl;
        send_location_request: LocationRequest;
        send_contact_request: ContactRequest;
        send_flow: Flow;
        send_product: Product;
        send_product_list: ProductList;
        send_catalog: Catalog;
        send_interactive: Interactive;
        send_template: Template;
    }

    async fn react(&mut self, to: String, emoji: String) -> Answer<String> {
        self.enter()?;
        let body = self.platform_id(&to).map(|to| Outgoing::Reaction { to, emoji });
        answer(body.map_err(HostError::from).and_then(|body| self.reply(body)))
    }

    async fn show_typing(&mut self, to: String) -> Answer<()> {
        self.enter()?;
        let body = self.platform_id(&to).map(|to| Outgoing::Typing { to });
        answer(body.map_err(HostError::from).and_then(|body| self.reply(body)).map(drop))
    }

    async fn mark_read(&mut self, message: String) -> Answer<()> {
        self.enter()?;
        let body = self.platform_id(&message).map(|message| Outgoing::MarkRead { message });
        answer(body.map_err(HostError::from).and_then(|body| self.reply(body)).map(drop))
    }
}

impl HostState {
    fn reply_with(&mut self, message: impl Sendable) -> Result<String, HostError> {
        let body = message.into_outgoing(self)?;
        self.reply(body)
    }

    fn reply(&mut self, body: Outgoing) -> Result<String, HostError> {
        let conversation = self.event()?.conversation.as_ref().map(Arc::clone).ok_or_else(|| {
            Refusal::new("no-conversation", "This event belongs to no conversation, so there is none to reply in.")
                .instead("Write to a contact with `messages`, which must be granted.")
        })?;
        self.send(&conversation, body, true)
    }
}
