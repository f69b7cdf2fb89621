//! Conversions of refusals and JSON errors into failures, so that `?` ends a handling, and of
//! people and conversations into scopes.

use crate::types::{Contact, Conversation, Failure, Refusal, Scope};

impl Refusal {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), instead: None }
    }
}

/// A refusal that the handler does not treat would be the same in the next attempt, so the plugin
/// gives up.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let mut reason = refusal.message;
        reason.push_str(" (");
        reason.push_str(&refusal.code);
        reason.push(')');
        Failure::GiveUp(reason)
    }
}

/// JSON that cannot be read or written now cannot be later either.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::GiveUp(error.to_string())
    }
}

/// The scope of a person.
impl From<&Contact> for Scope {
    fn from(contact: &Contact) -> Self {
        Scope::Contact(contact.id.clone())
    }
}

/// The scope of a conversation.
impl From<&Conversation> for Scope {
    fn from(conversation: &Conversation) -> Self {
        Scope::Conversation(conversation.id.clone())
    }
}

impl Conversation {
    /// Whether the 24-hour window is open at this time.
    pub fn is_open(&self, now: i64) -> bool {
        self.window_closes_at.is_some_and(|closes_at| now < closes_at)
    }
}
