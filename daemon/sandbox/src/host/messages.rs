//! `messages`: messages to any contact or conversation.

use super::outgoing::Sendable;
use super::{Answer, HostError, HostState, answer, bad_id};
use crate::bindings::latest::messages::Host;
use crate::bindings::latest::outgoing;
use beadle_model::{ContactId, ConversationId, Refusal};

/// One function per kind of message.
macro_rules! send {
    ($($function:ident: $message:ident;)*) => {
        $(async fn $function(
            &mut self,
            to: String,
            channel: Option<String>,
            message: outgoing::$message,
        ) -> Answer<String> {
            self.enter()?;
            answer(self.send_to(&to, channel.as_deref(), message))
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
        send_direct: Direct;
    }
}

impl HostState {
    fn send_to(&mut self, to: &str, channel: Option<&str>, message: impl Sendable) -> Result<String, HostError> {
        self.event()?;
        let body = message.into_outgoing(self)?;
        if to.starts_with("cnv_") {
            let id: ConversationId = to.parse().map_err(bad_id)?;
            let conversation = self.facts.reader.conversation(id)?;
            let unknown = || Refusal::new("no-conversation", format!("There is no conversation {id}."));
            return self.send(&conversation.ok_or_else(unknown)?, body, false);
        }
        let contact: ContactId = to.parse().map_err(bad_id)?;
        match self.facts.reader.conversation_with(contact, channel)? {
            Some(conversation) => self.send(&conversation, body, false),
            None if self.facts.reader.contact(contact)?.is_none() => {
                Err(Refusal::new("unknown-contact", format!("There is no contact {contact}.")).into())
            }
            None => {
                let channel = channel.map(|channel| format!(" on channel `{channel}`")).unwrap_or_default();
                let message = format!("{contact} has never written{channel}, so there is no window.");
                Err(Refusal::new("no-conversation", message).instead("Wait for a message from them.").into())
            }
        }
    }
}
