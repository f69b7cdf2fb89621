//! What a plugin can ask of its host, a file per capability; and what the host knows while it is asked.
//!
//! A host function writes an effect down or reads the store, no more. It answers a plugin's mistake with a refusal, and
//! ends the call only where going on would break a limit ([`Stop`]). While an instance is being made, and while `about`
//! is asked, there is no event: then nothing can be read or asked for, so that an instance never knows more than its
//! bytes and its settings when it starts, whichever event it was made for.

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

use crate::abi::latest::types as wit;
use crate::limits::{self, Limits};
use crate::meter::Meter;
use crate::report::{Level, LogLine};
use beadle_model::{Effects, Event, EventId, EventKind, MessageId, PluginNo, Refusal, StateNo, Timestamp};
use beadle_store::{Reader, StoreError};
use memory::Memory;
use random::{Seed, Stream};
use state::Overlay;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use wasi::Wasi;
use wasmtime::component::Linker;

pub use http::refuse_http;
pub use log::plain;

/// What all instances of one plugin have in common.
pub struct Facts {
    /// Its name: its file's stem.
    pub name: Arc<str>,
    /// Its number in the store.
    pub no: PluginNo,
    /// The state that it reads and writes.
    pub state: StateSlot,
    /// Its settings, as JSON.
    pub settings: String,
    /// What it may use.
    pub limits: Limits,
    /// Through which channels it may send; none is all of them.
    pub channels: Option<Vec<String>>,
    /// What it exports.
    pub subscriptions: BTreeSet<EventKind>,
    /// Seeds its randomness.
    pub host_key: [u8; 32],
    /// Where it reads.
    pub reader: Reader,
    /// Where it gets ids for its messages.
    pub reserve: Arc<dyn Fn() -> MessageId + Send + Sync>,
}

/// The number of a plugin's state, which a migration changes under a plugin that is loaded and does not run yet.
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

/// What a store of wasmtime carries: one instance's host side.
pub struct HostState {
    pub facts: Arc<Facts>,
    pub meter: Arc<Meter>,
    pub memory: Memory,
    pub task: Task,
    senses: Arc<Senses>,
    wasi: Option<Box<Wasi>>,
}

/// What one call has seen and asked for.
#[derive(Default)]
pub struct Task {
    pub effects: Effects,
    pub log: Vec<LogLine>,
    pub log_dropped: u32,
    pub calls: u32,
    /// Nothing that it asks for will be done.
    pub dry: bool,
    /// The plugin's documents, once they were asked for.
    documents: Option<Vec<beadle_store::Document>>,
    /// None while the instance is being made and while `about` is asked.
    event: Option<Arc<Event>>,
    /// It brings its state over: there is no event, and only the state can be read and written.
    migrating: bool,
    log_bytes: usize,
    overlay: Overlay,
}

/// Time and chance, which WASI's own objects see too.
struct Senses {
    now_ms: AtomicI64,
    random: Mutex<Stream>,
}

impl Senses {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Relaxed))
    }

    fn random<T>(&self, draw: impl FnOnce(&mut Stream) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a host function ends the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("out of CPU")]
    Cpu,
    #[error("too many host calls")]
    HostCalls,
    #[error("too many effects")]
    Effects,
    #[error("no such export")]
    NotSubscribed,
    #[error("`{0}` is not for plugins")]
    Http(String),
    #[error("{0}")]
    Store(String),
    #[error("{0}")]
    Bug(&'static str),
}

/// A "no" inside the host: to the plugin, or to the whole call.
pub enum No {
    Refused(Refusal),
    Stopped(Stop),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        No::Refused(refusal)
    }
}

impl From<Stop> for No {
    fn from(stop: Stop) -> Self {
        No::Stopped(stop)
    }
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        No::Stopped(Stop::Store(error.to_string()))
    }
}

/// What a host function of the contract returns.
type Answer<T> = wasmtime::Result<Result<T, wit::Refusal>>;

/// Brings an answer into the form that the bindings want.
fn answer<T>(result: Result<T, No>) -> Answer<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(No::Refused(refusal)) => Ok(Err(refusal.into())),
        Err(No::Stopped(stop)) => Err(stop.into()),
    }
}

/// Gives a linker everything that a plugin can import, `wasi:http` aside.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    crate::abi::link(linker)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// Types have no functions.
impl wit::Host for HostState {}
impl crate::abi::latest::outgoing::Host for HostState {}

impl HostState {
    /// For a new instance.
    pub fn new(facts: Arc<Facts>) -> Self {
        let memory = Memory::new(facts.limits.memory_bytes());
        let senses = Senses { now_ms: AtomicI64::new(0), random: Mutex::new(Stream::none()) };
        Self { facts, meter: Arc::default(), memory, task: Task::default(), senses: Arc::new(senses), wasi: None }
    }

    /// Sets time and chance for the handling that comes; nothing is left of the one before.
    pub fn prepare(&mut self, event: EventId, now: Timestamp) {
        self.task = Task::default();
        self.memory.refused = false;
        self.senses.now_ms.store(now.as_ms(), Relaxed);
        let seed = Seed { host_key: self.facts.host_key, event, plugin: Arc::clone(&self.facts.name) };
        self.senses.random(|stream| *stream = Stream::new(seed));
    }

    /// From here on there is an event to act on.
    pub fn begin(&mut self, event: Arc<Event>) {
        self.task.event = Some(event);
    }

    /// From here on the state can be read and written, and nothing else.
    pub fn begin_migration(&mut self) {
        self.task.migrating = true;
    }

    /// What the call has seen and asked for; the next one starts with nothing.
    pub fn finish(&mut self) -> Task {
        let mut task = std::mem::take(&mut self.task);
        if task.log_dropped > 0 {
            let text = format!(
                "{} lines more were dropped over the limit of {} KiB (`[plugins.{}] limits.log_kib`)",
                task.log_dropped, self.facts.limits.log_kib, self.facts.name
            );
            task.log.push(LogLine { level: Level::Warn, text });
        }
        task
    }

    /// Every host function of the contract calls this first.
    fn enter(&mut self) -> Result<(), Stop> {
        self.task.calls += 1;
        if self.task.calls > limits::HOST_CALLS { Err(Stop::HostCalls) } else { Ok(()) }
    }

    /// The event that is being handled.
    fn event(&self) -> Result<&Arc<Event>, Refusal> {
        let doing = if self.task.migrating { "brings its state over: only that" } else { "is being started: nothing" };
        self.task.event.as_ref().ok_or_else(|| {
            Refusal::new("host-call-at-start", format!("The plugin {doing} can be read or asked for."))
                .instead("Do it in `handle`.")
        })
    }

    /// Whether the state can be read and written.
    fn has_state(&self) -> Result<(), Refusal> {
        if self.task.migrating { Ok(()) } else { self.event().map(drop) }
    }

    /// Where one more effect goes, if there may be one.
    fn effect(&mut self) -> Result<&mut Effects, No> {
        self.event()?;
        self.one_more()
    }

    /// The same for one of the state.
    fn state_effect(&mut self) -> Result<&mut Effects, No> {
        self.has_state()?;
        self.one_more()
    }

    fn one_more(&mut self) -> Result<&mut Effects, No> {
        let effects = &mut self.task.effects;
        let asked = effects.state.len() + effects.timers.len() + effects.media.len() + effects.sends.len();
        // A page of state has half as many values as the limit, each of which may be written four times.
        let most = self.facts.limits.effects as usize * if self.task.migrating { 2 } else { 1 };
        if asked >= most {
            return Err(Stop::Effects.into());
        }
        Ok(effects)
    }
}

/// Whom a value or a timer is about.
fn scope(scope: wit::Scope) -> Result<beadle_model::Scope, Refusal> {
    scope.try_into().map_err(bad_id)
}

fn bad_id(error: beadle_model::ParseIdError) -> Refusal {
    Refusal::new("bad-id", format!("{error}."))
}

/// A key of state or of a timer.
fn check_key(key: &str) -> Result<(), Refusal> {
    if (1..=limits::KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    Err(Refusal::new("bad-key", format!("A key has 1 to {} bytes; this one has {}.", limits::KEY_BYTES, key.len())))
}
