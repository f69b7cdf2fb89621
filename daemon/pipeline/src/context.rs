//! What every stage of the pipeline shares: store, clock, phase, and figures.
//!
//! It holds leaves only, and nothing in it imports this module. A stage gets everything else that
//! it works with (subscriptions, lanes, the outbox) when it is created. [`Context::until_stored`]
//! is the one way in which a stage repeats what the store could not write or read.

use crate::health::Health;
use beadle_clock::{Alarm, Clock};
use beadle_store::{Store, StoreError};
use beadle_tasks::{TaskKind, Tasks};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::sync::watch;

/// How far the pipeline is in shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything runs.
    Running,
    /// Nothing new is begun; what runs may finish.
    Draining,
    /// Everything ends where it is.
    Stopping,
}

/// While the store fails, what waits for it is tried again this often: soon enough to go on when it
/// works again, rare enough to cost nothing. Real time: a full disk does not follow the calendar.
const STORE_PAUSE: Duration = Duration::from_millis(250);

pub(crate) struct Context {
    pub store: Store,
    pub clock: Clock,
    pub health: Health,
    /// Rung when a commit set or moved a timer.
    pub timers_changed: Alarm,
    /// Rung when a window was opened that is due before all others.
    pub windows_changed: Alarm,
    /// Rung when a plugin created or changed a broadcast.
    pub broadcasts_changed: Alarm,
    /// Rung when a plugin made a durable request.
    pub requests_changed: Alarm,
    phase: watch::Sender<Phase>,
    tasks: Tasks,
    #[cfg(debug_assertions)]
    panics: Panics,
}

/// Where a panic can be injected, to test what follows. This exists in debug builds only.
#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanicPoint {
    /// At the beginning of a handling.
    Handling,
    /// At the beginning of the chain of an event, outside its handlings.
    Chain,
    /// When an event is to be marked as finished.
    Finish,
}

/// How many panics are to come at each point.
#[cfg(debug_assertions)]
#[derive(Default)]
struct Panics([std::sync::atomic::AtomicU32; 3]);

#[cfg(debug_assertions)]
impl Panics {
    fn at(&self, point: PanicPoint) -> &std::sync::atomic::AtomicU32 {
        let [handling, chain, finish] = &self.0;
        match point {
            PanicPoint::Handling => handling,
            PanicPoint::Chain => chain,
            PanicPoint::Finish => finish,
        }
    }
}

/// Why something was not stored.
#[derive(Debug)]
pub(crate) enum NotStored {
    /// The pipeline is stopping; nothing was decided.
    Stopping,
    /// The store refused it for good; nothing was written.
    Refused(StoreError),
}

impl Context {
    pub fn new(store: Store, clock: Clock, tasks: Tasks) -> Self {
        Self {
            store,
            health: Health::default(),
            timers_changed: clock.alarm(),
            windows_changed: clock.alarm(),
            broadcasts_changed: clock.alarm(),
            requests_changed: clock.alarm(),
            clock,
            phase: watch::Sender::new(Phase::Running),
            tasks,
            #[cfg(debug_assertions)]
            panics: Panics::default(),
        }
    }

    /// Makes the next passages of this point panic.
    #[cfg(debug_assertions)]
    pub fn inject_panics(&self, point: PanicPoint, count: u32) {
        self.panics.at(point).store(count, std::sync::atomic::Ordering::SeqCst);
    }

    /// Panics if that was asked for.
    #[expect(clippy::panic, reason = "that is the fault")]
    #[cfg(debug_assertions)]
    pub fn panic_if_injected(&self, point: PanicPoint) {
        use std::sync::atomic::Ordering::SeqCst;
        if self.panics.at(point).fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("injected fault ({point:?})");
        }
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to this phase, unless it is further already.
    pub fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_later = *phase < to;
            *phase = to.max(*phase);
            is_later
        });
    }

    /// Returns when the pipeline has come to this phase, or further.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phases.wait_for(|now| *now >= phase).await;
    }

    /// Stops the pipeline because the store no longer works: another process has taken over, or it
    /// is closed.
    pub fn fail(&self, error: &StoreError) {
        self.tasks.fail(TaskKind::Dispatch, error.to_string());
        self.advance(Phase::Stopping);
    }

    /// Repeats a step until the store accepts it; `Err` if the store refuses it for good, or the
    /// pipeline stops.
    pub async fn until_stored<T, F>(&self, mut step: impl FnMut() -> F) -> Result<T, NotStored>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            match step().await {
                Ok(done) => return Ok(done),
                Err(error) if error.is_fatal() => {
                    self.fail(&error);
                    return Err(NotStored::Stopping);
                }
                Err(error) if error.is_refusal() => return Err(NotStored::Refused(error)),
                Err(error) => self.health.store_failed(&error),
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                () = self.reached(Phase::Stopping) => return Err(NotStored::Stopping),
            }
        }
    }

    /// Returns when the outcomes that the store keeps in memory are on disk: until then the rows on
    /// disk are not what they are taken to be. Also when the pipeline drains, since no further row
    /// is read then.
    pub async fn until_deferred_is_written(&self) {
        while self.store.health().deferred_settlements > 0 {
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                () = self.reached(Phase::Draining) => return,
            }
        }
    }

    /// A number that differs between things and attempts, and is the same after a restart.
    pub fn jitter(&self, thing: i64, attempts: u32) -> u64 {
        let digest = Sha256::new()
            .chain_update(self.store.install())
            .chain_update(thing.to_le_bytes())
            .chain_update(attempts.to_le_bytes())
            .finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
