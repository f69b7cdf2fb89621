//! What a plugin can call: one file per capability, and the host's side of an instance.
//!
//! A host function records an effect or reads the store, nothing else. It answers a mistake of the
//! plugin with a refusal, and ends the call only if continuing would exceed a limit ([`Stop`]). While
//! an instance is created, and while `about` is called, there is no event, and nothing can be read or
//! requested: a fresh instance depends only on the plugin's file and settings.

mod clock;
mod contacts;
mod documents;
mod groups;
mod http;
mod log;
mod media;
mod memory;
mod messages;
mod outgoing;
mod random;
mod replies;
mod settings;
mod state;
mod template;
mod timers;
mod wasi;

use crate::bindings::latest::types as wit;
use crate::call::{Level, LogLine};
use crate::handles::Handles;
use crate::limits::{self, Limits};
use crate::meter::Meter;
use beadle_model::{Effects, Event, EventId, EventKind, MessageId, PluginNo, Refusal, StateNo, Timestamp};
use beadle_store::{Reader, StoreError};
use memory::Memory;
use parking_lot::Mutex;
use random::{Seed, Stream};
use state::Overlay;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use wasi::Wasi;

pub use http::refuse_http;
pub use log::printable;
pub use memory::exhausted;

/// What all instances of a plugin share.
pub struct Facts {
    /// The plugin's name: the stem of its file name.
    pub name: Arc<str>,
    /// Its number in the store.
    pub no: PluginNo,
    /// The state that it reads and writes.
    pub state: StateSlot,
    /// Its settings, as JSON.
    pub settings: String,
    /// Its limits.
    pub limits: Limits,
    /// Bytes that an instance uses besides its memories and tables.
    pub metadata_bytes: usize,
    /// The channels on which it may send; none for all.
    pub channels: Option<Vec<String>>,
    /// The events that it exports.
    pub subscriptions: BTreeSet<EventKind>,
    /// The key that seeds its random numbers.
    pub host_key: [u8; 32],
    /// Makes handles for ids of the platform.
    pub handles: Arc<Handles>,
    /// Reads from the store.
    pub reader: Reader,
    /// Reserves an id for a message.
    pub reserve: Arc<dyn Fn() -> MessageId + Send + Sync>,
}

/// The number of the state that a plugin uses. A migration changes it while the plugin is loaded and
/// gets no events.
#[derive(Debug)]
pub struct StateSlot(AtomicI64);

impl StateSlot {
    pub fn new(state: StateNo) -> Self {
        Self(AtomicI64::new(state.0))
    }

    pub fn get(&self) -> StateNo {
        StateNo(self.0.load(Relaxed))
    }

    pub fn set(&self, state: StateNo) {
        self.0.store(state.0, Relaxed);
    }
}

/// The host's side of an instance: the data of its wasmtime store.
pub struct HostState {
    pub facts: Arc<Facts>,
    pub meter: Arc<Meter>,
    pub memory: Memory,
    pub task: Task,
    inputs: Arc<Inputs>,
    wasi: Option<Box<Wasi>>,
}

/// What a call has read and requested.
#[derive(Default)]
pub struct Task {
    pub effects: Effects,
    pub log: Vec<LogLine>,
    pub log_dropped: u32,
    pub calls: u32,
    /// A message was refused because its recipient opted out.
    pub opt_out_refused: bool,
    /// The effects will be discarded.
    pub dry: bool,
    /// The plugin's documents, once they were listed.
    documents: Option<Vec<beadle_store::Document>>,
    /// None while the instance is created and while `about` is called.
    event: Option<Arc<Event>>,
    /// The plugin migrates its state: there is no event, and only state can be read and written.
    migrating: bool,
    log_bytes: usize,
    effect_bytes: usize,
    overlay: Overlay,
}

/// Time and randomness of a handling. WASI's own objects share them.
struct Inputs {
    now_ms: AtomicI64,
    random: Mutex<Stream>,
}

impl Inputs {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Relaxed))
    }

    fn random<T>(&self, draw: impl FnOnce(&mut Stream) -> T) -> T {
        draw(&mut self.random.lock())
    }
}

/// Why a host function ends the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("CPU limit exceeded")]
    Cpu,
    #[error("too many host calls")]
    HostCalls,
    #[error("too many effects")]
    Effects,
    #[error("too many bytes of effects")]
    EffectBytes,
    #[error("the event is not exported")]
    NotSubscribed,
    #[error("`{0}` is not available to plugins")]
    Http(String),
    #[error("{0}")]
    Store(String),
    #[error("{0}")]
    Bug(&'static str),
}

/// Why a host function does not do what was requested.
pub enum HostError {
    /// The plugin gets a refusal, and the call continues.
    Refused(Refusal),
    /// The call ends.
    Stopped(Stop),
}

impl From<Refusal> for HostError {
    fn from(refusal: Refusal) -> Self {
        HostError::Refused(refusal)
    }
}

impl From<Stop> for HostError {
    fn from(stop: Stop) -> Self {
        HostError::Stopped(stop)
    }
}

impl From<StoreError> for HostError {
    fn from(error: StoreError) -> Self {
        HostError::Stopped(Stop::Store(error.to_string()))
    }
}

/// What a host function of the contract returns.
type Answer<T> = wasmtime::Result<Result<T, wit::Refusal>>;

/// Converts a result into the form that the bindings expect.
fn answer<T>(result: Result<T, HostError>) -> Answer<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(HostError::Refused(refusal)) => Ok(Err(refusal.into())),
        Err(HostError::Stopped(stop)) => Err(stop.into()),
    }
}

/// Interfaces that have only types.
impl wit::Host for HostState {}
impl crate::bindings::latest::outgoing::Host for HostState {}

impl HostState {
    /// For a new instance.
    pub fn new(facts: Arc<Facts>) -> Self {
        let memory = Memory::new(facts.limits.memory_bytes(), facts.metadata_bytes);
        let inputs = Inputs { now_ms: AtomicI64::new(0), random: Mutex::new(Stream::unseeded()) };
        Self { facts, meter: Arc::default(), memory, task: Task::default(), inputs: Arc::new(inputs), wasi: None }
    }

    /// Sets time and randomness for the next handling, and discards everything of the previous one.
    pub fn prepare(&mut self, event: EventId, now: Timestamp) {
        self.task = Task::default();
        self.memory.reset();
        self.inputs.now_ms.store(now.as_ms(), Relaxed);
        let seed = Seed { host_key: self.facts.host_key, event, plugin: Arc::clone(&self.facts.name) };
        self.inputs.random(|stream| *stream = Stream::new(seed));
    }

    /// From here on there is an event, and everything that was granted can be used.
    pub fn begin(&mut self, event: Arc<Event>) {
        self.task.event = Some(event);
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
    fn enter(&mut self) -> Result<(), Stop> {
        self.task.calls += 1;
        if self.task.calls > limits::HOST_CALLS { Err(Stop::HostCalls) } else { Ok(()) }
    }

    /// The event that is being handled.
    fn event(&self) -> Result<&Arc<Event>, Refusal> {
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
    fn require_state(&self) -> Result<(), Refusal> {
        if self.task.migrating { Ok(()) } else { self.event().map(drop) }
    }

    /// The effects, if one more of this size is allowed. Counts it.
    fn effect(&mut self, bytes: usize) -> Result<&mut Effects, HostError> {
        self.event()?;
        self.one_more(bytes)
    }

    /// The effects, if one more state write of this size is allowed. Counts it.
    fn state_effect(&mut self, bytes: usize) -> Result<&mut Effects, HostError> {
        self.require_state()?;
        self.one_more(bytes)
    }

    fn one_more(&mut self, bytes: usize) -> Result<&mut Effects, HostError> {
        let effects = &mut self.task.effects;
        let count = effects.state.len() + effects.timers.len() + effects.media.len() + effects.sends.len();
        // A page of a migration has half as many entries as the limit, and each may be written four times.
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
fn scope(scope: wit::Scope) -> Result<beadle_model::Scope, Refusal> {
    scope.try_into().map_err(bad_id)
}

fn bad_id(error: beadle_model::ParseIdError) -> Refusal {
    Refusal::new("bad-id", format!("{error}."))
}

/// Checks a key of state or of a timer.
fn check_key(key: &str) -> Result<(), Refusal> {
    if (1..=limits::KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    let message = format!("A key must have 1 to {} bytes; this one has {}.", limits::KEY_BYTES, key.len());
    Err(Refusal::new("bad-key", message))
}
