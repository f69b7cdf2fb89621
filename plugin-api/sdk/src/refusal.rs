//! What a "no" becomes when a handler does not answer it: `?` on a refusal ends the handling, and nothing of it is done.

use crate::{Contact, Conversation, Failure, Refusal, Scope};

impl Refusal {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), instead: None }
    }
}

/// A refusal that nobody answered will be the same at the next try.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let mut why = refusal.message;
        why.push_str(" (");
        why.push_str(&refusal.code);
        why.push(')');
        Failure::GiveUp(why)
    }
}

/// What cannot be written or read as JSON now never will be.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::GiveUp(error.to_string())
    }
}

/// What concerns this person.
impl From<&Contact> for Scope {
    fn from(contact: &Contact) -> Self {
        Scope::Contact(contact.id.clone())
    }
}

/// What concerns this conversation.
impl From<&Conversation> for Scope {
    fn from(conversation: &Conversation) -> Self {
        Scope::Conversation(conversation.id.clone())
    }
}

impl Conversation {
    /// Whether it may be written to freely at this time.
    pub fn is_open(&self, now: i64) -> bool {
        self.window_closes_at.is_some_and(|closes_at| now < closes_at)
    }
}
