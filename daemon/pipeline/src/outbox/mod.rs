//! The outbox: from "a plugin asked for it" to "the platform has it", or a clear word why not.
//!
//! Every row is in the store first. One that can go at once is born `sending` in the very commit that asked for it, so
//! sending costs no write of its own; the others are `queued` and claimed later. Only a row that is `sending` can be in
//! doubt after a crash or a lost answer, and doubt is never guessed away: a receipt settles it, or the rules of the
//! design do, or a person.
//!
//! `waiting` is what waits in memory, `pump` moves it, `ship` sends one thing, `judge` says what follows from the answer,
//! `doubt` keeps what nobody knows. The rules of WhatsApp are the gate's; the platform's errors are the channel's.

mod doubt;
mod judge;
mod pump;
mod ship;
#[cfg(test)]
mod tests;
mod waiting;

use crate::channel::Channel;
use crate::health::Health;
use crate::spine::Phase;
use beadle_clock::{Alarm, Clock};
use beadle_model::effect::SendEffect;
use beadle_model::event::Problem;
use beadle_model::{ConversationId, ConversationView, EventId, MessageId, PluginNo, Timestamp};
use beadle_store::Store;
use beadle_store::step::{NewSend, OutboxRow, SendState};
use beadle_tasks::Heartbeat;
use doubt::Doubts;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Notify, watch};
use waiting::Waiting;

/// How fast a channel may send: the platform's limits today (DESIGN section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the number.
    pub messages_per_second: u32,
    /// To one contact: one message in so many seconds …
    pub contact_seconds: u32,
    /// … and so many ahead of that.
    pub contact_burst: u32,
}

impl Default for Pace {
    /// The platform's limits for a number that has not been raised (whatsapp.md section 4).
    fn default() -> Self {
        Self { messages_per_second: 80, contact_seconds: 6, contact_burst: 45 }
    }
}

/// What becomes of a message when nobody knows whether it went out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnAmbiguous {
    /// A dead letter: a person decides.
    #[default]
    Hold,
    /// It is sent again, and marked as maybe sent twice.
    Resend,
}

/// `[outbox]` and the channels' paces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// See [`OnAmbiguous`].
    pub on_ambiguous: OnAmbiguous,
    /// So long a receipt is waited for, in milliseconds.
    pub ambiguous_wait_ms: i64,
    /// Messages on their way at once, per channel.
    pub max_in_flight: usize,
    /// By channel; [`Pace::default`] where there is none.
    pub paces: HashMap<String, Pace>,
}

impl Settings {
    fn pace(&self, channel: &str) -> Pace {
        self.paces.get(channel).copied().unwrap_or_default()
    }
}

/// A row and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub row: OutboxRow,
    pub view: Arc<ConversationView>,
    /// When the gate was asked last.
    pub asked_at: Timestamp,
}

/// What was asked for in one handling, on its way through the commit.
#[derive(Debug, Default)]
pub(crate) struct Launch(Vec<Parcel>, Vec<NewSend>);

impl Launch {
    /// As the commit wants it.
    pub fn new_sends(&self) -> Vec<NewSend> {
        let new = |row: &OutboxRow| NewSend {
            message: row.message,
            conversation: row.conversation,
            body: row.body.clone(),
            reply: row.reply,
            state: row.state,
            due_at: row.due_at,
        };
        self.0.iter().map(|parcel| new(&parcel.row)).chain(self.1.iter().cloned()).collect()
    }
}

/// The outbox. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    health: Arc<Health>,
    /// What the configuration says now; replaced whole by [`Outbox::configure`].
    settings: RwLock<Arc<Settings>>,
    channels: HashMap<Arc<str>, Arc<dyn Channel>>,
    state: Mutex<State>,
    /// Rung when there may be something to do.
    wake: Alarm,
    /// Rung when a parcel's end is written down.
    landed: Notify,
    phase: watch::Sender<Phase>,
    listeners: watch::Receiver<Arc<[PluginNo]>>,
    /// Parcels that were given to a channel and whose end is not written down yet.
    shipping: AtomicUsize,
}

struct State {
    waiting: Waiting,
    doubts: Doubts,
    source: Source,
    /// The earliest row on disk that is not due yet, as far as we know.
    next_on_disk: Option<Timestamp>,
}

/// Where new rows go.
enum Source {
    /// Everything that is due is in memory.
    Memory,
    /// More is due on disk than fits: new rows wait there too, behind the others.
    Disk,
    /// It is being read; what comes meanwhile goes behind it.
    Reading(Vec<Parcel>),
}

impl Outbox {
    pub(crate) fn new(
        store: Store,
        clock: Clock,
        health: Arc<Health>,
        settings: Settings,
        channels: Vec<Arc<dyn Channel>>,
        phase: watch::Sender<Phase>,
        listeners: watch::Receiver<Arc<[PluginNo]>>,
    ) -> Self {
        let state = State {
            waiting: Waiting::new(settings.clone()),
            doubts: Doubts::default(),
            // At the start everything is on disk.
            source: Source::Disk,
            next_on_disk: None,
        };
        let settings = RwLock::new(Arc::new(settings));
        let channels = channels.into_iter().map(|channel| (Arc::from(channel.name()), channel)).collect();
        let (state, wake, landed) = (Mutex::new(state), clock.alarm(), Notify::new());
        let shipping = AtomicUsize::new(0);
        Self(Arc::new(Inner {
            store,
            clock,
            health,
            settings,
            channels,
            state,
            wake,
            landed,
            phase,
            listeners,
            shipping,
        }))
    }

    /// From now on these hold. What is on its way ends as it began; a pace that is as it was goes on where it is.
    pub fn configure(&self, settings: Settings) {
        self.0.state().waiting.configure(settings.clone());
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.0.wake.ring();
    }

    /// Gives each message of a handling its place: at once where nothing stands before it, else in its line.
    pub(crate) fn admit(
        &self,
        conversation: Option<&Arc<ConversationView>>,
        event: EventId,
        plugin: PluginNo,
        sends: Vec<SendEffect>,
        now: Timestamp,
    ) -> Launch {
        let mut launch = Launch::default();
        if sends.is_empty() {
            return launch;
        }
        let running = *self.0.phase.borrow() == Phase::Running;
        let mut state = self.0.state();
        let at_once = running && matches!(state.source, Source::Memory);
        for wish in sends {
            let SendEffect { conversation: to, body, message, reply } = wish;
            let (event, state_now) = (Some(event), SendState::Queued);
            let Some(view) = conversation.filter(|view| view.id == to) else {
                // Another conversation: the pump reads where it goes.
                launch.1.push(NewSend { message, conversation: to, body, reply, state: state_now, due_at: now });
                continue;
            };
            let row = OutboxRow {
                message,
                event,
                plugin,
                conversation: to,
                body,
                reply,
                state: state_now,
                due_at: now,
                attempts: 0,
                created_at: now,
                maybe_twice: false,
            };
            let mut parcel = Parcel { row, view: Arc::clone(view), asked_at: now };
            // The second of two in one handling finds the first in its way, and waits.
            if at_once && state.waiting.take_now(&parcel, now) {
                parcel.row.state = SendState::Sending;
            }
            launch.0.push(parcel);
        }
        launch
    }

    /// The commit failed: nothing of it is to go.
    pub(crate) fn take_back(&self, launch: Launch) {
        let now = self.0.clock.now();
        let mut state = self.0.state();
        for Parcel { row, view, .. } in launch.0.into_iter().filter(|parcel| parcel.row.state == SendState::Sending) {
            state.waiting.free_slot(&view.channel);
            state.waiting.free_line(row.conversation, row.message, now);
            state.waiting.forget(row.message);
        }
    }

    /// The commit is through: what has a slot goes, the rest waits.
    pub(crate) fn launch(&self, launch: Launch) {
        if launch.0.is_empty() && launch.1.is_empty() {
            return;
        }
        let mut waits = Vec::new();
        for parcel in launch.0 {
            match parcel.row.state {
                SendState::Sending => self.0.spawn(parcel),
                _ => waits.push(parcel),
            }
        }
        let elsewhere = !launch.1.is_empty();
        if !waits.is_empty() || elsewhere {
            self.0.put(waits, elsewhere);
        }
    }

    /// Rows that the store made by itself (the answer to STOP), in state `queued`.
    pub(crate) fn take_over(&self, rows: Vec<OutboxRow>) {
        if !rows.is_empty() {
            self.0.put(Vec::new(), true);
        }
    }

    /// Receipts came for these: the platform has them, whatever else we know.
    pub(crate) fn received(&self, messages: &[MessageId]) {
        if messages.is_empty() {
            return;
        }
        let now = self.0.clock.now();
        let mut state = self.0.state();
        for message in messages {
            if let Some(conversation) = state.doubts.settled(*message) {
                state.waiting.free_line(conversation, *message, now);
                state.waiting.forget(*message);
                self.0.wake.ring();
            }
        }
    }

    /// A person changed rows on disk (`dead retry`): look there.
    pub fn rescan(&self) {
        self.0.put(Vec::new(), true);
    }

    /// A conversation became one with another (`contacts merge`): what it still has to say goes before what the other says
    /// from now on.
    pub fn join(&self, gone: ConversationId, kept: ConversationId) {
        let now = self.0.clock.now();
        self.0.state().waiting.join(gone, kept, now);
    }

    /// Returns when nothing is on its way any more and what became of it is written down: what is not written down is in
    /// doubt after the next start.
    pub(crate) async fn drained(&self) {
        while self.0.state().waiting.on_their_way() > 0 || self.0.shipping.load(Ordering::Acquire) > 0 {
            // Whoever comes back rings; the time is only against a bell that was missed. Real time.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(50), self.0.landed.notified()).await;
        }
    }

    /// What waits in memory, what is on its way, and what nobody knows.
    pub fn counts(&self) -> Counts {
        let state = self.0.state();
        let (waiting, sending, ambiguous) = (state.waiting.count(), state.waiting.on_their_way(), state.doubts.count());
        Counts { waiting, sending, ambiguous, paused: state.waiting.paused(self.0.clock.now()) }
    }
}

/// How much there is to send.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Due and in memory.
    pub waiting: usize,
    /// On the wire.
    pub sending: usize,
    /// Sent without an answer.
    pub ambiguous: usize,
    /// Channels that do not send for now; with the problem where a person has to see to it.
    pub paused: Vec<(Arc<str>, Option<Problem>)>,
}

impl Inner {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets parcels wait where new rows go now. `elsewhere`: there are others on disk that we have not seen.
    fn put(&self, parcels: Vec<Parcel>, elsewhere: bool) {
        let mut state = self.state();
        let full = state.waiting.count() + parcels.len() > pump::MEMORY_ROWS;
        match &mut state.source {
            Source::Memory if full => state.source = Source::Disk,
            Source::Memory => {
                parcels.into_iter().for_each(|parcel| state.waiting.put(parcel));
                if elsewhere {
                    state.source = Source::Disk;
                }
            }
            Source::Disk => {}
            Source::Reading(meanwhile) => {
                meanwhile.extend(parcels);
                if elsewhere {
                    state.next_on_disk = Some(Timestamp::default());
                }
            }
        }
        drop(state);
        self.wake.ring();
    }
}

/// Starts the outbox's loop; it ends when the pipeline drains.
pub(crate) async fn run(outbox: Outbox, heartbeat: Heartbeat) {
    pump::run(outbox.0, heartbeat).await;
}
