//! The dispatcher: from the inbox's feed into lanes.
//!
//! It fixes the subscribers of each event: the current ones, or after a restart those that it had.
//! `admission` decides how much is in flight at once. It is one loop, which ends when the pipeline
//! drains.

use crate::admission::{Admission, Ticket};
use crate::chain::Chains;
use crate::context::{Context, NotStored, Phase};
use crate::run::{EventRun, Subscriber};
use crate::subscriptions::SubscriptionsReceiver;
use beadle_model::{EventId, PluginNo};
use beadle_store::step::FeedItem;
use beadle_store::{Feed, StoreError};
use beadle_tasks::Heartbeat;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Read from the feed at once: one group commit's worth.
const AT_ONCE: usize = 512;
/// How often the watermark is written, and how often an idle loop shows that it is alive. Real
/// time.
const BEAT: Duration = Duration::from_secs(1);

pub(crate) struct Dispatcher {
    pub context: Arc<Context>,
    pub subscriptions: SubscriptionsReceiver,
    pub admission: Admission,
    pub chains: Chains,
}

/// The pipeline is stopping.
struct Stopping;

impl Dispatcher {
    /// Waits until the plugins are known, so that no event passes one that is still being loaded;
    /// then reads the feed, and deferred events, until the pipeline drains.
    pub async fn run(mut self, mut feed: Feed, heartbeat: Heartbeat) {
        let context = Arc::clone(&self.context);
        tokio::select! {
            () = self.work(&mut feed, &heartbeat) => {}
            () = context.reached(Phase::Draining) => {}
        }
    }

    async fn work(&mut self, feed: &mut Feed, heartbeat: &Heartbeat) {
        let mut beat = tokio::time::interval(BEAT);
        while !self.subscriptions.borrow().is_known() {
            heartbeat.beat();
            tokio::select! {
                _ = beat.tick() => {}
                changed = self.subscriptions.changed() => if changed.is_err() { return },
            }
        }
        let mut next = EventId(1);
        loop {
            heartbeat.beat();
            let (ready, work) = self.admission.next_ready(AT_ONCE);
            if !ready.is_empty() {
                // The store may fail for any length of time.
                if heartbeat.idle(self.resume_deferred(ready)).await.is_err() {
                    return;
                }
                drop(work);
                continue;
            }
            let left = self.admission.left().min(AT_ONCE);
            let fed = tokio::select! {
                biased;
                _ = beat.tick() => {
                    self.write_watermark(next).await;
                    continue;
                }
                () = self.admission.capacity_freed() => continue,
                fed = feed.next(left), if left > 0 => fed,
            };
            if fed.is_empty() {
                // The store was closed while the pipeline runs: its writer has failed.
                return self.context.fail(&StoreError::Closed);
            }
            for fed in fed {
                next = EventId(fed.event.id.0 + 1);
                if fed.event.kind().changes_membership() {
                    // Schedules in the zones of members may be due earlier now.
                    self.context.timers_changed.ring();
                }
                let bytes = fed.bytes;
                let Ok(run) = heartbeat.idle(self.begin(fed)).await else { return };
                if let Some(ticket) = self.admission.admit(run.event.id, bytes, run.lane(), run.chain_plugins()) {
                    self.chains.enqueue(run.with_ticket(ticket));
                }
            }
        }
    }

    /// Reads deferred events that may be in flight now, and puts them into their lanes.
    async fn resume_deferred(&self, tickets: Vec<Ticket>) -> Result<(), Stopping> {
        let ids: Vec<EventId> = tickets.iter().map(Ticket::event).collect();
        let read = self.context.until_stored(|| {
            let (reader, ids) = (self.context.store.reader(), ids.clone());
            // A thread that is gone is no failure of the store: the runtime is shutting down.
            async move {
                tokio::task::spawn_blocking(move || reader.reread_events(&ids)).await.unwrap_or_else(|_| Ok(Vec::new()))
            }
        });
        let mut read: HashMap<EventId, FeedItem> = match read.await {
            Ok(events) => events.into_iter().map(|fed| (fed.event.id, fed)).collect(),
            Err(NotStored::Stopping) => return Err(Stopping),
            Err(NotStored::Refused(error)) => {
                tracing::error!(%error, events = ids.len(), "deferred events unreadable: left unfinished");
                return Ok(());
            }
        };
        for ticket in tickets {
            // One that is missing was deleted, or cannot be read, which the store has reported.
            let Some(fed) = read.remove(&ticket.event()) else { continue };
            self.chains.enqueue(self.begin(fed).await?.with_ticket(ticket));
        }
        Ok(())
    }

    /// Everything below the lowest open event is finished.
    async fn write_watermark(&self, next: EventId) {
        let below = self.admission.lowest().unwrap_or(next);
        if let Err(error) = self.context.store.finished_below(below).await {
            self.context.health.store_failed(&error);
        }
    }

    /// Fixes the subscribers of an event.
    async fn begin(&self, fed: FeedItem) -> Result<EventRun, Stopping> {
        let subscriptions = Arc::clone(&self.subscriptions.borrow());
        if let Some(resume) = fed.resume {
            let subscriber = |no: &PluginNo| Subscriber { no: *no, subscription: subscriptions.get(*no).cloned() };
            let subscribers = resume.subscribers.iter().map(subscriber).collect();
            return Ok(EventRun::resumed(fed.event, subscribers, resume));
        }
        let subscribers: Vec<_> = subscriptions.subscribers(&fed.event.body).into_iter().map(Subscriber::new).collect();
        let numbers: Vec<PluginNo> = subscribers.iter().map(|subscriber| subscriber.no).collect();
        let store = &self.context.store;
        match self.context.until_stored(|| store.subscriber_list(numbers.clone())).await {
            Ok(list) => Ok(EventRun::new(fed.event, subscribers, list)),
            Err(NotStored::Stopping) => Err(Stopping),
            Err(NotStored::Refused(error)) => {
                self.context.fail(&error);
                Err(Stopping)
            }
        }
    }
}
