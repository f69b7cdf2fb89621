//! `replies`: answers in the conversation of the event. `messages`: messages to any contact or
//! conversation.
//!
//! Both have a function for each kind of message; what else differs between them is where it goes.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use super::outgoing::Sendable;
use crate::bindings::latest::{messages, outgoing, replies};
use beadle_model::effect::SendOptions;
use beadle_model::{ContactId, ConversationId, ConversationView, Outgoing, Refusal};
use std::sync::Arc;

/// The maximum length of the key of a message.
const MAX_KEY_BYTES: usize = 100;

/// Implements both for these kinds of messages.
macro_rules! senders {
    ($($function:ident: $message:ident;)*) => {
        impl replies::Host for HostState {
            $(async fn $function(&mut self, message: outgoing::$message) -> Answer<String> {
                self.enter()?;
                answer(self.reply_with(message))
            })*

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

        impl messages::Host for HostState {
            async fn allowed_for(&mut self, to: String, channel: Option<String>) -> Answer<messages::Allowed> {
                self.enter()?;
                answer(self.what_is_allowed(&to, channel.as_deref()))
            }

            $(async fn $function(
                &mut self,
                to: messages::Destination,
                message: outgoing::$message,
            ) -> Answer<String> {
                self.enter()?;
                answer(self.send_to(to, message))
            })*

            async fn send_direct(
                &mut self,
                to: messages::Destination,
                message: outgoing::Direct,
            ) -> Answer<String> {
                self.enter()?;
                answer(self.send_to(to, message))
            }
        }
    };
}

senders! {
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

impl HostState {
    pub fn reply_with(&mut self, message: impl Sendable) -> Result<String, HostError> {
        let body = message.into_outgoing(self)?;
        self.reply(body)
    }

    pub fn reply(&mut self, body: Outgoing) -> Result<String, HostError> {
        let conversation = self.event()?.conversation.as_ref().map(Arc::clone).ok_or_else(|| {
            Refusal::new("no-conversation", "This event belongs to no conversation, so there is none to reply in.")
                .instead("Write to a contact with `messages`, which must be granted.")
        })?;
        self.send(&conversation, body, true, SendOptions::default())
    }

    pub fn send_to(&mut self, to: messages::Destination, message: impl Sendable) -> Result<String, HostError> {
        self.event()?;
        let body = message.into_outgoing(self)?;
        let conversation = self.destination(&to.to, to.channel.as_deref())?;
        self.send(&conversation, body, false, options_of(to)?)
    }

    /// The conversation that a plugin names by its id or by its contact's.
    fn destination(&self, to: &str, channel: Option<&str>) -> Result<ConversationView, HostError> {
        if to.starts_with("cnv_") {
            let id: ConversationId = to.parse().map_err(bad_id)?;
            let unknown = || Refusal::new("no-conversation", format!("There is no conversation {id}."));
            return Ok(self.facts.reader.conversation(id)?.ok_or_else(unknown)?);
        }
        let contact: ContactId = to.parse().map_err(bad_id)?;
        match self.facts.reader.conversation_with(contact, channel)? {
            Some(conversation) => Ok(conversation),
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

    fn what_is_allowed(&self, to: &str, channel: Option<&str>) -> Result<messages::Allowed, HostError> {
        self.event()?;
        let conversation = self.destination(to, channel)?;
        self.check_channel(&conversation.channel)?;
        let allowed = self.facts.gatekeeper.allowed(self.facts.no, &conversation, self.inputs.now())??;
        let candidate = |found: beadle_gatekeeper::Candidate| messages::Candidate {
            name: found.name,
            language: found.language,
            category: found.category,
            parameters: found.parameters,
        };
        Ok(messages::Allowed {
            any_until: allowed.any_until.map(|at| at.as_ms()),
            templates: allowed.templates.into_iter().map(candidate).collect(),
        })
    }
}

/// What a plugin states about a message.
fn options_of(to: messages::Destination) -> Result<SendOptions, Refusal> {
    let purpose = to.purpose.as_deref().map(super::consents::purpose_of).transpose()?;
    if let Some(key) = &to.key
        && !(1..=MAX_KEY_BYTES).contains(&key.len())
    {
        let text = format!("The key of a message must have 1 to {MAX_KEY_BYTES} bytes, not {}.", key.len());
        return Err(Refusal::new("bad-key", text));
    }
    Ok(SendOptions { purpose, key: to.key })
}
