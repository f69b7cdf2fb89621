//! A message or request that a plugin sent, as tests see it.

use crate::bindings::imports::outgoing::{Button, Section};
use crate::types::{ContactId, MessageId};

/// A request of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Names and values of its headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A message that a plugin sent. Equal to a `&str` if that is its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The id that the plugin got.
    pub id: MessageId,
    /// The recipient.
    pub to: ContactId,
    /// The line above the text.
    pub header: Option<String>,
    /// The text, or the emoji of a reaction.
    pub body: String,
    /// The line below the text.
    pub footer: Option<String>,
    /// The buttons.
    pub buttons: Vec<Button>,
    /// The sections of a list.
    pub sections: Vec<Section>,
    /// The message reacted to.
    pub reacts_to: Option<String>,
    /// What the plugin stated that it is for.
    pub purpose: Option<String>,
    /// `text`, `buttons`, `list`, `media`, `template`, `reaction`, …
    pub kind: &'static str,
}

impl PartialEq<&str> for Sent {
    fn eq(&self, body: &&str) -> bool {
        self.body == *body
    }
}
