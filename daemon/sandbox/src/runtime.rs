//! What all plugins of a sandbox share: engine, linker, guest threads and the store's reader.

use crate::code_cache::CodeCache;
use crate::engine::Ticker;
use crate::handles::Handles;
use crate::host::HostState;
use beadle_egress::Policies;
use beadle_gatekeeper::Gatekeeper;
use beadle_model::MessageId;
use beadle_model::consent::rules::PeopleRules;
use beadle_segments::Segments;
use beadle_store::Reader;
use std::sync::Arc;
use tokio::runtime::{Handle, Runtime as Tokio};
use wasmtime::Engine;
use wasmtime::component::Linker;

/// Shared by all plugins of a sandbox.
pub struct Runtime {
    pub engine: Engine,
    pub linker: Linker<HostState>,
    pub ticker: Ticker,
    /// None if compiled code is not cached.
    pub code_cache: Option<Arc<CodeCache>>,
    pub people: Arc<PeopleRules>,
    pub reader: Reader,
    pub gatekeeper: Gatekeeper,
    pub segments: Segments,
    pub egress: Option<Policies>,
    pub reserve: Arc<dyn Fn() -> MessageId + Send + Sync>,
    pub host_key: [u8; 32],
    pub handles: Arc<Handles>,
    pub running_per_plugin: usize,
    /// Held by the only first call of those that run one at a time.
    pub first_call: tokio::sync::Mutex<()>,
    /// The guest threads.
    pub threads: Handle,
    /// None only while it is dropped.
    pub tokio: Option<Tokio>,
}

/// A runtime must not be waited for in an async context, and there is no reason to wait for guests.
impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_background();
        }
    }
}
