//! Time and randomness of a handling.
//!
//! Random numbers are a ChaCha12 stream whose seed is HMAC(host key, event id ‖ plugin name). The
//! seed is computed at the first draw.

use crate::handles::derive_key;
use beadle_model::{EventId, Timestamp};
use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng, TryRng};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Time and randomness of a handling. WASI's own objects share them.
pub struct Inputs {
    now_ms: AtomicI64,
    random: Mutex<Stream>,
}

impl Inputs {
    /// For an instance that no handling was prepared for.
    pub fn unprepared() -> Self {
        Self { now_ms: AtomicI64::new(0), random: Mutex::new(Stream::unseeded()) }
    }

    /// Sets the time, and the seed of the random numbers.
    pub fn set(&self, now: Timestamp, seed: Seed) {
        self.now_ms.store(now.as_ms(), Relaxed);
        *self.random.lock() = Stream::new(seed);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Relaxed))
    }

    pub fn random<T>(&self, draw: impl FnOnce(&mut Stream) -> T) -> T {
        draw(&mut self.random.lock())
    }
}

/// The seed of the stream. The attempt is not part of the seed.
pub struct Seed {
    pub host_key: [u8; 32],
    pub event: EventId,
    pub plugin: Arc<str>,
}

impl Seed {
    fn bytes(&self) -> [u8; 32] {
        derive_key(&self.host_key, &[&self.event.0.to_be_bytes(), self.plugin.as_bytes()])
    }
}

/// The random bytes of one handling.
pub struct Stream {
    seed: Option<Seed>,
    rng: Option<ChaCha12Rng>,
}

impl Stream {
    fn new(seed: Seed) -> Self {
        Self { seed: Some(seed), rng: None }
    }

    fn unseeded() -> Self {
        Self { seed: None, rng: None }
    }

    pub fn rng(&mut self) -> &mut ChaCha12Rng {
        let seed = &self.seed;
        let seeded = || ChaCha12Rng::from_seed(seed.as_ref().map_or([0; 32], Seed::bytes));
        self.rng.get_or_insert_with(seeded)
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.rng().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.rng().next_u64())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.rng().fill_bytes(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(host_key: u8, event: i64, plugin: &str) -> [u8; 100] {
        let mut out = [0; 100];
        let seed = Seed { host_key: [host_key; 32], event: EventId(event), plugin: plugin.into() };
        Stream::new(seed).rng().fill_bytes(&mut out);
        out
    }

    #[test]
    fn numbers_depend_on_host_event_and_plugin_only() {
        assert_eq!(draw(1, 7, "polls"), draw(1, 7, "polls"));
        for other in [draw(2, 7, "polls"), draw(1, 8, "polls"), draw(1, 7, "pols")] {
            assert_ne!(draw(1, 7, "polls"), other);
        }
    }
}
