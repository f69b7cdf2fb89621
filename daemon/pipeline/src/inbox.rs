//! The way in: what a channel normalised becomes durable here, and only then does the platform hear "200".
//!
//! Back-pressure is a refusal: when the writer's queue is full, the disk is full, or too much waits to be dispatched, the
//! caller gets an error that is a 503 to the platform, which keeps the events and brings them again for seven days. That
//! is better than any queue of ours.

use crate::spine::{Phase, Spine};
use beadle_model::{Blame, Coded, WebhookId};
use beadle_store::StoreError;
use beadle_store::step::{Appended, Batch, NewEvent, NewRejectedWebhook, Receipt};
use std::sync::Arc;

/// Where events come in. Cheap to clone.
#[derive(Clone)]
pub struct Inbox(pub(crate) Arc<Spine>);

/// What one webhook brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// In the order they are to have.
    pub events: Vec<NewEvent>,
    /// Applied after the events.
    pub receipts: Vec<Receipt>,
    /// What could not be understood.
    pub letters: Vec<NewRejectedWebhook>,
    /// It was read from this letter, which is gone with it.
    pub read_from: Option<WebhookId>,
}

/// What could not be taken in; the platform is to bring it again.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// We are on our way out.
    #[error("the daemon is stopping; the platform keeps the event and brings it again")]
    Stopping,
    /// The store did not take it.
    #[error("the inbox did not take it: {0}")]
    Store(#[from] StoreError),
}

impl Coded for InboxError {
    fn code(&self) -> &'static str {
        match self {
            InboxError::Stopping => "shutting-down",
            InboxError::Store(error) => error.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            InboxError::Stopping => Blame::Host,
            InboxError::Store(error) => error.blame(),
        }
    }

    fn retried(&self) -> bool {
        // Not by us: by the platform.
        true
    }
}

impl Inbox {
    /// Takes in what one webhook brought: durable when this returns `Ok`. Events that had come before are counted and
    /// change nothing.
    pub async fn receive(&self, delivery: Delivery) -> Result<Appended, InboxError> {
        let Delivery { events, receipts, letters, read_from } = delivery;
        let spine = &self.0;
        if *spine.phase.borrow() == Phase::Stopping {
            return Err(InboxError::Stopping);
        }
        let subscriptions = spine.subscriptions();
        let batch = Batch { events, receipts, rejected: letters, read_from, interest: subscriptions.interest() };
        let mut appended = spine.store.append(batch).await.inspect_err(|error| spine.health.refused(error))?;
        spine.health.received(&appended);
        spine.outbox.received(&appended.received);
        spine.outbox.take_over(std::mem::take(&mut appended.queued));
        if let Some(due_at) = appended.window_due {
            spine.windows_changed.ring_before(due_at);
        }
        Ok(appended)
    }
}
