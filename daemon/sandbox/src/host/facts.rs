//! What all instances of a plugin share.

use crate::handles::Handles;
use crate::limits::Limits;
use beadle_egress::Policies;
use beadle_gatekeeper::Gatekeeper;
use beadle_model::consent::rules::PeopleRules;
use beadle_model::{EventKind, MessageId, PluginNo, StateNo};
use beadle_segments::Segments;
use beadle_store::Reader;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use tokio::sync::Semaphore;

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
    /// Bytes that a guest may pass in one host call.
    pub hostcall_bytes: usize,
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
    /// What the configuration says about people.
    pub people: Arc<PeopleRules>,
    /// Reads from the store.
    pub reader: Reader,
    /// Decides what it may send.
    pub gatekeeper: Gatekeeper,
    /// Who belongs to which segment.
    pub segments: Segments,
    /// What it may request, and the client that sends it. None: it makes no requests.
    pub egress: Option<Policies>,
    /// Permits for concurrent calls.
    pub permits: Arc<Semaphore>,
    /// Permits for calls that wait for a response.
    pub waiting: Arc<Semaphore>,
    /// Reserves an id for a message.
    pub reserve: Arc<dyn Fn() -> MessageId + Send + Sync>,
}

/// The number of the state that a plugin uses. A migration changes it while the plugin is loaded
/// and gets no events.
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
