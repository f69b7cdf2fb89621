//! Write first, to a contact: inside their window anything, outside it a template or by Direct Send. Must be granted.

use crate::{Direct, Message, MessageId, Refusal, host};

/// Sends to a contact (`con_…`) on the channel they wrote on last.
pub fn send(to: &str, message: impl Message) -> Result<MessageId, Refusal> {
    message.send_to(to, None)
}

/// Sends to a contact on this channel of the configuration.
pub fn send_on(channel: &str, to: &str, message: impl Message) -> Result<MessageId, Refusal> {
    message.send_to(to, Some(channel))
}

/// Sends to a contact by Direct Send, on the channel they wrote on last: outside their window too, and without a template
/// that was made beforehand. Accounts that may not do so are refused by the platform (code 100).
pub fn send_direct(to: &str, message: &Direct) -> Result<MessageId, Refusal> {
    host::messages::send_direct(to, None, message)
}

/// The same, on this channel of the configuration.
pub fn send_direct_on(channel: &str, to: &str, message: &Direct) -> Result<MessageId, Refusal> {
    host::messages::send_direct(to, Some(channel), message)
}
