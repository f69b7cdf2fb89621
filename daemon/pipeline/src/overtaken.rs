//! Events that were overtaken: by the time a plugin could be asked they are not so any more.
//!
//! An event stays in the inbox, and is looked at again right before each try to give it to a plugin. So far there is one
//! kind: a window that is about to close may have been renewed, or have closed, while the event waited for its lane or for
//! a plugin that failed. Then nobody is asked: it ends as passed.

use crate::spine::Spine;
use beadle_model::{Event, EventBody};

impl Spine {
    /// Whether it is not so any more.
    pub fn is_overtaken(&self, event: &Event) -> bool {
        let (EventBody::WindowExpiring { closes_at, .. }, Some(then)) = (&event.body, &event.conversation) else {
            return false;
        };
        let now = self.clock.now();
        match self.store.reader().conversation(then.id) {
            Ok(conversation) => {
                let until = conversation.and_then(|conversation| conversation.window_until);
                let overtaken = until != Some(*closes_at) || now >= *closes_at;
                if overtaken {
                    tracing::debug!(event = %event.id, %closes_at, "A window was renewed or has closed before this could be told.");
                }
                overtaken
            }
            // The gate looks at every message once more: better told too late than not.
            Err(error) => {
                tracing::warn!(event = %event.id, %error, "Whether a window is still about to close could not be read: {error}.");
                false
            }
        }
    }
}
