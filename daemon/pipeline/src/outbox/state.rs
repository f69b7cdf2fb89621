//! What the outbox has in memory: the queue, the ambiguous sends, and how much of the disk they cover.

use super::ambiguous::AmbiguousSends;
use super::queue::{PendingSend, Queue};
use super::settings::Settings;
use beadle_clock::{Alarm, Clock};
use beadle_model::{MessageId, Timestamp};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Rows that wait in memory: a minute of a fast number. At about 1 KiB each they take 20 MiB.
pub(crate) const MEMORY_ROWS: usize = 20_000;

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
    pub source: Source,
    /// The earliest row on disk that is not due yet, as far as is known.
    pub next_on_disk: Option<Timestamp>,
    /// The disk could not be read: not before then.
    pub read_again_at: Option<Instant>,
}

/// Where new rows go.
pub(crate) enum Source {
    /// Everything that is due is in memory.
    Memory,
    /// More is due on disk than is in memory: new rows wait there too, behind the others.
    Disk,
    /// The disk is being read; new rows go behind what it gives.
    Reading(Vec<PendingSend>),
}

impl Memory {
    /// A row on disk is due then.
    pub fn is_due_on_disk(&mut self, at: Timestamp) {
        self.next_on_disk = Some(self.next_on_disk.map_or(at, |next| next.min(at)));
    }

    /// A send is over: its channel and its conversation are free.
    pub fn release(&mut self, pending: &PendingSend, now: Timestamp) {
        self.queue.landed(&pending.view.channel);
        self.queue.unblock(pending.row.conversation, pending.row.message, now);
        self.queue.forget(pending.row.message);
    }

    /// The same for a send that waits on disk until `due_at`.
    pub fn release_until(&mut self, pending: &PendingSend, due_at: Timestamp, now: Timestamp) {
        self.release(pending, now);
        self.is_due_on_disk(due_at);
    }

    /// A receipt came for this message. Returns whether it was ambiguous.
    pub fn received(&mut self, message: MessageId, now: Timestamp) -> bool {
        let Some(conversation) = self.ambiguous.settled(message) else { return false };
        self.queue.unblock(conversation, message, now);
        self.queue.forget(message);
        true
    }
}

impl Shared {
    pub fn new(settings: Settings, clock: &Clock) -> Self {
        let memory = Memory {
            queue: Queue::new(settings.clone()),
            ambiguous: AmbiguousSends::default(),
            // At a start everything is on disk.
            source: Source::Disk,
            next_on_disk: None,
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

    /// New rows, which are on disk: they go where new rows go now.
    pub fn push(&self, pending: Vec<PendingSend>) {
        let mut memory = self.lock();
        let is_full = memory.queue.len() + pending.len() > MEMORY_ROWS;
        match &mut memory.source {
            Source::Memory if is_full => memory.source = Source::Disk,
            Source::Memory => pending.into_iter().for_each(|pending| memory.queue.push_back(pending)),
            Source::Disk => {}
            Source::Reading(meanwhile) => meanwhile.extend(pending),
        }
        drop(memory);
        self.wake.ring();
    }

    /// Rows on disk changed that are not in memory: read them.
    pub fn rescan(&self) {
        let mut memory = self.lock();
        match memory.source {
            Source::Memory => memory.source = Source::Disk,
            Source::Disk => {}
            Source::Reading(_) => memory.next_on_disk = Some(Timestamp::default()),
        }
        drop(memory);
        self.wake.ring();
    }

    pub fn send_began(&self) {
        self.unsettled.fetch_add(1, Ordering::AcqRel);
    }

    pub fn send_ended(&self) {
        self.unsettled.fetch_sub(1, Ordering::AcqRel);
        self.wake.ring();
        self.settled.notify_one();
    }

    /// Returns when nothing is in flight and every outcome is on disk; what is not would be ambiguous after a start.
    pub async fn drained(&self) {
        while self.lock().queue.in_flight() > 0 || self.unsettled.load(Ordering::Acquire) > 0 {
            // The time is against a missed notification only. Real time.
            let _ = tokio::time::timeout(Duration::from_millis(50), self.settled.notified()).await;
        }
    }
}
