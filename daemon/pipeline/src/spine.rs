//! What the parts of the pipeline share: the store, the clock, who takes part, where things wait, and whether we stop.
//!
//! It decides nothing; it is the hub that dispatch, chains and handlings hold on to.

use crate::backlog::Backlogs;
use crate::health::Health;
use crate::lane::Lanes;
use crate::outbox::Outbox;
use crate::subscriptions::Subscriptions;
use beadle_clock::{Alarm, Clock};
use beadle_store::{Store, StoreError};
use beadle_tasks::{TaskKind, Tasks};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::watch;

/// How far the pipeline is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything runs.
    Running,
    /// Nothing new is begun; what is on its way is let finish.
    Draining,
    /// Everything ends where it stands.
    Stopping,
}

pub(crate) struct Spine {
    pub store: Store,
    pub clock: Clock,
    pub lanes: Lanes,
    pub outbox: Outbox,
    pub health: Arc<Health>,
    /// Rung when a commit set or moved a timer.
    pub timers_changed: Alarm,
    /// Rung when a window was opened that is to be looked at before all others.
    pub windows_changed: Alarm,
    pub phase: watch::Sender<Phase>,
    pub tasks: Tasks,
    /// Who takes part.
    pub subscriptions: watch::Sender<Arc<Subscriptions>>,
    /// What is kept for plugins that could not be asked.
    pub backlogs: Backlogs,
}

impl Spine {
    pub fn subscriptions(&self) -> Arc<Subscriptions> {
        Arc::clone(&self.subscriptions.borrow())
    }

    /// Returns when it has come this far on its way out, or further.
    pub async fn reached(&self, at: Phase) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as we do.
        let _ = phase.wait_for(|phase| *phase >= at).await;
    }

    /// Returns when everything is to end where it stands.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// The store can go on no more (another process has the lanes): end, and say why.
    pub fn fail(&self, error: StoreError) {
        self.tasks.fail(TaskKind::Dispatch, error.to_string());
        self.phase.send_replace(Phase::Stopping);
    }

    /// A number that differs between things and tries, and needs no randomness to be fair.
    pub fn jitter(&self, thing: i64, tries: u32) -> u64 {
        let digest = Sha256::new()
            .chain_update(self.store.install())
            .chain_update(thing.to_le_bytes())
            .chain_update(tries.to_le_bytes())
            .finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
