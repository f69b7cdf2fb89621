//! Idle instances of a plugin.
//!
//! Creating an instance costs about twenty times as much as a call, so instances are reused. The
//! most recently used one is taken first: its memory is still cached, and the others age and are
//! dropped. Idle instances are bounded in number and memory. An instance is only a cache; nothing
//! that a guest remembers may be relied upon.

use crate::instance::Instance;
use crate::limits;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// The idle instances of one plugin.
#[derive(Default)]
pub struct Pool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    #[expect(clippy::vec_box, reason = "an instance moves between pool and call by its pointer")]
    instances: Vec<Box<Instance>>,
    bytes: usize,
    /// Instances of an earlier generation are not accepted.
    generation: u64,
}

impl Pool {
    /// Takes an idle instance, if there is one, and returns the current generation.
    pub fn take(&self) -> (Option<Box<Instance>>, u64) {
        let mut idle = self.0.lock();
        let taken = idle.instances.pop();
        idle.bytes -= taken.as_ref().map_or(0, |instance| instance.memory_bytes());
        let generation = idle.generation;
        drop(idle);
        // An expired instance is destroyed here, outside the lock.
        (taken.filter(|instance| !instance.is_expired()), generation)
    }

    fn put(&self, instance: Box<Instance>, generation: u64) {
        let bytes = instance.memory_bytes();
        let mut idle = self.0.lock();
        let fits = idle.instances.is_empty()
            || idle.instances.len() < limits::WARM_INSTANCES && idle.bytes + bytes <= limits::WARM_BYTES;
        if generation == idle.generation && fits {
            idle.bytes += bytes;
            idle.instances.push(instance);
        }
        // Otherwise it is destroyed after the lock is released: `idle` is dropped before
        // `instance`.
    }

    /// Destroys all idle instances, and those in use when they are returned.
    pub fn discard(&self) {
        let mut idle = self.0.lock();
        idle.generation += 1;
        idle.bytes = 0;
        let discarded = std::mem::take(&mut idle.instances);
        drop(idle);
        drop(discarded);
    }

    /// Destroys idle instances that have expired.
    pub fn expire(&self) {
        let mut idle = self.0.lock();
        let (expired, usable): (Vec<_>, Vec<_>) = idle.instances.drain(..).partition(|instance| instance.is_expired());
        idle.bytes = usable.iter().map(|instance| instance.memory_bytes()).sum();
        idle.instances = usable;
        drop(idle);
        drop(expired);
    }

    /// The number of idle instances.
    pub fn len(&self) -> usize {
        self.0.lock().instances.len()
    }
}

/// The instance of a successful call, until its effects are committed.
///
/// [`WarmInstance::keep`] returns it to the pool. If dropped it is destroyed.
pub struct WarmInstance {
    instance: Box<Instance>,
    /// None if every event gets a fresh instance.
    pool: Option<(Arc<Pool>, u64)>,
}

impl WarmInstance {
    pub(crate) fn new(instance: Box<Instance>, pool: Option<(Arc<Pool>, u64)>) -> Self {
        Self { instance, pool }
    }

    /// Returns the instance to the pool. Call it when the effects are committed, or when the commit
    /// cannot fail because of what this call read.
    pub fn keep(self) {
        if let Some((pool, generation)) = self.pool
            && !self.instance.is_expired()
        {
            pool.put(self.instance, generation);
        }
    }
}

impl fmt::Debug for WarmInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmInstance").field("pooled", &self.pool.is_some()).finish_non_exhaustive()
    }
}
