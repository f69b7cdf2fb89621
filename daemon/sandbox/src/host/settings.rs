//! `settings`: the plugin's settings as JSON.

use super::host_state::HostState;
use crate::bindings::latest::settings::Host;

impl Host for HostState {
    async fn get(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.facts.settings.clone())
    }
}
