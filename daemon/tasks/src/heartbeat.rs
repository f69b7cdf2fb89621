//! Heartbeats: how a task shows that it makes progress.
//!
//! A loop beats at every turn. While it waits for something that may never come it is idle, which
//! is not silence. What remains is a task that neither waits deliberately nor turns: it is stuck.

use crate::kind::TaskKind;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Where one task beats. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeat(pub(crate) Arc<Slot>);

/// What is known of one task.
#[derive(Debug)]
pub(crate) struct Slot {
    pub kind: TaskKind,
    created: Instant,
    /// Milliseconds from `created` to the last beat.
    beat_ms: AtomicU64,
    idle: AtomicBool,
    pub state: Mutex<SlotState>,
    /// True once the task is to end.
    pub cancelled: watch::Sender<bool>,
    #[cfg(debug_assertions)]
    pub fault: crate::fault::Injected,
}

#[derive(Debug, Default)]
pub(crate) struct SlotState {
    pub status: Status,
    /// Failures without a minute of work between them.
    pub failures: u32,
    /// The last panic or error.
    pub error: Option<String>,
}

/// What the supervisor does with a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    Running,
    /// It failed and is started again at this moment.
    Restarting(Instant),
    /// It failed and the daemon shuts down.
    Failed,
}

impl Slot {
    pub fn new(kind: TaskKind) -> Self {
        Self {
            kind,
            created: Instant::now(),
            beat_ms: AtomicU64::new(0),
            idle: AtomicBool::new(false),
            state: Mutex::default(),
            cancelled: watch::Sender::new(false),
            #[cfg(debug_assertions)]
            fault: crate::fault::Injected::default(),
        }
    }

    /// Marks the beginning of a run.
    pub fn begin(&self) {
        self.idle.store(false, Ordering::Relaxed);
        self.state.lock().status = Status::Running;
        self.mark();
    }

    fn mark(&self) {
        let elapsed = self.created.elapsed().as_millis();
        self.beat_ms.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The time from the last beat until `now`; zero while it is idle.
    pub fn silence(&self, now: Instant) -> Duration {
        if self.idle.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let beat = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(self.created).saturating_sub(beat)
    }

    /// Returns when the task is to end.
    pub async fn cancelled(&self) {
        // The sender lives in `self`.
        let _ = self.cancelled.subscribe().wait_for(|cancelled| *cancelled).await;
    }
}

impl Heartbeat {
    /// An unwatched heartbeat, for a loop that runs without a supervisor.
    pub fn unwatched(kind: TaskKind) -> Self {
        Self(Arc::new(Slot::new(kind)))
    }

    /// Shows progress.
    pub fn beat(&self) {
        #[cfg(debug_assertions)]
        if self.0.fault.strikes(self.0.kind) {
            return;
        }
        self.0.mark();
    }

    /// Waits for something that may take any time. The task counts as idle, not as stuck.
    pub async fn idle<T>(&self, wait: impl Future<Output = T>) -> T {
        self.beat();
        let _idle = Idle::enter(&self.0);
        #[cfg(debug_assertions)]
        let wait = self.0.fault.interrupt(self.0.kind, wait);
        wait.await
    }

    /// The same for a thread.
    pub fn idle_blocking<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.beat();
        let _idle = Idle::enter(&self.0);
        wait()
    }
}

/// The task is idle for as long as this lives.
struct Idle<'a>(&'a Slot);

impl<'a> Idle<'a> {
    fn enter(slot: &'a Slot) -> Self {
        slot.idle.store(true, Ordering::Relaxed);
        Self(slot)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.mark();
        self.0.idle.store(false, Ordering::Relaxed);
    }
}
