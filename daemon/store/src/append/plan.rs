//! What to append for one event.

use super::changed::ReportedMerge;
use beadle_model::{ContactId, ConversationId, EventBody, Outgoing};

/// Where to append an event, and what to append around it in the same transaction.
pub(super) struct AppendPlan {
    pub(super) conversation: Option<ConversationId>,
    pub(super) contact: Option<ContactId>,
    /// Events to append before it.
    pub(super) before: Vec<EventBody>,
    /// Events to append after it.
    pub(super) after: Vec<EventBody>,
    /// The reply to its reserved word.
    pub(super) reply: Option<Outgoing>,
    /// The merges of contacts that it reports.
    pub(super) reported_merge: ReportedMerge,
}

impl AppendPlan {
    /// Nothing around it.
    pub(super) fn plain(conversation: Option<ConversationId>, contact: Option<ContactId>) -> Self {
        Self {
            conversation,
            contact,
            before: Vec::new(),
            after: Vec::new(),
            reply: None,
            reported_merge: ReportedMerge::default(),
        }
    }
}
