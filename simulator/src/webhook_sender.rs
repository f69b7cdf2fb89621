//! Delivers updates to the callback: signed, concurrently, and retried until the response is 200.
//!
//! Each lane delivers one body at a time. Updates about one person share a lane and arrive in order
//! while nothing fails; lanes run concurrently. A body that was not answered with 200 is retried
//! after a delay with the same bytes; its order relative to later updates is not kept, as with
//! Meta. After seven days it is abandoned.
//!
//! Nothing is delivered before the callback has echoed the challenge. `MAX_UPDATES` bounds
//! everything that waits here. This module holds the queues and timers; `delivery` has the tasks
//! that work on them.

use crate::action::ScheduledAction;
use crate::envelope::Update;
use axum::body::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};

/// Maximum number of updates that wait in total. At about 1 KB each this is 200 MB, an outage of
/// minutes under load.
const MAX_UPDATES: usize = 200_000;

/// Where webhooks are delivered, and the token of the handshake.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    pub url: String,
    pub verify_token: String,
}

impl Callback {
    /// Fails if `url` is not an http or https URL.
    pub(crate) fn new(url: &str, verify_token: &str) -> Result<Self, String> {
        match reqwest::Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => {
                Ok(Self { url: url.to_owned(), verify_token: verify_token.to_owned() })
            }
            _ => Err(format!("the callback `{url}` must be an http or https URL")),
        }
    }
}

/// The state of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SenderStatus {
    /// Updates that are queued or being delivered.
    pub in_flight: usize,
    /// Updates and actions that wait for the simulator's clock: retries, delayed receipts and
    /// webhooks.
    pub waiting: usize,
    /// Deliveries answered with 200.
    pub deliveries: u64,
    /// Deliveries answered otherwise or not at all.
    pub failures: u64,
    /// Updates given up after seven days.
    pub abandoned: u64,
    /// Updates dropped because the backlog was full.
    pub dropped: u64,
    /// The callback has echoed the challenge.
    pub handshake_done: bool,
    pub paused: bool,
    /// Updates accepted since the start.
    #[serde(skip)]
    accepted: u64,
    /// The number of resets.
    #[serde(skip)]
    pub epoch: u64,
}

impl SenderStatus {
    /// A value that changes whenever an update is accepted or delivered.
    pub(crate) fn traffic(&self) -> (u64, u64, u64, u64) {
        (self.epoch, self.accepted, self.deliveries, self.failures)
    }
}

/// Everything that waits for the clock, for a saved state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WaitingForClock {
    pub updates: Vec<(i64, Update)>,
    pub actions: Vec<(i64, ScheduledAction)>,
    /// The number of bodies that wait to be retried.
    #[serde(skip)]
    pub retries: usize,
}

pub(crate) struct Queued {
    /// The epoch in which it was queued; items of an earlier epoch are discarded.
    pub epoch: u64,
    pub content: Content,
}

pub(crate) enum Content {
    Update(Update),
    SignedBody(SignedBody),
}

/// A body with the updates that it carries. Retries send the same bytes.
#[derive(Clone)]
pub(crate) struct SignedBody {
    pub body: Bytes,
    /// The number of updates in it.
    pub updates: usize,
    /// The people's messages that are `delivered` once it is accepted.
    pub delivers: Vec<u64>,
    /// The messages that it is about, for the log.
    pub about: Vec<u64>,
    pub failures: u32,
    /// When it was first delivered.
    pub first_ms: i64,
    /// Made by the fault `webhook_duplicated`; it is not duplicated again.
    pub copy: bool,
}

/// A task that waits for the clock.
pub(crate) enum TimedTask {
    /// Deliver on this lane.
    Deliver(usize, Content),
    /// Perform an action. The flag says that it was due immediately and therefore counts as in
    /// flight.
    Perform(ScheduledAction, bool),
}

#[derive(Default)]
struct Timers {
    next_order: u64,
    /// Epoch and task, by due time and then in the order of insertion.
    tasks: BTreeMap<(i64, u64), (u64, TimedTask)>,
}

pub(crate) struct WebhookSender {
    lanes: Vec<UnboundedSender<Queued>>,
    status: watch::Sender<SenderStatus>,
    timers: Mutex<Timers>,
    /// Notified when a timer is added.
    pub timers_changed: Notify,
    callback: Mutex<Arc<Callback>>,
}

/// The receiving ends of the lanes.
pub(crate) struct Lanes(pub Vec<UnboundedReceiver<Queued>>);

impl WebhookSender {
    /// Creates a sender with this many lanes.
    pub(crate) fn new(lanes: usize, callback: Callback) -> (Self, Lanes) {
        // The channels are bounded together by `MAX_UPDATES`, so that one full lane does not stop
        // the others.
        let (lanes, ends) = (0..lanes.max(1)).map(|_| unbounded_channel()).unzip();
        let webhook_sender = Self {
            lanes,
            status: watch::Sender::new(SenderStatus::default()),
            timers: Mutex::default(),
            timers_changed: Notify::new(),
            callback: Mutex::new(Arc::new(callback)),
        };
        (webhook_sender, Lanes(ends))
    }

    pub(crate) fn status(&self) -> SenderStatus {
        *self.status.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<SenderStatus> {
        self.status.subscribe()
    }

    /// The earliest due time of everything that waits for the clock.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        self.timers.lock().tasks.keys().next().map(|(due_ms, _)| *due_ms)
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.status.send_modify(|status| status.paused = paused);
    }

    /// Whether the backlog can take this many more updates.
    pub(crate) fn has_capacity(&self, updates: usize) -> bool {
        let status = self.status();
        status.in_flight + status.waiting + updates <= MAX_UPDATES
    }

    /// Queues an update for delivery, immediately or at a due time. Returns `false` if the backlog
    /// is full; the update is then dropped and counted.
    pub(crate) fn enqueue(&self, update: Update, due_ms: Option<i64>) -> bool {
        let lane = update.lane;
        let Some(epoch) = self.admit(due_ms.is_some()) else { return false };
        match due_ms {
            None => self.send(lane, Queued { epoch, content: Content::Update(update) }),
            Some(due_ms) => self.insert_timer(epoch, due_ms, TimedTask::Deliver(lane, Content::Update(update))),
        }
        true
    }

    /// Queues an update after a delay in real time, so that later ones overtake it.
    pub(crate) fn enqueue_after(&self, update: Update, real_ms: u64) -> bool {
        let Some(epoch) = self.admit(false) else { return false };
        if let Some(lane) = self.lane(update.lane).cloned() {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(real_ms)).await;
                // The receiver lives as long as the program.
                let _ = lane.send(Queued { epoch, content: Content::Update(update) });
            });
        }
        true
    }

    /// Schedules an action. One that is due immediately counts as in flight until it is performed.
    pub(crate) fn schedule(&self, now_ms: i64, due_ms: i64, action: ScheduledAction) {
        let immediate = due_ms <= now_ms;
        if let Some(epoch) = self.admit(!immediate) {
            self.insert_timer(epoch, due_ms, TimedTask::Perform(action, immediate));
        }
    }

    pub(crate) fn callback(&self) -> Arc<Callback> {
        Arc::clone(&self.callback.lock())
    }

    pub(crate) fn set_callback(&self, callback: Callback) {
        *self.callback.lock() = Arc::new(callback);
    }

    /// Records that the callback has echoed the challenge, which starts delivery.
    pub(crate) fn set_handshake_done(&self) {
        self.status.send_modify(|status| status.handshake_done = true);
    }

    /// Everything that waits for the clock. Retries are only counted: their bytes are signed, and
    /// belong to the callback that did not accept them.
    pub(crate) fn waiting(&self) -> WaitingForClock {
        let mut waiting = WaitingForClock::default();
        for ((due_ms, _), (_, task)) in &self.timers.lock().tasks {
            match task {
                TimedTask::Deliver(_, Content::Update(update)) => waiting.updates.push((*due_ms, update.clone())),
                TimedTask::Deliver(_, Content::SignedBody(_)) => waiting.retries += 1,
                TimedTask::Perform(action, _) => waiting.actions.push((*due_ms, action.clone())),
            }
        }
        waiting
    }

    /// Discards everything that is queued, in flight or waiting.
    pub(crate) fn discard_all(&self) {
        self.timers.lock().tasks.clear();
        self.status.send_modify(|status| {
            let SenderStatus { epoch, handshake_done, paused, .. } = *status;
            *status = SenderStatus { epoch: epoch + 1, handshake_done, paused, ..SenderStatus::default() };
        });
    }

    /// Counts one more update or action; returns the epoch, or `None` if the backlog is full.
    fn admit(&self, waits: bool) -> Option<u64> {
        let mut epoch = None;
        self.status.send_modify(|status| {
            if status.in_flight + status.waiting >= MAX_UPDATES {
                status.dropped += 1;
                return;
            }
            epoch = Some(status.epoch);
            status.accepted += 1;
            if waits {
                status.waiting += 1;
            } else {
                status.in_flight += 1;
            }
        });
        epoch
    }

    /// Updates the status for an item of this epoch; items of an earlier epoch are no longer
    /// counted.
    pub(crate) fn settle(&self, epoch: u64, change: impl FnOnce(&mut SenderStatus)) {
        self.status.send_if_modified(|status| {
            let current = status.epoch == epoch;
            if current {
                change(status);
            }
            current
        });
    }

    fn lane(&self, lane: usize) -> Option<&UnboundedSender<Queued>> {
        self.lanes.get(lane % self.lanes.len().max(1))
    }

    pub(crate) fn send(&self, lane: usize, queued: Queued) {
        if let Some(lane) = self.lane(lane) {
            let _ = lane.send(queued);
        }
    }

    pub(crate) fn insert_timer(&self, epoch: u64, due_ms: i64, task: TimedTask) {
        {
            let mut timers = self.timers.lock();
            let order = timers.next_order;
            timers.next_order += 1;
            timers.tasks.insert((due_ms, order), (epoch, task));
        }
        self.timers_changed.notify_one();
    }

    /// Removes and returns the tasks that are due, with their epochs.
    pub(crate) fn take_due(&self, now_ms: i64) -> Vec<(u64, TimedTask)> {
        let mut timers = self.timers.lock();
        let later = timers.tasks.split_off(&(now_ms.saturating_add(1), 0));
        std::mem::replace(&mut timers.tasks, later).into_values().collect()
    }
}

impl Content {
    /// The number of updates in it.
    pub(crate) fn updates(&self) -> usize {
        match self {
            Self::Update(_) => 1,
            Self::SignedBody(body) => body.updates,
        }
    }
}
