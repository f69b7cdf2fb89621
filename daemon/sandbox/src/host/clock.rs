//! `clock`: civil time at the start of this try. It stands still, so that a plugin cannot measure and a replay agrees.

use super::HostState;
use crate::abi::latest::clock::Host;

impl Host for HostState {
    async fn now(&mut self) -> wasmtime::Result<i64> {
        self.enter()?;
        Ok(self.senses.now().as_ms())
    }
}
