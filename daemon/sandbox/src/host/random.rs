//! `random`: numbers that repeat when an event is handled again, and that its sender cannot predict
//! ([`super::inputs`]).

use super::host_state::HostState;
use crate::bindings::latest::random::Host;
use crate::limits;
use rand_core::Rng;

impl Host for HostState {
    async fn number(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        Ok(self.inputs.random(|stream| stream.rng().next_u64()))
    }

    async fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
        let mut bytes = vec![0; (count as usize).min(limits::RANDOM_BYTES)];
        self.inputs.random(|stream| stream.rng().fill_bytes(&mut bytes));
        Ok(bytes)
    }
}
