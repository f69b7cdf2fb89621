//! `random`: chance that is the same when an event is handled again, and cannot be guessed by whoever sent it.
//!
//! A stream of HMAC-SHA-256 blocks in counter mode, keyed by HMAC(host key, event id ‖ plugin name). Nothing is computed
//! until something is drawn.

use super::HostState;
use crate::abi::latest::random::Host;
use crate::limits;
use beadle_model::EventId;
use hmac::{Hmac, Mac};
use rand_core::TryRng;
use sha2::Sha256;
use std::convert::Infallible;
use std::sync::Arc;

const BLOCK: usize = 32;

/// What the stream hangs on: not the attempt.
pub struct Seed {
    pub host_key: [u8; 32],
    pub event: EventId,
    pub plugin: Arc<str>,
}

/// The bytes that one handling draws, one after the other.
pub struct Stream {
    /// Until the first draw.
    seed: Option<Seed>,
    key: [u8; BLOCK],
    block: [u8; BLOCK],
    /// Bytes of `block` that were given out.
    used: usize,
    counter: u64,
}

impl Stream {
    pub fn new(seed: Seed) -> Self {
        Self { seed: Some(seed), ..Self::none() }
    }

    /// Chance without any, for an instance that nothing was prepared for.
    pub fn none() -> Self {
        Self { seed: None, key: [0; BLOCK], block: [0; BLOCK], used: BLOCK, counter: 0 }
    }

    pub fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used >= BLOCK {
                self.next_block();
            }
            *byte = self.block.get(self.used).copied().unwrap_or_default();
            self.used += 1;
        }
    }

    fn next_block(&mut self) {
        if let Some(seed) = self.seed.take() {
            self.key = hmac(&seed.host_key, &[&seed.event.0.to_be_bytes(), seed.plugin.as_bytes()]);
        }
        self.block = hmac(&self.key, &[&self.counter.to_be_bytes()]);
        self.counter = self.counter.wrapping_add(1);
        self.used = 0;
    }
}

fn hmac(key: &[u8; BLOCK], parts: &[&[u8]]) -> [u8; BLOCK] {
    // HMAC takes a key of any length, so this cannot fail; a block of zeros would be no secret, but no crash either.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; BLOCK] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl Host for HostState {
    async fn number(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        let mut bytes = [0; 8];
        self.senses.random(|stream| stream.fill(&mut bytes));
        Ok(u64::from_le_bytes(bytes))
    }

    async fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
        let mut bytes = vec![0; (count as usize).min(limits::RANDOM_BYTES)];
        self.senses.random(|stream| stream.fill(&mut bytes));
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(host_key: u8, event: i64, plugin: &str) -> [u8; 100] {
        let mut out = [0; 100];
        Stream::new(Seed { host_key: [host_key; 32], event: EventId(event), plugin: plugin.into() }).fill(&mut out);
        out
    }

    #[test]
    fn the_same_handling_draws_the_same_and_every_other_something_else() {
        assert_eq!(draw(1, 7, "polls"), draw(1, 7, "polls"));
        for other in [draw(2, 7, "polls"), draw(1, 8, "polls"), draw(1, 7, "pols")] {
            assert_ne!(draw(1, 7, "polls"), other);
        }
    }

    #[test]
    fn a_stream_does_not_care_how_it_is_cut() {
        let mut stream = Stream::new(Seed { host_key: [1; 32], event: EventId(7), plugin: "polls".into() });
        let mut cut = [0; 100];
        let (first, rest) = cut.split_at_mut(33);
        stream.fill(first);
        stream.fill(rest);
        assert_eq!(cut, draw(1, 7, "polls"));
    }
}
