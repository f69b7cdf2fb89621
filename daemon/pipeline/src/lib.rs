//! The spine: inbox, dispatch, chains, outbox.
//!
//! An event comes in at [`Inbox::receive`], is durable when that returns, and goes one way: dispatch puts it into a lane,
//! the chain asks its plugins, each handling is one commit, and what is to leave goes through the outbox and a
//! [`Channel`]. Nothing below calls anything above; the store and the sandbox know nothing of this crate, and a platform
//! is known only by its port.
//!
//! What bounds it: the events on their way (`dispatch`), the rows in memory (`outbox`), the writer's queue (the store).
//! Past each bound things wait on disk, or the platform keeps them.
//!
//! It is not: the place where plugins are loaded (`catalog`), where time makes events (`schedule`), or where WhatsApp's
//! JSON is read (`whatsapp`).

mod admission;
mod aside;
mod backlog;
mod breaker;
mod chain;
pub mod channel;
mod dispatch;
mod handling;
pub mod health;
mod inbox;
mod lane;
pub mod outbox;
mod overtaken;
mod retry;
mod run;
mod slot;
mod spine;
mod subscriptions;

pub use admission::IN_FLIGHT;
pub use channel::{Advice, Channel, SendRequest, SendResponse};
pub use inbox::{Delivery, Inbox, InboxError};
pub use outbox::Settings as OutboxSettings;
pub use slot::{ActiveRevision, Availability, Paused, PluginSlot, Probation, SlotUsage, Suspension};
pub use spine::Phase;
pub use subscriptions::{OnFailure, Stage, Subscription, Subscriptions};

use admission::Admission;
use backlog::Backlogs;
use beadle_clock::{Alarm, Clock};
use beadle_model::{EventId, PluginNo};
use beadle_store::{Store, StoreError};
use beadle_tasks::{TaskKind, Tasks};
use health::Health;
use outbox::Outbox;
use run::{Run, Subscriber};
use spine::Spine;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Every code that an error of this crate can carry besides those of the store; `beadle explain` has a page for each.
pub const CODES: [&str; 10] = [
    "shutting-down",
    "stale",
    "outcome-unknown",
    "platform-unreachable",
    "platform-no-response",
    "unknown-channel",
    "plugin-resting",
    "plugin-suspended",
    "plugin-disabled",
    "plugin-backlog",
];

/// The running pipeline. Cheap to clone; it runs until it is drained.
#[derive(Clone)]
pub struct Pipeline {
    spine: Arc<Spine>,
    room: Admission,
    listeners: watch::Sender<Arc<[PluginNo]>>,
}

impl Pipeline {
    /// Starts the loops. Until [`Pipeline::set_subscriptions`] is called nobody takes part and nothing is dispatched, so that no
    /// event passes plugins that are still being loaded; sending starts at once.
    ///
    /// # Errors
    /// The store cannot tell what waits for whom.
    pub fn start(
        store: Store,
        clock: Clock,
        tasks: Tasks,
        settings: OutboxSettings,
        channels: Vec<Arc<dyn Channel>>,
    ) -> Result<Self, StoreError> {
        let kept = store.reader().waiting_counts()?;
        let (phase, health) = (watch::Sender::new(Phase::Running), Arc::new(Health::default()));
        let (listeners, listening) = watch::channel(Arc::default());
        let outbox = Outbox::new(
            store.clone(),
            clock.clone(),
            Arc::clone(&health),
            settings,
            channels,
            phase.clone(),
            listening,
        );
        let sending = outbox.clone();
        tasks.spawn_once(TaskKind::Outbox, move |heartbeat| outbox::run(sending, heartbeat));
        let room = Admission::new(clock.clone());
        let spine = Spine {
            store,
            lanes: lane::Lanes::new(clock.clone()),
            outbox,
            health,
            timers_changed: clock.alarm(),
            backlogs: Backlogs::new(kept, clock.clone()),
            windows_changed: clock.alarm(),
            clock,
            phase,
            tasks,
            subscriptions: watch::Sender::default(),
        };
        Ok(Self { spine: Arc::new(spine), room, listeners })
    }

    /// Where events come in.
    pub fn inbox(&self) -> Inbox {
        Inbox(Arc::clone(&self.spine))
    }

    /// From now on these take part; events on their way keep those they were dispatched with. The first roster starts
    /// dispatch.
    pub async fn set_subscriptions(&self, subscriptions: Subscriptions) {
        self.listeners.send_replace(subscriptions.status_listeners().into());
        self.spine.subscriptions.send_replace(Arc::new(subscriptions));
        for (no, _) in self.spine.backlogs.counts() {
            self.spine.take_up(no);
        }
        if let Some(feed) = self.spine.store.feed() {
            let (spine, room) = (Arc::clone(&self.spine), self.room.clone());
            self.spine
                .tasks
                .spawn_once(TaskKind::Dispatch, move |heartbeat| dispatch::run(spine, feed, room, heartbeat));
        }
    }

    /// Who takes part.
    pub fn subscriptions(&self) -> Arc<Subscriptions> {
        self.spine.subscriptions()
    }

    /// How it is.
    pub fn health(&self) -> &Health {
        &self.spine.health
    }

    /// What waits to be sent.
    pub fn outbox(&self) -> &Outbox {
        &self.spine.outbox
    }

    /// Events on their way, events that are put off, and lanes that have something in them.
    pub fn in_flight(&self) -> [usize; 3] {
        let (on_their_way, put_off) = self.room.counts();
        [on_their_way, put_off, self.spine.lanes.busy()]
    }

    /// How many events are kept for each plugin that has some.
    pub fn backlog_sizes(&self) -> Vec<(PluginNo, u64)> {
        self.spine.backlogs.counts()
    }

    /// What was kept for a plugin is forgotten.
    pub fn discard_backlog(&self, no: PluginNo) {
        self.spine.backlogs.forget(no);
    }

    /// Rung when a plugin set or moved a timer, for whoever waits for the next one.
    pub fn timers_changed(&self) -> Alarm {
        self.spine.timers_changed.clone()
    }

    /// Rung when a window was opened that is to be looked at before what is waited for.
    pub fn windows_changed(&self) -> Alarm {
        self.spine.windows_changed.clone()
    }

    /// Handles a dead letter's event in its plugin once more, out of order and marked `late`. `false`: the plugin is not
    /// there.
    pub async fn retry_handling(&self, event: EventId, plugin: PluginNo) -> Result<bool, StoreError> {
        let found = self.spine.store.reader().event(event)?;
        let member = self.subscriptions().get(plugin).cloned();
        let (Some(event), Some(member)) = (found, member) else { return Ok(false) };
        let roster = self.spine.store.subscriber_list(vec![plugin]).await?;
        let subscribers = vec![Subscriber { no: plugin, member: Some(member) }];
        let run = Arc::new(Run::new(Arc::new(event), subscribers, roster));
        let (spine, lane) = (Arc::clone(&self.spine), chain::lane_for(&run, 0));
        let work = spine.clock.work();
        tokio::spawn(async move {
            let _work = work;
            spine.handle(&run, 0, lane, true).await
        });
        Ok(true)
    }

    /// Begins nothing new, lets what is on its way finish until the deadline, then ends. `true`: all of it finished;
    /// what did not is on disk and goes on after the next start.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.spine.phase.send_if_modified(|phase| {
            let earlier = *phase < Phase::Draining;
            if earlier {
                *phase = Phase::Draining;
            }
            earlier
        });
        let finished = tokio::time::timeout(deadline, async {
            while self.spine.lanes.busy() > 0 {
                // There is no bell for the last lane; the end of a daemon is no hot path. Real time.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.spine.outbox.drained().await;
        });
        let finished = finished.await.is_ok();
        self.spine.phase.send_replace(Phase::Stopping);
        self.spine.tasks.stop(&[TaskKind::Dispatch, TaskKind::Outbox]).await;
        finished
    }
}
