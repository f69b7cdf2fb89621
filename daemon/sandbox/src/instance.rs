//! One instance of a plugin: a wasmtime store with the plugin's memory.
//!
//! An instance handles one event at a time. After a failure it is not used again: a trap
//! invalidates its store, and it must not remember an attempt that did not count.

use crate::abi::{Exports, Guest};
use crate::bindings::latest::{About, types};
use crate::call::{Call, StatePage};
use crate::host::{Facts, HostState, Stop};
use crate::limits;
use beadle_model::{Event, PersonIds};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store, UpdateDeadline};

const NOT_STARTED: Stop = Stop::Bug("instance not started");

/// The linked code of a plugin, from which instances are created.
pub struct Code {
    pub engine: Engine,
    pub linked: InstancePre<HostState>,
    pub exports: Exports,
}

/// A store, and the guest in it once it is started.
pub struct Instance {
    pub store: Store<HostState>,
    guest: Option<Guest>,
    created: Instant,
    calls: u32,
}

impl Instance {
    /// An empty store with the plugin's limits. No guest code runs yet.
    pub fn new(engine: &Engine, facts: Arc<Facts>) -> Self {
        let cpu_ns = facts.limits.cpu_ns();
        let hostcall_bytes = facts.hostcall_bytes;
        let mut store = Store::new(engine, HostState::new(facts));
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(hostcall_bytes);
        store.set_max_component_handles(limits::HANDLES);
        store.epoch_deadline_callback(move |store| {
            if store.data().meter.tick() > cpu_ns { Err(Stop::Cpu.into()) } else { Ok(UpdateDeadline::Yield(1)) }
        });
        Self { store, guest: None, created: Instant::now(), calls: 0 }
    }

    /// Whether the guest has been started.
    pub fn is_started(&self) -> bool {
        self.guest.is_some()
    }

    /// Starts the guest: its initialisers and `start` functions run.
    pub async fn start(&mut self, code: &Code) -> wasmtime::Result<()> {
        self.set_deadline();
        let instance = code.linked.instantiate_async(&mut self.store).await?;
        // Instantiating without initialisers is not interrupted.
        let host = self.store.data();
        if host.meter.tick() > host.facts.limits.cpu_ns() {
            return Err(Stop::Cpu.into());
        }
        self.guest = Some(code.exports.load(&mut self.store, &instance)?);
        Ok(())
    }

    /// Passes an event to the guest.
    pub async fn handle(&mut self, call: &Call) -> wasmtime::Result<Result<types::Disposition, types::Failure>> {
        self.set_deadline();
        self.calls += 1;
        self.store.data_mut().begin(Arc::clone(&call.event));
        let guest = self.guest.as_ref().ok_or(NOT_STARTED)?;
        guest.handle(&mut self.store, call).await
    }

    /// Asks the guest for its `about` and for the version of its state.
    pub async fn describe(&mut self) -> wasmtime::Result<(Option<About>, u32)> {
        self.set_deadline();
        let guest = self.guest.as_ref().ok_or(NOT_STARTED)?;
        Ok((guest.describe(&mut self.store).await?, guest.state_version(&mut self.store).await?))
    }

    /// What the guest keeps about a person, as JSON. The event provides the time and what may be
    /// read.
    pub async fn export_contact(
        &mut self,
        event: &Arc<Event>,
        ids: &PersonIds,
    ) -> wasmtime::Result<crate::abi::Exported> {
        self.set_deadline();
        self.store.data_mut().begin(Arc::clone(event));
        let guest = self.guest.as_ref().ok_or(NOT_STARTED)?;
        guest.export_contact(&mut self.store, ids).await
    }

    /// Has the guest migrate a page of its state.
    pub async fn migrate(&mut self, page: &StatePage) -> wasmtime::Result<crate::abi::Migrated> {
        self.set_deadline();
        self.store.data_mut().begin_migration();
        let guest = self.guest.as_ref().ok_or(NOT_STARTED)?;
        guest.migrate(&mut self.store, page).await
    }

    /// The first check happens after one whole tick at the earliest: most calls have ended by then.
    fn set_deadline(&mut self) {
        self.store.set_epoch_deadline(2);
    }

    /// Whether it has to be replaced because of its age or its number of calls.
    pub fn is_expired(&self) -> bool {
        self.calls >= limits::INSTANCE_CALLS || self.created.elapsed() >= Duration::from_secs(limits::INSTANCE_AGE_SECS)
    }

    /// The size of its linear memories and tables.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory.bytes
    }
}
