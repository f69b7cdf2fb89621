//! The memory of an instance: all its linear memories and tables together, initial sizes included,
//! and the metadata of the instances that it consists of.
//!
//! wasmtime's own `StoreLimits` bounds each memory separately, so a component of many modules would
//! get a multiple of the limit.

use crate::limits;
use crate::shortage::is_shortage;
use wasmtime::ResourceLimiter;

/// Counts memory and refuses growth over the limit.
#[derive(Debug)]
pub struct Memory {
    pub bytes: usize,
    /// A request was refused since this was last reset. If the guest aborts after that, lack of
    /// memory is the reason, whatever it reports.
    pub refused: bool,
    /// The system refused a growth that was within the limit, since this was last reset: its
    /// message.
    pub starved: Option<String>,
    max: usize,
    /// The last growth that was allowed, in case the system then refuses it.
    last: usize,
}

impl Memory {
    /// With what an instance uses besides its memories and tables.
    pub fn new(max: usize, metadata: usize) -> Self {
        Self { bytes: metadata, refused: false, starved: None, max, last: 0 }
    }

    fn grow(&mut self, more: usize) -> bool {
        self.last = 0;
        match self.bytes.checked_add(more).filter(|sum| *sum <= self.max) {
            Some(sum) => {
                self.bytes = sum;
                self.last = more;
                true
            }
            None => {
                self.refused = true;
                false
            }
        }
    }

    /// Forgets the refusals of an earlier call.
    pub fn reset(&mut self) {
        self.refused = false;
        self.starved = None;
    }

    fn undo(&mut self, error: &wasmtime::Error) {
        // wasmtime also reports its own refusal of what exceeds a declared maximum, and then
        // nothing was asked of the system.
        if is_shortage(error) {
            self.starved = Some(error.root_cause().to_string());
        }
        self.bytes = self.bytes.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo(&error);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(limits::TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo(&error);
        Ok(())
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        limits::TABLES
    }

    fn memories(&self) -> usize {
        limits::MEMORIES
    }
}
