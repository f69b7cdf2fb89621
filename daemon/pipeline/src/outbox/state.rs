//! What the outbox has in memory: the queue, the ambiguous sends, and new rows that are not in the
//! queue yet.

use super::ambiguous::AmbiguousSends;
use super::queue::{PendingSend, Queue};
use super::settings::Settings;
use beadle_clock::{Alarm, Clock};
use beadle_model::{MessageId, Timestamp};
use beadle_store::step::OutboxRow;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// New rows whose conversations are not read yet: a few group commits' worth …
const ARRIVALS: usize = 4096;
/// … and the bytes of their bodies. More are left to the disk.
const ARRIVAL_BYTES: usize = 8 << 20;

/// The memory of the outbox, shared by its parts.
pub(crate) struct Shared {
    memory: Mutex<Memory>,
    settings: RwLock<Arc<Settings>>,
    /// Rung when the dispatcher may have something to do.
    wake: Alarm,
    /// Sends that were given to a channel and are not settled on disk yet.
    unsettled: AtomicUsize,
    /// Notified when one more is.
    settled: Notify,
}

pub(crate) struct Memory {
    pub queue: Queue,
    pub ambiguous: AmbiguousSends,
    /// New rows in other conversations than their event's, which the dispatcher reads, and the
    /// bytes of their bodies.
    arrivals: Vec<OutboxRow>,
    arrival_bytes: usize,
    /// The disk could not be read: not before then.
    pub read_again_at: Option<Instant>,
}

impl Memory {
    /// A send is over: its channel and its conversation are free. `now`: monotonic.
    pub fn release(&mut self, pending: &PendingSend, now: Timestamp) {
        self.queue.send_ended(&pending.view.channel);
        self.queue.unblock(pending.row.conversation, pending.row.message, now);
        self.queue.forget(pending.row.message);
    }

    /// A receipt came for this message. Returns whether it was ambiguous. `now`: monotonic.
    pub fn received(&mut self, message: MessageId, now: Timestamp) -> bool {
        let Some(conversation) = self.ambiguous.settled(message) else { return false };
        self.queue.unblock(conversation, message, now);
        self.queue.forget(message);
        true
    }

    /// How many new rows are not in the queue yet.
    pub fn arrivals(&self) -> usize {
        self.arrivals.len()
    }

    /// Takes new rows, `most` at most, in their order.
    pub fn take_arrivals(&mut self, most: usize) -> Vec<OutboxRow> {
        let count = self.arrivals.len().min(most);
        let rows: Vec<OutboxRow> = self.arrivals.drain(..count).collect();
        self.arrival_bytes = if self.arrivals.is_empty() {
            0
        } else {
            self.arrival_bytes.saturating_sub(rows.iter().map(|row| row.body.json_bytes()).sum())
        };
        rows
    }

    /// Reads every channel from its start, because rows on disk changed that are not in memory.
    pub fn rescan(&mut self) {
        self.arrivals.clear();
        self.arrival_bytes = 0;
        self.queue.rescan();
    }
}

impl Shared {
    pub fn new(settings: Settings, clock: &Clock) -> Self {
        let memory = Memory {
            // At a start everything is on disk.
            queue: Queue::new(settings.clone()),
            ambiguous: AmbiguousSends::default(),
            arrivals: Vec::new(),
            arrival_bytes: 0,
            read_again_at: None,
        };
        Self {
            memory: Mutex::new(memory),
            settings: RwLock::new(Arc::new(settings)),
            wake: clock.alarm(),
            unsettled: AtomicUsize::new(0),
            settled: Notify::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }

    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// Applies new settings. What is in flight ends as it began.
    pub fn configure(&self, settings: Settings) {
        self.lock().queue.configure(settings.clone());
        *self.settings.write() = Arc::new(settings);
        self.wake.ring();
    }

    /// Wakes the dispatcher when it next waits, or now.
    pub fn wake(&self) -> &Alarm {
        &self.wake
    }

    /// New rows, which are on disk.
    pub fn push(&self, pending: Vec<PendingSend>) {
        let mut memory = self.lock();
        pending.into_iter().for_each(|pending| memory.queue.arrive(pending));
        drop(memory);
        self.wake.ring();
    }

    /// New rows, which are on disk and whose conversations have to be read.
    pub fn push_unread(&self, rows: Vec<OutboxRow>) {
        let bytes: usize = rows.iter().map(|row| row.body.json_bytes()).sum();
        let mut memory = self.lock();
        if memory.arrivals.len() + rows.len() > ARRIVALS || memory.arrival_bytes + bytes > ARRIVAL_BYTES {
            memory.rescan();
        } else {
            memory.arrival_bytes += bytes;
            memory.arrivals.extend(rows);
        }
        drop(memory);
        self.wake.ring();
    }

    /// Reads rows again that changed on disk and are not in memory.
    pub fn rescan(&self) {
        self.lock().rescan();
        self.wake.ring();
    }

    pub fn send_began(&self) {
        self.unsettled.fetch_add(1, Ordering::AcqRel);
    }

    pub fn send_ended(&self) {
        self.unsettled.fetch_sub(1, Ordering::AcqRel);
        self.settled.notify_one();
    }

    /// Returns when nothing is in flight and every outcome is on disk; what is not would be
    /// ambiguous after a start.
    pub async fn drained(&self) {
        while self.lock().queue.in_flight() > 0 || self.unsettled.load(Ordering::Acquire) > 0 {
            // The time is against a missed notification only. Real time.
            let _ = tokio::time::timeout(Duration::from_millis(50), self.settled.notified()).await;
        }
    }
}
