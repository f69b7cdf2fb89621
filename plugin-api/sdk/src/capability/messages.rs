//! Messages to any contact or conversation: of any kind inside the 24-hour window, a template or
//! Direct Send outside. Must be granted.

pub use crate::bindings::imports::messages::{Allowed, Candidate, Destination};

use crate::host;
use crate::message::{Direct, Message};
use crate::types::{MessageId, Refusal};

/// Sends a message. The destination is a contact (`con_…`), a conversation (`cnv_…`), or one of
/// them with a channel, a purpose or a key ([`to`]).
pub fn send(to: impl Into<Destination>, message: impl Message) -> Result<MessageId, Refusal> {
    message.send_to(&to.into())
}

/// Sends by Direct Send: also outside the window, and without an approved template. The platform
/// refuses it (code 100) for accounts for which it is not enabled.
pub fn send_direct(to: impl Into<Destination>, message: &Direct) -> Result<MessageId, Refusal> {
    host::messages::send_direct(&to.into(), message)
}

/// A destination: a contact, on the channel on which they wrote last, or a conversation.
pub fn to(contact_or_conversation: impl Into<String>) -> Destination {
    Destination { to: contact_or_conversation.into(), channel: None, purpose: None, key: None }
}

impl Destination {
    /// On a channel of the configuration.
    #[must_use]
    pub fn on(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// States what the message is for: `marketing`, `marketing:TOPIC`, `group` or `survey`. It is
    /// refused with `not-opted-in` if the person has not agreed to that.
    #[must_use]
    pub fn purpose(mut self, purpose: impl Into<String>) -> Self {
        self.purpose = Some(purpose.into());
        self
    }

    /// Of the messages of this plugin with the same key (1 to 100 bytes), one is sent; another is
    /// refused with `already-sent`.
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl<T: AsRef<str>> From<T> for Destination {
    fn from(id: T) -> Self {
        to(id.as_ref())
    }
}

/// What can be sent to a contact or conversation now: messages of any kind until some time, and
/// templates. The refusal, such as `opted-out`, if nothing can.
pub fn allowed_for(to: &str) -> Result<Allowed, Refusal> {
    host::messages::allowed_for(to, None)
}
