//! Write first, to a contact inside their window. Must be granted.

use crate::{Message, MessageId, Refusal};

/// Sends to a contact (`con_…`) on the channel they wrote on last.
pub fn send(to: &str, message: impl Message) -> Result<MessageId, Refusal> {
    message.send_to(to, None)
}

/// Sends to a contact on this channel of the configuration.
pub fn send_on(channel: &str, to: &str, message: impl Message) -> Result<MessageId, Refusal> {
    message.send_to(to, Some(channel))
}
