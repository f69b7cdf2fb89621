//! Answer in the conversation of the event. Granted to all.

use crate::{Message, MessageId, Refusal, host};

/// Sends a text, buttons or a list: `replies::send("Hello.")?`. The id is known before the message has left.
pub fn send(message: impl Message) -> Result<MessageId, Refusal> {
    message.reply()
}

/// Reacts to a message of this conversation (`event.message`); an empty emoji takes it back.
pub fn react(to: &str, emoji: &str) -> Result<MessageId, Refusal> {
    host::replies::react(to, emoji)
}

/// Shows "typing…" until the answer comes, 25 seconds at most; marks the message read.
pub fn show_typing(to: &str) -> Result<(), Refusal> {
    host::replies::show_typing(to)
}

/// Blue ticks for this message and those before it.
pub fn mark_read(message: &str) -> Result<(), Refusal> {
    host::replies::mark_read(message)
}
