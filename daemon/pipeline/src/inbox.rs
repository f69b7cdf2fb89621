//! The inbox: makes durable what a channel normalised. Only then does the platform get its 200.
//!
//! Back-pressure is a refusal. When the writer's queue or the disk is full the caller gets an
//! error, which is a 503 to the platform; the platform keeps the events and repeats them for seven
//! days, longer than any queue of ours could.

use crate::append::{Appender, Delivery};
use crate::context::Phase;
use crate::outbox::Outbox;
use beadle_model::{Blame, Coded};
use beadle_store::StoreError;
use beadle_store::step::Appended;

/// Where events come in. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    appender: Appender,
    outbox: Outbox,
}

/// Why a delivery was not accepted; the platform repeats it.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The daemon is shutting down.
    #[error("the daemon is shutting down; the platform keeps the event and repeats it")]
    Stopping,
    /// The store did not accept it.
    #[error("the event could not be stored: {0}")]
    Store(#[from] StoreError),
}

impl InboxError {
    /// Whether the same delivery would fail again, however often the platform repeats it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, InboxError::Store(error) if error.is_refusal())
    }
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
        // By the platform.
        true
    }
}

impl Inbox {
    pub(crate) fn new(appender: Appender, outbox: Outbox) -> Self {
        Self { appender, outbox }
    }

    /// Takes in one webhook; it is durable when this returns `Ok`. Known events are counted and
    /// change nothing.
    pub async fn receive(&self, delivery: Delivery) -> Result<Appended, InboxError> {
        let context = &self.appender.context;
        if context.phase() == Phase::Stopping {
            return Err(InboxError::Stopping);
        }
        let appended = self.appender.append(delivery).await.inspect_err(|error| {
            if !error.is_refusal() {
                context.health.refused(error);
            }
        })?;
        self.outbox.received(&appended);
        Ok(appended)
    }
}
