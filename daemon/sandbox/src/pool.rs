//! Instances that wait for their next event.
//!
//! Making an instance costs some twenty times what a call does, so one that did well is used again. The one used last is
//! taken first: its memory is still in the cache, and those at the bottom grow old and are dropped. What waits is bounded
//! by number and by memory.
//!
//! It is not a place to keep anything in: what a guest remembers may be gone at the next event.

use crate::instance::Instance;
use crate::limits;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The waiting instances of one plugin.
#[derive(Default)]
pub struct Pool(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    #[expect(clippy::vec_box, reason = "an instance goes from here through a call and back by its pointer")]
    instances: Vec<Box<Instance>>,
    bytes: usize,
    /// Instances of an older generation are not taken back.
    generation: u64,
}

impl Pool {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance that is ready, where there is one, and the generation that it belongs to.
    pub fn take(&self) -> (Option<Box<Instance>>, u64) {
        let mut waiting = self.waiting();
        let taken = waiting.instances.pop();
        waiting.bytes -= taken.as_ref().map_or(0, |instance| instance.memory_bytes());
        let generation = waiting.generation;
        drop(waiting);
        // An old one is destroyed here, outside the lock.
        (taken.filter(|instance| !instance.is_worn()), generation)
    }

    fn give_back(&self, instance: Box<Instance>, generation: u64) {
        let bytes = instance.memory_bytes();
        let mut waiting = self.waiting();
        let fits = waiting.instances.is_empty()
            || waiting.instances.len() < limits::WARM_INSTANCES && waiting.bytes + bytes <= limits::WARM_BYTES;
        if generation == waiting.generation && fits {
            waiting.bytes += bytes;
            waiting.instances.push(instance);
        }
        // Else it is destroyed when the lock is free: `waiting` was made after `instance`.
    }

    /// Drops all that wait, and those that are out when they come back.
    pub fn forget(&self) {
        let mut waiting = self.waiting();
        waiting.generation += 1;
        waiting.bytes = 0;
        let gone = std::mem::take(&mut waiting.instances);
        drop(waiting);
        drop(gone);
    }

    /// Drops those that are worn.
    pub fn tidy(&self) {
        let mut waiting = self.waiting();
        let (worn, good): (Vec<_>, Vec<_>) = waiting.instances.drain(..).partition(|instance| instance.is_worn());
        waiting.bytes = good.iter().map(|instance| instance.memory_bytes()).sum();
        waiting.instances = good;
        drop(waiting);
        drop(worn);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting().instances.len()
    }
}

/// An instance whose call went well, on loan until its effects are committed.
///
/// [`Warm::keep`] gives it back. Dropped, it is destroyed.
pub struct Warm {
    instance: Box<Instance>,
    /// None where each event is to have a fresh one.
    home: Option<(Arc<Pool>, u64)>,
}

impl Warm {
    pub(crate) fn new(instance: Box<Instance>, home: Option<(Arc<Pool>, u64)>) -> Self {
        Self { instance, home }
    }

    /// The effects are committed, or cannot fail for what this call read: the instance may handle the next event.
    pub fn keep(self) {
        if let Some((pool, generation)) = self.home
            && !self.instance.is_worn()
        {
            pool.give_back(self.instance, generation);
        }
    }
}

impl fmt::Debug for Warm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warm").field("kept", &self.home.is_some()).finish_non_exhaustive()
    }
}
