//! `settings`: what the operator's TOML says, as JSON.

use super::HostState;
use crate::abi::latest::settings::Host;

impl Host for HostState {
    async fn get(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.facts.settings.clone())
    }
}
