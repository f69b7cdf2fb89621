//! Answers in the conversation of the event. Granted by default.

use crate::host;
use crate::message::Message;
use crate::types::{MessageId, Refusal};

/// Sends a message: `replies::send("Hello.")?`. The id is known before the message is sent.
pub fn send(message: impl Message) -> Result<MessageId, Refusal> {
    message.reply()
}

/// Reacts to a message of this conversation (`event.message`). An empty emoji removes the reaction.
pub fn react(to: &str, emoji: &str) -> Result<MessageId, Refusal> {
    host::replies::react(to, emoji)
}

/// Shows a typing indicator until the answer arrives, at most 25 seconds. Also marks the message as
/// read.
pub fn show_typing(to: &str) -> Result<(), Refusal> {
    host::replies::show_typing(to)
}

/// Marks this message and all earlier ones as read.
pub fn mark_read(message: &str) -> Result<(), Refusal> {
    host::replies::mark_read(message)
}
