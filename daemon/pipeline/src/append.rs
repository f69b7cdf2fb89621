//! Appends deliveries to the inbox, with the interest of the current subscriptions: the only place
//! where a batch is made.
//!
//! Whether it comes from a webhook or from the platform's response to a send, the same events of
//! contacts, windows and message status follow from it.

use crate::context::Context;
use crate::subscriptions::SubscriptionsReceiver;
use beadle_model::{TemplateNews, WebhookId};
use beadle_store::StoreError;
use beadle_store::step::{Appended, Batch, NewEvent, NewRejectedWebhook, Receipt, SourceWebhook};
use std::sync::Arc;

/// The contents of one webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// In their order.
    pub events: Vec<NewEvent>,
    /// Applied after the events.
    pub receipts: Vec<Receipt>,
    /// What could not be parsed.
    pub rejected: Vec<NewRejectedWebhook>,
    /// News about templates.
    pub templates: Vec<TemplateNews>,
    /// The rejected webhook that it was read from, which is deleted with it.
    pub read_from: Option<WebhookId>,
    /// For a webhook that the store has refused: itself, so that the rest of it is taken in (see
    /// [`Batch::source`]).
    pub source: Option<SourceWebhook>,
}

/// Appends deliveries. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Appender {
    pub context: Arc<Context>,
    pub subscriptions: SubscriptionsReceiver,
}

impl Appender {
    /// Durable when this returns `Ok`. Known events are counted and change nothing. The caller
    /// passes `queued` and `received` on to the outbox.
    pub async fn append(&self, delivery: Delivery) -> Result<Appended, StoreError> {
        let Delivery { events, receipts, rejected, templates, read_from, source } = delivery;
        let interest = self.subscriptions.borrow().interest().clone();
        let batch = Batch { events, receipts, rejected, templates, read_from, source, interest };
        let appended = self.context.store.append(batch).await?;
        self.context.health.appended(&appended);
        if let Some(due_at) = appended.window_due {
            self.context.windows_changed.ring_before(due_at);
        }
        Ok(appended)
    }
}
