//! `replies`: answers in the conversation of the event.

use super::{Answer, HostState, No, answer};
use crate::abi::latest::outgoing::{Buttons, List, Text};
use crate::abi::latest::replies::Host;
use beadle_model::{Outgoing, Refusal};
use std::sync::Arc;

impl Host for HostState {
    async fn send_text(&mut self, message: Text) -> Answer<String> {
        self.enter()?;
        answer(self.reply(message.into()))
    }

    async fn send_buttons(&mut self, message: Buttons) -> Answer<String> {
        self.enter()?;
        answer(self.reply(message.into()))
    }

    async fn send_list(&mut self, message: List) -> Answer<String> {
        self.enter()?;
        answer(self.reply(message.into()))
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
    fn reply(&mut self, body: Outgoing) -> Result<String, No> {
        let conversation = self.event()?.conversation.as_ref().map(Arc::clone).ok_or_else(|| {
            Refusal::new("no-conversation", "This event belongs to no conversation, so there is nothing to answer in.")
                .instead("Write to a contact with `messages`, which must be granted.")
        })?;
        self.send(&conversation, body, true)
    }
}
