//! The pipeline: from an event in the inbox to a message on the platform.
//!
//! One direction: [`Inbox`] → `dispatcher` (which plugins) → `lane` and `chain` (in which order) →
//! `executor` and `attempt` (one handling: call, retry, commit) → [`outbox`] (queue, send,
//! classify, settle) → [`Channel`]. No stage calls one above it, and no two files import each
//! other. Stages share only `context`; the answer to "who subscribes" is one watch channel of
//! [`Subscriptions`].
//!
//! Every queue is bounded: events in flight (`admission`), effects before their commit (`budget`),
//! messages in memory, a share for each channel (`outbox`), the writer's queue (the store). Past
//! each bound things wait on disk, or the platform keeps them.
//!
//! It does not load plugins (`catalog`), make events by time (`schedule`), or read a platform's
//! JSON (`whatsapp`).

mod admission;
mod append;
mod attempt;
mod backlog;
mod breaker;
mod budget;
mod caught;
mod chain;
pub mod channel;
mod context;
mod dispatcher;
mod executor;
pub mod health;
mod inbox;
mod lane;
pub mod outbox;
mod policy;
mod replay;
mod run;
mod slot;
mod subscriptions;

pub use append::Delivery;
pub use channel::{Acceptance, Advice, Channel, SendRequest, SendResponse};
#[cfg(debug_assertions)]
pub use context::PanicPoint;
pub use context::Phase;
pub use inbox::{Inbox, InboxError};
pub use outbox::Settings as OutboxSettings;
pub use policy::{Availability, Cause, OnFailure, Stage, Suspension};
pub use slot::{ActiveRevision, PluginSlot, Probation, SlotPause, SlotUsage};
pub use subscriptions::{Subscription, Subscriptions, SubscriptionsReceiver};

use admission::Admission;
use append::Appender;
use attempt::Attempts;
use backlog::Backlogs;
use beadle_clock::{Alarm, Clock, Thinned};
use beadle_gatekeeper::Gatekeeper;
use beadle_model::{HandlingId, PluginNo};
use beadle_store::{Store, StoreError};
use beadle_tasks::{TaskKind, Tasks};
use budget::EffectBudget;
use chain::Chains;
use context::Context;
use dispatcher::Dispatcher;
use executor::Executor;
use health::Health;
use lane::Lanes;
use outbox::Outbox;
use parking_lot::Mutex;
use replay::Replay;
use run::{EventRun, Subscriber};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The only retry of a handling, until it is dropped.
#[derive(Debug)]
pub struct HandlingRetry {
    retries: Retries,
    handling: HandlingId,
}

impl Drop for HandlingRetry {
    fn drop(&mut self) {
        self.retries.lock().remove(&self.handling);
    }
}

/// Every code that an error of this crate can carry besides those of the store; `beadle explain`
/// has a page for each.
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
    context: Arc<Context>,
    publish: watch::Sender<Arc<Subscriptions>>,
    inbox: Inbox,
    outbox: Outbox,
    admission: Admission,
    lanes: Lanes,
    executor: Arc<Executor>,
    backlogs: Arc<Backlogs>,
    retries: Retries,
    tasks: Tasks,
}

/// The handlings of dead letters that are being retried.
type Retries = Arc<Mutex<HashSet<HandlingId>>>;

impl Pipeline {
    /// Starts the loops. Until [`Pipeline::publish`] is called nothing is dispatched, so that no
    /// event passes a plugin that is still being loaded; sending starts at once. `publish`: the
    /// channel that everyone reads the subscriptions from.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn start(
        store: Store,
        clock: Clock,
        tasks: Tasks,
        gatekeeper: Gatekeeper,
        settings: OutboxSettings,
        channels: Vec<Arc<dyn Channel>>,
        publish: watch::Sender<Arc<Subscriptions>>,
    ) -> Result<Self, StoreError> {
        let subscriptions = publish.subscribe();
        let backlogs = Arc::new(Backlogs::new(store.reader().waiting_counts()?, clock.clone()));
        let feed = store.feed();
        let lanes = Lanes::new(clock.clone());
        let admission = Admission::new(clock.clone());
        let context = Arc::new(Context::new(store, clock, tasks.clone()));

        let appender = Appender { context: Arc::clone(&context), subscriptions: subscriptions.clone() };
        let outbox = Outbox::new(Arc::clone(&context), appender.clone(), gatekeeper, settings, channels);
        let attempts = Attempts {
            context: Arc::clone(&context),
            subscriptions: subscriptions.clone(),
            outbox: outbox.clone(),
            budget: EffectBudget::default(),
        };
        let executor = Arc::new(Executor {
            context: Arc::clone(&context),
            attempts,
            backlogs: Arc::clone(&backlogs),
            stale_lines: Thinned::every(executor::STALE_LINES_EVERY),
        });
        let chains = Chains::new(Arc::clone(&context), subscriptions.clone(), lanes.clone(), Arc::clone(&executor));
        let replay = Replay {
            context: Arc::clone(&context),
            subscriptions: subscriptions.clone(),
            backlogs: Arc::clone(&backlogs),
            lanes: lanes.clone(),
            executor: Arc::clone(&executor),
        };
        let dispatcher = Dispatcher {
            context: Arc::clone(&context),
            subscriptions: subscriptions.clone(),
            admission: admission.clone(),
            chains,
        };
        let sends = outbox.clone();
        tasks.spawn_once(TaskKind::Outbox, move |heartbeat| sends.dispatch(heartbeat));
        tasks.spawn(TaskKind::Replay, move |heartbeat| replay.clone().run(heartbeat));
        if let Some(feed) = feed {
            tasks.spawn_once(TaskKind::Dispatch, move |heartbeat| dispatcher.run(feed, heartbeat));
        }
        let inbox = Inbox::new(appender, outbox.clone());
        let retries = Retries::default();
        Ok(Self { context, publish, inbox, outbox, admission, lanes, executor, backlogs, retries, tasks })
    }

    /// Where events come in.
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Publishes the subscriptions; events in flight keep their subscribers. The first ones start
    /// the dispatcher.
    pub fn publish(&self, subscriptions: Subscriptions) {
        self.publish.send_replace(Arc::new(subscriptions));
    }

    /// The current subscriptions.
    pub fn subscriptions(&self) -> Arc<Subscriptions> {
        Arc::clone(&self.publish.borrow())
    }

    /// Where the current subscriptions are read.
    pub fn watch_subscriptions(&self) -> SubscriptionsReceiver {
        self.publish.subscribe()
    }

    /// Counters and heartbeats.
    pub fn health(&self) -> &Health {
        &self.context.health
    }

    /// What waits to be sent.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Events in flight, deferred events, and lanes with jobs.
    pub fn in_flight(&self) -> [usize; 3] {
        let (in_flight, deferred) = self.admission.counts();
        [in_flight, deferred, self.lanes.busy()]
    }

    /// How many events are kept for each plugin with a backlog.
    pub fn backlog_sizes(&self) -> Vec<(PluginNo, u64)> {
        self.backlogs.sizes()
    }

    /// Forgets the backlog of a plugin whose events were deleted from the store.
    pub fn discard_backlog(&self, no: PluginNo) {
        self.backlogs.discard(no);
    }

    /// Rung when a plugin set or moved a timer.
    pub fn timers_changed(&self) -> Alarm {
        self.context.timers_changed.clone()
    }

    /// Rung when a plugin created or changed a broadcast.
    pub fn broadcasts_changed(&self) -> Alarm {
        self.context.broadcasts_changed.clone()
    }

    /// Rung when a plugin made a durable request.
    pub fn requests_changed(&self) -> Alarm {
        self.context.requests_changed.clone()
    }

    /// Rung when a window was opened that is due before all others.
    pub fn windows_changed(&self) -> Alarm {
        self.context.windows_changed.clone()
    }

    /// Begins a retry of a handling, so that no other begins. `None`: one is running.
    pub fn begin_retry(&self, handling: HandlingId) -> Option<HandlingRetry> {
        let is_first = self.retries.lock().insert(handling);
        is_first.then(|| HandlingRetry { retries: Arc::clone(&self.retries), handling })
    }

    /// Handles a dead letter's event in its plugin once more, out of order and marked `late`, in
    /// the background. Its commit fails if the dead letter no longer exists. Returns `false` if the
    /// plugin does not take part, or the event is gone.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn retry_handling(&self, retry: HandlingRetry) -> Result<bool, StoreError> {
        let HandlingId { event, plugin } = retry.handling;
        let store = &self.context.store;
        let found = store.read(move |reader| reader.event(event)).await?;
        let subscription = self.subscriptions().get(plugin).cloned();
        let (Some(event), Some(subscription)) = (found, subscription) else { return Ok(false) };
        let list = store.subscriber_list(vec![plugin]).await?;
        let run = Arc::new(EventRun::new(Arc::new(event), vec![Subscriber::new(subscription)], list));
        let (executor, lane) = (Arc::clone(&self.executor), run.lane_of(0));
        let work = self.context.clock.work();
        tokio::spawn(async move {
            let _held = (work, retry);
            executor.handle_late(&run, 0, lane).await
        });
        Ok(true)
    }

    /// Makes the next `count` passages of a point panic, to test what follows.
    #[cfg(debug_assertions)]
    pub fn inject_panics(&self, point: PanicPoint, count: u32) {
        self.context.inject_panics(point, count);
    }

    /// Begins nothing new, lets what is in flight finish until the deadline, then ends. Returns
    /// whether all of it finished; the rest is on disk and goes on after the next start.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.context.advance(Phase::Draining);
        let finished = tokio::time::timeout(deadline, async {
            while self.lanes.busy() > 0 {
                // Nothing is notified for the last lane; a shutdown is no hot path. Real time.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.outbox.drained().await;
        });
        let finished = finished.await.is_ok();
        self.context.advance(Phase::Stopping);
        self.tasks.stop(&[TaskKind::Dispatch, TaskKind::Outbox, TaskKind::Replay]).await;
        finished
    }
}
