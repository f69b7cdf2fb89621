//! Windows: plugins are told that one is about to close, and that it has closed.
//!
//! One loop asks the store which windows are due for a look, earliest first, and lets what there is to tell become events,
//! in one transaction each time. It waits for the earliest of them, and is rung when a window was opened that is due before
//! that. Ten million open windows are rows and an index; in memory there is the next moment.
//!
//! After an outage what has ended meanwhile is told as closed, late; of what is still open the shortest lead time that has
//! come. Lead times that change are brought into the rows a slice at a time, between looks.
//!
//! It is not: what a window is, or what there is to tell of it (`beadle_model::window`), nor the rule what may be sent when
//! it has closed (`gate`).

use crate::{BEAT, DISK_PAUSE};
use beadle_clock::{Alarm, Clock};
use beadle_model::{Leads, Timestamp};
use beadle_store::step::WindowNews;
use beadle_store::{Store, StoreError};
use tokio::sync::watch;

/// Windows in one transaction. Each is a row of another page, perhaps one that has to be read from a slow disk, while all
/// else that is to be written waits: a few milliseconds at worst.
const AT_ONCE: usize = 128;

/// What the loop works with.
pub struct Windows {
    /// Where they are.
    pub store: Store,
    /// Civil time.
    pub clock: Clock,
    /// Rung when one was opened that is due before what is waited for, and when the lead times are others.
    pub changed: Alarm,
    /// The lead times, as they are configured now.
    pub leads: watch::Receiver<Leads>,
    /// What somebody who runs wants to hear. What nobody wants to hear is noted and not told.
    pub news: Box<dyn Fn() -> WindowNews + Send + Sync>,
}

impl Windows {
    /// Until it is dropped.
    pub async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(next_due) => self.changed.wait(next_due, BEAT).await,
                Err(error) if error.is_fatal() => return,
                Err(error) => {
                    tracing::warn!(%error, "Windows that close could not be noted; they are told of when they can: {error}.");
                    tokio::time::sleep(DISK_PAUSE).await;
                }
            }
        }
    }

    /// Looks at all that are due. Returns when the next one is.
    async fn look(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let mut arming = true;
        loop {
            if arming {
                let leads = self.leads.borrow_and_update().clone();
                arming = self.store.arm_windows(leads, AT_ONCE).await?;
            }
            let looked = self.store.look_at_windows(self.clock.now(), (self.news)(), AT_ONCE).await?;
            if looked.looked < AT_ONCE && !arming {
                return Ok(looked.next_due);
            }
        }
    }
}
