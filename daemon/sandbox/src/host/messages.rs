//! `messages`: write first, to a contact, in the conversation that is there.

use super::{Answer, HostState, No, answer, bad_id};
use crate::abi::latest::messages::Host;
use crate::abi::latest::outgoing::{Buttons, List, Text};
use beadle_model::{ContactId, Outgoing, Refusal};

impl Host for HostState {
    async fn send_text(&mut self, to: String, channel: Option<String>, message: Text) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message.into()))
    }

    async fn send_buttons(&mut self, to: String, channel: Option<String>, message: Buttons) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message.into()))
    }

    async fn send_list(&mut self, to: String, channel: Option<String>, message: List) -> Answer<String> {
        self.enter()?;
        answer(self.write_first(&to, channel.as_deref(), message.into()))
    }
}

impl HostState {
    fn write_first(&mut self, to: &str, channel: Option<&str>, body: Outgoing) -> Result<String, No> {
        self.event()?;
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
