//! Settlements that wait in the writer's memory while storage fails.

use crate::step::{Interest, Settlement};
use beadle_model::Timestamp;

/// The maximum number of deferred settlements; far more than can be in flight at once.
const MAX_DEFERRED: usize = 100_000;

/// A batch of settlements, and which events it may append.
#[derive(Clone)]
pub(crate) struct SettlementBatch {
    pub(crate) settlements: Vec<Settlement>,
    pub(crate) interest: Interest,
    pub(crate) now: Timestamp,
}

/// Settlements to write once storage works.
#[derive(Default)]
pub(crate) struct Deferred(Vec<SettlementBatch>);

impl Deferred {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|batch| batch.settlements.len()).sum()
    }

    pub(crate) fn batches(&self) -> &[SettlementBatch] {
        &self.0
    }

    /// Adds a batch if there is room for it. Returns the number of settlements that were added.
    pub(crate) fn push(&mut self, batch: &SettlementBatch) -> usize {
        let count = batch.settlements.len();
        if self.len().saturating_add(count) > MAX_DEFERRED {
            return 0;
        }
        self.0.push(batch.clone());
        count
    }
}
