//! A loaded plugin.

use crate::call::{Call, StatePage, Usage};
use crate::execute;
use crate::fault::{During, Fault, FaultKind};
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::meter;
use crate::report::{MigratedPage, Report};
use crate::spec::{About, Isolation};
use beadle_model::effect::RefusedAsks;
use beadle_model::{EventKind, PersonIds, PluginNo, StateNo, Timestamp};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};

/// One revision of a plugin. To the sandbox two revisions are two plugins; which of them gets an
/// event is decided in `beadle-pipeline`.
pub struct Plugin {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) revision: String,
    pub(crate) requested_capabilities: BTreeSet<&'static str>,
    pub(crate) about: Option<About>,
    pub(crate) state_version: u32,
    pub(crate) load_times: Vec<(&'static str, Duration)>,
}

impl Plugin {
    /// The stem of its file name.
    pub fn name(&self) -> &Arc<str> {
        &self.loaded.facts.name
    }

    /// Its number in the store.
    pub fn no(&self) -> PluginNo {
        self.loaded.facts.no
    }

    /// The state that it reads and writes.
    pub fn state(&self) -> StateNo {
        self.loaded.facts.state.get()
    }

    /// Changes the state that it reads and writes. Only for a plugin that gets no events meanwhile.
    pub fn set_state(&self, state: StateNo) {
        self.loaded.facts.state.set(state);
    }

    /// The SHA-256 of its file in hexadecimal.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The events that it exports.
    pub fn subscriptions(&self) -> &BTreeSet<EventKind> {
        &self.loaded.facts.subscriptions
    }

    /// The capabilities that it imports, by the names of their interfaces.
    pub fn requested_capabilities(&self) -> &BTreeSet<&'static str> {
        &self.requested_capabilities
    }

    /// What it says about itself.
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// The version of its state; 0 if it exports no `migration`.
    pub fn state_version(&self) -> u32 {
        self.state_version
    }

    /// The settings with which it was loaded, as JSON.
    pub fn settings(&self) -> &str {
        &self.loaded.facts.settings
    }

    /// The channels on which it may send; none for all.
    pub fn channels(&self) -> Option<&[String]> {
        self.loaded.facts.channels.as_deref()
    }

    /// The lifetime of its instances.
    pub fn isolation(&self) -> Isolation {
        if self.loaded.is_warm { Isolation::Warm } else { Isolation::PerEvent }
    }

    /// The steps of loading it, with their durations.
    pub fn load_times(&self) -> &[(&'static str, Duration)] {
        &self.load_times
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.loaded.facts.limits
    }

    /// The number of idle instances.
    pub fn warm_instances(&self) -> usize {
        self.loaded.pool.len()
    }

    /// Handles one event. Waits for a permit if the maximum of calls of this plugin is running;
    /// then the call ends within the plugin's limits. Dropping the future ends the call. The caller
    /// bounds the number of waiting calls.
    pub async fn handle(&self, call: Call) -> Report {
        self.run(call, false).await
    }

    /// Handles one event without consequences: in an instance of its own that is destroyed
    /// afterwards, and without reserving message ids. The effects must be discarded.
    pub async fn dry_run(&self, call: Call) -> Report {
        self.run(call, true).await
    }

    /// Migrates a page of the state that [`Plugin::state`] names. The writes must be carried out
    /// before the next page is migrated.
    pub async fn migrate(&self, page: StatePage) -> Result<MigratedPage, Fault> {
        let task = self.loaded.runtime.threads.spawn(execute::migrate(Arc::clone(&self.loaded), page));
        AbortOnDrop(task).join().await.unwrap_or_else(|error| Err(self.panicked(error, During::Migrating)))
    }

    /// What it keeps about a person, if it exports `privacy`. Effects of the call are discarded.
    pub async fn export_contact(&self, ids: PersonIds, now: Timestamp) -> Result<serde_json::Value, Fault> {
        let task = self.loaded.runtime.threads.spawn(execute::export_contact(Arc::clone(&self.loaded), ids, now));
        AbortOnDrop(task).join().await.unwrap_or_else(|error| Err(self.panicked(error, During::Exporting)))
    }

    async fn run(&self, call: Call, dry: bool) -> Report {
        let event = call.event.id;
        let task = self.loaded.runtime.threads.spawn(execute::handle(Arc::clone(&self.loaded), call, dry));
        AbortOnDrop(task).join().await.unwrap_or_else(|error| Report {
            outcome: Err(self.panicked(error, During::Event(event))),
            log: vec![],
            refused: RefusedAsks::default(),
            usage: Usage::default(),
        })
    }

    fn panicked(&self, error: JoinError, during: During) -> Fault {
        let reason = match error.try_into_panic() {
            Ok(payload) => meter::panic_text(payload.as_ref()),
            Err(_) => "the sandbox is shutting down".to_owned(),
        };
        Fault { kind: FaultKind::HostPanic { reason }, plugin: Arc::clone(self.name()), during, backtrace: vec![] }
    }

    /// Destroys all idle instances, and those in use when they are returned. To be called if a
    /// commit failed after [`crate::WarmInstance::keep`], so that no instance remembers it.
    pub fn discard_instances(&self) {
        self.loaded.pool.discard();
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", self.name())
            .field("revision", &self.revision)
            .field("subscriptions", self.subscriptions())
            .field("requested_capabilities", &self.requested_capabilities)
            .finish_non_exhaustive()
    }
}

/// Aborts a task whose result no one waits for.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
