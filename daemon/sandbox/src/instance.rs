//! One instance of a plugin: a store of wasmtime with the plugin's code and memory in it.
//!
//! An instance handles one event after the other, never two at once. After any failure it is not used again: a trap
//! marks it, and what it remembers of a try that did not count must not live on.

use crate::abi::latest::{self, About, types};
use crate::abi::{Exports, Guests};
use crate::host::{Facts, HostState, Stop};
use crate::limits;
use crate::report::{Call, Page};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store, UpdateDeadline};

const NOT_STARTED: Stop = Stop::Bug("an instance was not started");

/// A plugin's code, linked: what instances are made of.
pub struct Code {
    pub engine: Engine,
    pub linked: InstancePre<HostState>,
    pub exports: Exports,
}

/// A store, and the guest in it once it is started.
pub struct Instance {
    pub store: Store<HostState>,
    guests: Option<Guests>,
    born: Instant,
    calls: u32,
}

impl Instance {
    /// An empty store with its limits; nothing of the guest runs yet.
    pub fn new(engine: &Engine, facts: Arc<Facts>) -> Self {
        let cpu_ns = u64::from(facts.limits.cpu_ms) * 1_000_000;
        let handed = limits::HOSTCALL_BYTES + facts.limits.value_bytes();
        let mut store = Store::new(engine, HostState::new(facts));
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(handed);
        store.set_max_component_handles(limits::HANDLES);
        store.epoch_deadline_callback(move |store| {
            if store.data().meter.tick() > cpu_ns { Err(Stop::Cpu.into()) } else { Ok(UpdateDeadline::Yield(1)) }
        });
        Self { store, guests: None, born: Instant::now(), calls: 0 }
    }

    /// Whether the guest has been started.
    pub fn is_started(&self) -> bool {
        self.guests.is_some()
    }

    /// Starts the guest: its initialisers and `start` functions run.
    pub async fn start(&mut self, code: &Code) -> wasmtime::Result<()> {
        self.set_deadline();
        let instance = code.linked.instantiate_async(&mut self.store).await?;
        self.guests = Some(code.exports.load(&mut self.store, &instance)?);
        Ok(())
    }

    /// Gives it an event.
    pub async fn handle(&mut self, call: &Call) -> wasmtime::Result<Result<types::Disposition, types::Failure>> {
        self.set_deadline();
        self.calls += 1;
        self.store.data_mut().begin(Arc::clone(&call.event));
        let guests = self.guests.as_ref().ok_or(NOT_STARTED)?;
        guests.handle(&mut self.store, call).await
    }

    /// Asks it what it says of itself, and under which version it keeps its state.
    pub async fn describe(&mut self) -> wasmtime::Result<(Option<About>, u32)> {
        self.set_deadline();
        let guests = self.guests.as_ref().ok_or(NOT_STARTED)?;
        Ok((guests.describe(&mut self.store).await?, guests.state_version(&mut self.store).await?))
    }

    /// Has it bring a page of its state over.
    pub async fn migrate(&mut self, page: &Page) -> wasmtime::Result<latest::Moved> {
        self.set_deadline();
        self.store.data_mut().begin_migration();
        let guests = self.guests.as_ref().ok_or(NOT_STARTED)?;
        guests.migrate(&mut self.store, page).await
    }

    /// The first look comes after one whole tick at least: most calls have ended by then.
    fn set_deadline(&mut self) {
        self.store.set_epoch_deadline(2);
    }

    /// Whether it has served its time.
    pub fn is_worn(&self) -> bool {
        self.calls >= limits::INSTANCE_CALLS || self.born.elapsed() >= Duration::from_secs(limits::INSTANCE_AGE_SECS)
    }

    /// Its linear memories and tables.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory.bytes
    }
}
