//! Messages to any contact or conversation: of any kind inside the 24-hour window, a template or
//! Direct Send outside. Must be granted.

pub use crate::bindings::imports::messages::{Allowed, Candidate};

use crate::host;
use crate::message::{Direct, Message};
use crate::types::{MessageId, Refusal};

/// Sends to a contact (`con_…`), on the channel on which they wrote last, or to a conversation
/// (`cnv_…`).
pub fn send(to: &str, message: impl Message) -> Result<MessageId, Refusal> {
    message.send_to(to, None)
}

/// Sends to a contact on a channel of the configuration.
pub fn send_on(channel: &str, to: &str, message: impl Message) -> Result<MessageId, Refusal> {
    message.send_to(to, Some(channel))
}

/// Sends to a contact by Direct Send, on the channel on which they wrote last: also outside the
/// window, and without an approved template. The platform refuses it (code 100) for accounts for
/// which it is not enabled.
pub fn send_direct(to: &str, message: &Direct) -> Result<MessageId, Refusal> {
    host::messages::send_direct(to, None, message)
}

/// Sends to a contact by Direct Send on a channel of the configuration.
pub fn send_direct_on(channel: &str, to: &str, message: &Direct) -> Result<MessageId, Refusal> {
    host::messages::send_direct(to, Some(channel), message)
}

/// What can be sent to a contact or conversation now: messages of any kind until some time, and
/// templates. The refusal, such as `opted-out`, if nothing can.
pub fn allowed_for(to: &str) -> Result<Allowed, Refusal> {
    host::messages::allowed_for(to, None)
}
