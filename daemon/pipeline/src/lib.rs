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

mod chain;
pub mod channel;
mod dispatch;
mod handling;
pub mod health;
mod inbox;
mod lane;
pub mod outbox;
mod retry;
mod roster;
mod run;
mod seat;
mod spine;

pub use channel::{Advice, Answer, Channel, Shipment};
pub use dispatch::IN_FLIGHT;
pub use inbox::{Delivery, Inbox, InboxError};
pub use outbox::Settings as OutboxSettings;
pub use roster::{Member, OnFailure, Roster, Stage};
pub use seat::{Paused, Probation, Seat, Serving, Spent};
pub use spine::Phase;

use beadle_clock::{Alarm, Clock};
use beadle_model::{EventId, PluginNo};
use beadle_store::{Store, StoreError};
use dispatch::InFlight;
use health::Health;
use outbox::Outbox;
use run::{Run, Subscriber};
use spine::Spine;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Every code that an error of this crate can carry besides those of the store; `beadle explain` has a page for each.
pub const CODES: [&str; 6] = ["inbox-stopping", "stale", "outcome-unknown", "unreachable", "no-answer", "no-channel"];

/// The running pipeline. Cheap to clone; it runs until it is drained.
#[derive(Clone)]
pub struct Pipeline {
    spine: Arc<Spine>,
    in_flight: InFlight,
    listeners: watch::Sender<Arc<[PluginNo]>>,
    tasks: Arc<tokio::sync::Mutex<Vec<JoinHandle<()>>>>,
}

impl Pipeline {
    /// Starts the loops. Until [`Pipeline::set_roster`] is called nobody takes part and nothing is dispatched, so that no
    /// event passes plugins that are still being loaded; sending starts at once.
    pub fn start(store: Store, clock: Clock, settings: OutboxSettings, channels: Vec<Arc<dyn Channel>>) -> Self {
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
        let sending = tokio::spawn(outbox::run(outbox.clone()));
        let spine = Spine {
            store,
            lanes: lane::Lanes::new(clock.clone()),
            outbox,
            health,
            timers_changed: clock.alarm(),
            clock,
            phase,
            fatal: watch::Sender::new(None),
            roster: RwLock::default(),
        };
        let tasks = Arc::new(tokio::sync::Mutex::new(vec![sending]));
        Self { spine: Arc::new(spine), in_flight: InFlight::default(), listeners, tasks }
    }

    /// Where events come in.
    pub fn inbox(&self) -> Inbox {
        Inbox(Arc::clone(&self.spine))
    }

    /// From now on these take part; events on their way keep those they were dispatched with. The first roster starts
    /// dispatch.
    pub async fn set_roster(&self, roster: Roster) {
        self.listeners.send_replace(roster.status_listeners().into());
        *self.spine.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
        let mut tasks = self.tasks.lock().await;
        if tasks.len() == 1
            && let Some(feed) = self.spine.store.feed()
        {
            tasks.push(tokio::spawn(dispatch::run(Arc::clone(&self.spine), feed, self.in_flight.clone())));
        }
    }

    /// Who takes part.
    pub fn roster(&self) -> Arc<Roster> {
        self.spine.roster()
    }

    /// How it is.
    pub fn health(&self) -> &Health {
        &self.spine.health
    }

    /// What waits to be sent.
    pub fn outbox(&self) -> &Outbox {
        &self.spine.outbox
    }

    /// Events on their way, and lanes that have something in them.
    pub fn on_their_way(&self) -> (usize, usize) {
        (self.in_flight.count(), self.spine.lanes.busy())
    }

    /// Rung when a plugin set or moved a timer, for whoever waits for the next one.
    pub fn timers_changed(&self) -> Alarm {
        self.spine.timers_changed.clone()
    }

    /// Handles a dead letter's event in its plugin once more, out of order and marked `late`. `false`: the plugin is not
    /// there.
    pub async fn retry_handling(&self, event: EventId, plugin: PluginNo) -> Result<bool, StoreError> {
        let found = self.spine.store.reader().event(event)?;
        let member = self.roster().members().iter().find(|member| member.seat.no() == plugin).cloned();
        let (Some(event), Some(member)) = (found, member) else { return Ok(false) };
        let roster = self.spine.store.roster(vec![plugin]).await?;
        let subscribers = vec![Subscriber { no: plugin, member: Some(member) }];
        let ticket = InFlight::ticket_out_of_order(event.id);
        let run = Arc::new(Run::new(Arc::new(event), subscribers, roster, ticket));
        let spine = Arc::clone(&self.spine);
        let work = spine.clock.work();
        tokio::spawn(async move {
            let _work = work;
            spine.handle(&run, 0, true).await
        });
        Ok(true)
    }

    /// Why the pipeline stopped by itself, once it did. Waits for that.
    pub async fn failed(&self) -> String {
        let mut fatal = self.spine.fatal.subscribe();
        match fatal.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The sender lives in the spine, which we hold.
            Err(_) => std::future::pending().await,
        }
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
        for task in self.tasks.lock().await.drain(..) {
            task.abort();
        }
        finished
    }
}
