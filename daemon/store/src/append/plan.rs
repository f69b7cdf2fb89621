//! What to append for one event.

use beadle_model::{ContactId, ConversationId, EventBody};

/// Where to append an event, and what to append around it in the same transaction.
pub(super) struct AppendPlan {
    pub(super) conversation: Option<ConversationId>,
    pub(super) contact: Option<ContactId>,
    /// Events to append before it.
    pub(super) before: Vec<EventBody>,
    /// An event to append after it.
    pub(super) after: Option<EventBody>,
    /// Whether the reserved word changed something, so that its reply is sent.
    pub(super) answers: bool,
}

impl AppendPlan {
    /// Nothing around it.
    pub(super) fn plain(conversation: Option<ConversationId>, contact: Option<ContactId>) -> Self {
        Self { conversation, contact, before: Vec::new(), after: None, answers: false }
    }
}
