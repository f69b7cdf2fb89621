//! The host's side of an instance, which every capability works on.

use super::answer::{HostError, Stop};
use super::facts::Facts;
use super::inputs::{Inputs, Seed};
use super::memory::Memory;
use super::overlay::Overlay;
use super::requests::Requests;
use super::wasi::Wasi;
use crate::bindings::latest::types as wit;
use crate::call::{Level, LogLine};
use crate::limits;
use crate::meter::Meter;
use beadle_model::effect::RefusedAsks;
use beadle_model::{Effects, Event, EventId, Refusal, Timestamp};
use std::sync::Arc;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// The host's side of an instance: the data of its wasmtime store.
pub struct HostState {
    pub facts: Arc<Facts>,
    pub meter: Arc<Meter>,
    pub memory: Memory,
    pub task: Task,
    pub inputs: Arc<Inputs>,
    pub requests: Arc<Requests>,
    wasi: Option<Box<Wasi>>,
}

/// What a call has read and requested.
#[derive(Default)]
pub struct Task {
    pub effects: Effects,
    /// Messages that the gate refused.
    pub refused: RefusedAsks,
    pub log: Vec<LogLine>,
    pub log_dropped: u32,
    pub calls: u32,
    /// A message was refused for a decision of its recipient or about them, such as an opt-out.
    pub person_refused: bool,
    /// The effects will be discarded.
    pub dry: bool,
    /// The plugin's documents, once they were listed.
    pub documents: Option<Vec<beadle_store::Document>>,
    /// None while the instance is created and while `about` is called.
    event: Option<Arc<Event>>,
    /// The plugin migrates its state: there is no event, and only state can be read and written.
    pub migrating: bool,
    pub log_bytes: usize,
    effect_bytes: usize,
    pub overlay: Overlay,
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().view()
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi().http()
    }
}

/// Interfaces that have only types.
impl wit::Host for HostState {}
impl crate::bindings::latest::outgoing::Host for HostState {}

impl HostState {
    /// For a new instance.
    pub fn new(facts: Arc<Facts>) -> Self {
        let memory = Memory::new(facts.limits.memory_bytes(), facts.metadata_bytes);
        let inputs = Arc::new(Inputs::unprepared());
        let requests = Arc::new(Requests::new(Arc::clone(&facts)));
        Self { facts, meter: Arc::default(), memory, task: Task::default(), inputs, requests, wasi: None }
    }

    /// WASI's side, created at the first call.
    pub fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.inputs, &self.requests)))
    }

    /// Sets time and randomness for the next handling, and discards everything of the previous one.
    pub fn prepare(&mut self, event: EventId, now: Timestamp) {
        self.task = Task::default();
        self.memory.reset();
        let seed = Seed { host_key: self.facts.host_key, event, plugin: Arc::clone(&self.facts.name) };
        self.inputs.set(now, seed);
    }

    /// From here on there is an event, and everything that was granted can be used.
    pub fn begin(&mut self, event: Arc<Event>) {
        self.task.event = Some(event);
        self.requests.open();
    }

    /// From here on state can be read and written, and nothing else.
    pub fn begin_migration(&mut self) {
        self.task.migrating = true;
    }

    /// What the call has read and requested.
    pub fn finish(&mut self) -> Task {
        let mut task = std::mem::take(&mut self.task);
        if task.log_dropped > 0 {
            let text = format!(
                "{} more lines dropped: limit of {} KiB reached (`[plugins.{}] limits.log_kib`)",
                task.log_dropped, self.facts.limits.log_kib, self.facts.name
            );
            task.log.push(LogLine { level: Level::Warn, text });
        }
        task
    }

    /// Counts a host call. Every host function of the contract calls this first.
    pub fn enter(&mut self) -> Result<(), Stop> {
        self.task.calls += 1;
        if self.task.calls > limits::HOST_CALLS { Err(Stop::HostCalls) } else { Ok(()) }
    }

    /// The event that is being handled.
    pub fn event(&self) -> Result<&Arc<Event>, Refusal> {
        self.task.event.as_ref().ok_or_else(|| {
            let message = if self.task.migrating {
                "Only state, settings, clock, random and log are available during a migration."
            } else {
                "Nothing can be read or requested while the plugin is being started."
            };
            Refusal::new("host-call-at-start", message).instead("Do it in `handle`.")
        })
    }

    /// Checks that state is available.
    pub fn require_state(&self) -> Result<(), Refusal> {
        if self.task.migrating { Ok(()) } else { self.event().map(drop) }
    }

    /// The effects, if one more of this size is allowed. Counts it.
    pub fn effect(&mut self, bytes: usize) -> Result<&mut Effects, HostError> {
        self.event()?;
        self.one_more(bytes)
    }

    /// The effects, if one more state write of this size is allowed. Counts it.
    pub fn state_effect(&mut self, bytes: usize) -> Result<&mut Effects, HostError> {
        self.require_state()?;
        self.one_more(bytes)
    }

    fn one_more(&mut self, bytes: usize) -> Result<&mut Effects, HostError> {
        let effects = &mut self.task.effects;
        let count = effects.count();
        // A page of a migration has half as many entries as the limit, and each may be written four
        // times.
        let max = self.facts.limits.effects as usize * if self.task.migrating { 2 } else { 1 };
        if count >= max {
            return Err(Stop::Effects.into());
        }
        self.task.effect_bytes = self.task.effect_bytes.saturating_add(bytes);
        if self.task.effect_bytes > limits::EFFECT_BYTES {
            return Err(Stop::EffectBytes.into());
        }
        Ok(effects)
    }
}

/// The owner of a value or a timer.
pub fn scope(scope: wit::Scope) -> Result<beadle_model::Scope, Refusal> {
    scope.try_into().map_err(bad_id)
}

pub fn bad_id(error: beadle_model::ParseIdError) -> Refusal {
    Refusal::new("bad-id", format!("{error}."))
}

/// Checks a key of state or of a timer.
pub fn check_key(key: &str) -> Result<(), Refusal> {
    if (1..=limits::KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    let message = format!("A key must have 1 to {} bytes; this one has {}.", limits::KEY_BYTES, key.len());
    Err(Refusal::new("bad-key", message))
}
