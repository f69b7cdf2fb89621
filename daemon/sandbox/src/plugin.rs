//! A plugin that is loaded and may be asked to handle events.

use crate::fault::{During, Fault, FaultKind};
use crate::host::Facts;
use crate::instance::Code;
use crate::limits::Limits;
use crate::load::{About, Isolation};
use crate::pool::Pool;
use crate::report::{Call, Moved, Page, Report, Usage};
use crate::sandbox::Host;
use crate::{call, meter};
use beadle_model::{EventKind, PluginNo, StateNo};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

/// One revision of one plugin. Two revisions are two plugins to the sandbox; which one gets an event is decided above.
pub struct Plugin {
    pub(crate) inner: Arc<Inner>,
    pub(crate) revision: String,
    pub(crate) requested_capabilities: BTreeSet<&'static str>,
    pub(crate) about: Option<About>,
    pub(crate) state_version: u32,
    pub(crate) steps: Vec<(&'static str, Duration)>,
}

/// What a call holds on to while it runs.
pub(crate) struct Inner {
    pub facts: Arc<Facts>,
    pub code: Code,
    pub pool: Arc<Pool>,
    /// Instances outlive an event.
    pub is_warm: bool,
    /// So many calls of this plugin run at once.
    pub turns: Semaphore,
    pub host: Arc<Host>,
}

impl Plugin {
    /// Its name: its file's stem.
    pub fn name(&self) -> &Arc<str> {
        &self.inner.facts.name
    }

    /// Its number in the store.
    pub fn no(&self) -> PluginNo {
        self.inner.facts.no
    }

    /// The state that it reads and writes.
    pub fn state(&self) -> StateNo {
        self.inner.facts.state.get()
    }

    /// From now on it reads and writes this one. For a plugin that no event is given to meanwhile.
    pub fn set_state(&self, state: StateNo) {
        self.inner.facts.state.set(state);
    }

    /// SHA-256 of its file, in hex.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The events that it exports.
    pub fn subscriptions(&self) -> &BTreeSet<EventKind> {
        &self.inner.facts.subscriptions
    }

    /// The capabilities that it imports, by their interfaces' names.
    pub fn requested_capabilities(&self) -> &BTreeSet<&'static str> {
        &self.requested_capabilities
    }

    /// What it says of itself, where it does.
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// The version under which it keeps its state; 0 where it numbers none.
    pub fn state_version(&self) -> u32 {
        self.state_version
    }

    /// The settings that it was loaded with, as JSON.
    pub fn settings(&self) -> &str {
        &self.inner.facts.settings
    }

    /// Through which channels it may send; none is all of them.
    pub fn channels(&self) -> Option<&[String]> {
        self.inner.facts.channels.as_deref()
    }

    /// How long its instances live.
    pub fn isolation(&self) -> Isolation {
        if self.inner.is_warm { Isolation::Warm } else { Isolation::PerEvent }
    }

    /// The steps of loading it, and how long each took.
    pub fn steps(&self) -> &[(&'static str, Duration)] {
        &self.steps
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.inner.facts.limits
    }

    /// Instances that wait, warm.
    pub fn warm_instances(&self) -> usize {
        self.inner.pool.len()
    }

    /// Gives it one event. Waits for its turn where some calls of this plugin run already; then the call ends within
    /// the plugin's limits. Dropping the future ends the call. How many wait is the caller's to bound.
    pub async fn handle(&self, call: Call) -> Report {
        self.run(call, false).await
    }

    /// The same without consequences: in an instance of its own, which is gone afterwards, and without using up a
    /// message's number. What it asks for must not be done.
    pub async fn try_out(&self, call: Call) -> Report {
        self.run(call, true).await
    }

    /// Has it bring a page of its state over. What it writes is to be written before the next page is given to it; the state
    /// that it reads is [`Plugin::state`].
    pub async fn migrate(&self, page: Page) -> Result<Moved, Fault> {
        let task = self.inner.host.threads.spawn(call::migrate(Arc::clone(&self.inner), page));
        EndOnDrop(task).ended().await.unwrap_or_else(|error| Err(self.panicked(error, During::Migrating)))
    }

    async fn run(&self, call: Call, dry: bool) -> Report {
        let event = call.event.id;
        let task = self.inner.host.threads.spawn(call::handle(Arc::clone(&self.inner), call, dry));
        EndOnDrop(task).ended().await.unwrap_or_else(|error| Report {
            outcome: Err(self.panicked(error, During::Event(event))),
            log: vec![],
            usage: Usage::default(),
        })
    }

    fn panicked(&self, error: JoinError, during: During) -> Fault {
        let what = match error.try_into_panic() {
            Ok(payload) => meter::panic_text(payload.as_ref()),
            Err(_) => "the sandbox is closing".to_owned(),
        };
        Fault { kind: FaultKind::HostPanic { what }, plugin: Arc::clone(self.name()), during, backtrace: vec![] }
    }

    /// Drops every instance that waits, and those that are out when they come back: for when a commit failed after
    /// [`crate::Warm::keep`], so that nothing of it survives in some memory.
    pub fn forget_instances(&self) {
        self.inner.pool.forget();
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Plugin");
        debug.field("name", self.name()).field("revision", &self.revision);
        debug
            .field("subscriptions", self.subscriptions())
            .field("requested_capabilities", &self.requested_capabilities)
            .finish_non_exhaustive()
    }
}

/// A task that nobody waits for any more has no reason to run.
struct EndOnDrop<T>(JoinHandle<T>);

impl<T> EndOnDrop<T> {
    async fn ended(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for EndOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
