//! Replay: events that were kept on disk for a plugin are handled when it is available again, in
//! order, a few at a time.
//!
//! One task per plugin with a backlog puts events from its front into their lanes; when the last
//! one is there, new events go straight to the lanes as before. The counts are `backlog`'s. On disk
//! a backlog is bounded by retention.

use crate::backlog::Backlogs;
use crate::breaker::is_over;
use crate::caught::caught;
use crate::context::{Context, Phase};
use crate::executor::Executor;
use crate::lane::Lanes;
use crate::policy::Availability;
use crate::run::EventRun;
use crate::subscriptions::{Subscription, SubscriptionsReceiver};
use beadle_clock::Alarm;
use beadle_model::{EventId, PluginNo};
use beadle_store::StoreError;
use beadle_store::step::WaitingHandling;
use beadle_tasks::Heartbeat;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Events of one plugin that are back at once: as many lanes as keep the guest threads busy, and
/// little memory.
const AT_ONCE: usize = 64;
/// A read that failed is repeated after this. Real time: a sick disk does not follow the calendar.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// Each loop also looks by itself this often, against a missed alarm. Real time.
const BEAT: Duration = Duration::from_secs(60);

/// Replays backlogs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Replay {
    pub context: Arc<Context>,
    pub subscriptions: SubscriptionsReceiver,
    pub backlogs: Arc<Backlogs>,
    pub lanes: Lanes,
    pub executor: Arc<Executor>,
}

impl Replay {
    /// Runs until the pipeline drains.
    pub async fn run(mut self, heartbeat: Heartbeat) {
        let context = Arc::clone(&self.context);
        tokio::select! {
            () = self.work(&heartbeat) => {}
            () = context.reached(Phase::Draining) => {}
        }
    }

    async fn work(&mut self, heartbeat: &Heartbeat) {
        let known = self.subscriptions.wait_for(|subscriptions| subscriptions.is_known());
        if heartbeat.idle(known).await.is_err() {
            return;
        }
        // After a restart of this task nothing is being replayed.
        self.backlogs.reset();
        let mut plugins = JoinSet::new();
        loop {
            for (no, changed) in self.backlogs.begin_all() {
                let replay = self.clone();
                plugins.spawn(async move { replay.replay(no, &changed).await });
            }
            let ended = heartbeat.idle(async {
                tokio::select! {
                    () = self.backlogs.begun().wait(None, BEAT) => None,
                    ended = plugins.join_next(), if !plugins.is_empty() => ended,
                }
            });
            if let Some(Err(panic)) = ended.await
                && panic.is_panic()
            {
                // The supervisor starts this task again, and with it the replay of every plugin.
                std::panic::resume_unwind(panic.into_panic());
            }
        }
    }

    /// Runs until nothing is kept for this plugin.
    async fn replay(mut self, no: PluginNo, changed: &Alarm) {
        loop {
            let subscription = self.subscriptions.borrow_and_update().get(no).cloned();
            let Some(subscription) = subscription else {
                tokio::select! {
                    () = changed.wait(None, BEAT) => {}
                    _ = self.subscriptions.changed() => self.subscriptions.mark_changed(),
                }
                continue;
            };
            let mut availability = subscription.slot.changes();
            let back = self.backlogs.replayed(no);
            let now = self.context.clock.now();
            let (most, until) = match subscription.slot.availability() {
                Availability::Available => (AT_ONCE, None),
                // One event is the trial; others would only be kept again.
                Availability::Resting { until, .. } if is_over(until, now) => (1, None),
                Availability::Resting { until, .. } => (0, Some(until)),
                Availability::OnTrial { .. } | Availability::Suspended(_) | Availability::Disabled => (0, None),
            };
            let free = most.saturating_sub(back.len());
            let waiting = if free == 0 { Ok(Vec::new()) } else { self.read(no, back, free).await };
            match waiting {
                Ok(waiting) if waiting.is_empty() => {
                    if free > 0 && self.backlogs.end(no) {
                        return;
                    }
                    tokio::select! {
                        () = changed.wait(until, BEAT) => {}
                        _ = availability.changed() => {}
                        _ = self.subscriptions.changed() => self.subscriptions.mark_changed(),
                    }
                }
                Ok(waiting) => {
                    for waiting in waiting {
                        if let Err(error) = self.put_back(&subscription, waiting).await {
                            self.context.health.store_failed(&error);
                            tokio::time::sleep(READ_AGAIN).await;
                            break;
                        }
                    }
                }
                Err(error) => {
                    self.context.health.store_failed(&error);
                    tokio::time::sleep(READ_AGAIN).await;
                }
            }
        }
    }

    async fn read(
        &self,
        no: PluginNo,
        but: BTreeSet<EventId>,
        most: usize,
    ) -> Result<Vec<WaitingHandling>, StoreError> {
        let reader = self.context.store.reader();
        let read = tokio::task::spawn_blocking(move || reader.waiting_handlings(no, &but, most)).await;
        // A thread that is gone means that the runtime is shutting down.
        read.unwrap_or_else(|_| Ok(Vec::new()))
    }

    async fn put_back(&self, subscription: &Arc<Subscription>, waiting: WaitingHandling) -> Result<(), StoreError> {
        let (no, event) = (subscription.no(), waiting.event.id);
        let list = self.context.store.subscriber_list(vec![no]).await?;
        let run = Arc::new(EventRun::waiting(waiting, Arc::clone(subscription), list));
        let lane = run.lane_of(0);
        self.backlogs.replaying(no, event);
        let (executor, backlogs) = (Arc::clone(&self.executor), Arc::clone(&self.backlogs));
        self.lanes.push(lane, async move {
            // A panic that it does not record leaves the event on disk, and it is replayed again.
            drop(caught(executor.handle(&run, 0, lane)).await);
            backlogs.done(no, event);
        });
        self.backlogs.in_lane(no);
        Ok(())
    }
}
