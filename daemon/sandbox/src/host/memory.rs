//! How much memory an instance has: all its linear memories and tables together, from their first page on.
//!
//! wasmtime's own `StoreLimits` bounds each memory by itself, so a component of many modules would get many times the
//! limit.

use crate::limits;
use wasmtime::ResourceLimiter;

/// Counts, and says no.
#[derive(Debug)]
pub struct Memory {
    pub bytes: usize,
    /// Something was refused since this was last set to false. A guest that aborts after that did so for want of memory,
    /// whatever it says.
    pub refused: bool,
    most: usize,
    /// What was allowed last, in case that the system then says no.
    last: usize,
}

impl Memory {
    pub fn new(most: usize) -> Self {
        Self { bytes: 0, refused: false, most, last: 0 }
    }

    fn grow(&mut self, more: usize) -> bool {
        self.last = 0;
        match self.bytes.checked_add(more).filter(|sum| *sum <= self.most) {
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

    fn undo(&mut self) {
        self.bytes = self.bytes.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(limits::TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
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
