//! The catalog: which plugins there are, which revision of each is active, and why others are not.
//!
//! It keeps the running plugins in line with the plugin folders and the configuration. `watch`
//! reports changes, `folder` lists files, `plan` decides (pure), `transaction` loads a revision or
//! rejects it, and `reconciler` is the one loop that owns all plugins, so that no two changes of
//! one plugin overlap. A plugin that cannot run is an entry with a reason, never an error of the
//! daemon. `documents` keeps copies of the plugins' text files in a loop of its own.
//!
//! Bounds: a thousand files per folder, two loads at a time, four saved revisions per plugin.
//!
//! Code is compiled and run in `sandbox`; the order of events across a change of revisions is kept
//! by the pipeline's slots.

mod command;
pub mod compile;
mod config;
mod documents;
mod dry_run;
mod entry;
mod folder;
#[doc(hidden)]
pub mod fuzz;
pub mod grants;
mod managed;
mod migration;
mod plan;
mod published;
mod reconciler;
mod record;
mod revisions;
mod schema;
mod settings;
mod startup;
mod step;
mod transaction;
pub mod watch;

pub use command::{Answer, Command, CommandError};
pub use config::{Config, PluginConfig};
pub use entry::{BlockedRevision, Entry, LoadState, StepTime};
pub use published::{Counts, FolderWarning, RejectedDocuments};
pub use record::{IsolatedRevision, Record, SuspendedRevision};

use beadle_clock::Clock;
use beadle_pipeline::Pipeline;
use beadle_sandbox::Sandbox;
use beadle_store::Store;
use beadle_tasks::{TaskKind, Tasks};
use command::PendingCommand;
use compile::Compiler;
use documents::Documents;
use published::Published;
use reconciler::{Channels, Reconciler};
use revisions::Revisions;
use startup::{CrashMarkers, ServiceMarkers};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch as channel};
use transaction::Context;
use watch::Watcher;

/// The codes that no other crate has; `beadle explain` has a page for each.
pub const CODES: [&str; 25] = [
    "document-rejected",
    "plugin-pending",
    "plugin-missing",
    "plugin-unreadable",
    "plugin-folder-missing",
    "plugin-name-invalid",
    "settings-invalid",
    "dry-run-failed",
    "revision-not-saved",
    "rolled-back",
    "migration-failed",
    "state-newer",
    "state-would-be-lost",
    compile::COMPILE_LIMIT,
    watch::CODE,
    transaction::LOAD_CRASH,
    record::CRASH,
    reconciler::STILL_LOADING,
    command::CODES[0],
    command::CODES[1],
    command::CODES[2],
    command::CODES[3],
    command::CODES[4],
    command::CODES[5],
    command::CODES[6],
];

/// Commands that may wait; each is an operator at a terminal.
const MAX_COMMANDS: usize = 16;

/// What the catalog works with.
#[derive(Clone)]
pub struct Parts {
    /// Loads and runs plugins.
    pub sandbox: Sandbox,
    /// Stores records, state and documents.
    pub store: Store,
    /// Is given the subscriptions.
    pub pipeline: Pipeline,
    /// Civil time.
    pub clock: Clock,
    /// Holds the saved revisions and the crash markers.
    pub data_dir: PathBuf,
    /// Supervises the two loops.
    pub tasks: Tasks,
}

/// The handle of the running catalog. Cheap to clone; the catalog ends when the last clone is
/// dropped.
#[derive(Clone)]
pub struct Catalog {
    sandbox: Sandbox,
    commands: mpsc::Sender<PendingCommand>,
    config: Arc<channel::Sender<Config>>,
    published: channel::Receiver<Published>,
    counts: Arc<Counts>,
    rejected_documents: channel::Receiver<RejectedDocuments>,
    /// True once all documents were read for the first time.
    documents_read: channel::Receiver<bool>,
    watcher: Watcher,
    service_markers: ServiceMarkers,
}

impl Catalog {
    /// Starts the catalog. No plugin gets events before [`Catalog::started`] returns.
    pub fn start(parts: Parts, config: Config) -> Self {
        let Parts { sandbox, store, pipeline, clock, data_dir, tasks } = parts;
        let (watcher, loader) = (Watcher::default(), sandbox.clone());
        let (commands, pending) = mpsc::channel(MAX_COMMANDS);
        let (config, configs) = channel::channel(config);
        let (publish, published) = channel::channel(Published::default());
        let counts = Arc::<Counts>::default();
        let (report, rejected_documents) = channel::channel(RejectedDocuments::new());
        let (report_read, documents_read) = channel::channel(false);
        let documents =
            Documents::new(store.clone(), watcher.watch(), configs.clone(), published.clone(), report, report_read);
        let service_markers = ServiceMarkers::new(data_dir.join("first-calls"));
        let context = Context {
            sandbox,
            store,
            clock,
            revisions: Revisions::new(data_dir.join("revisions")),
            compiler: Compiler::default(),
            crash_markers: CrashMarkers::new(data_dir.join("loading")),
            service_markers: service_markers.clone(),
            changed: Arc::new(Notify::new()),
        };
        let channels = Channels { configs, commands: pending, publish, counts: Arc::clone(&counts) };
        // The state of a loop survives its restart.
        let documents = Arc::new(Mutex::new(documents));
        tasks.spawn(TaskKind::Documents, move |heartbeat| {
            let documents = Arc::clone(&documents);
            async move { documents.lock().await.run(&heartbeat).await }
        });
        let reconciler = Arc::new(Mutex::new(Reconciler::new(context, pipeline, watcher.clone(), channels)));
        tasks.spawn(TaskKind::Plugins, move |heartbeat| {
            let reconciler = Arc::clone(&reconciler);
            async move { reconciler.lock().await.run(&heartbeat).await }
        });
        let config = Arc::new(config);
        Self {
            sandbox: loader,
            commands,
            config,
            published,
            counts,
            rejected_documents,
            documents_read,
            watcher,
            service_markers,
        }
    }

    /// Waits until every plugin that was there at the start was loaded or rejected, those that are
    /// active are subscribed, and their documents were read.
    pub async fn started(&self) {
        // An error means that the reconciler has ended.
        let _ = self.published.clone().wait_for(|published| published.started).await;
        let _ = self.documents_read.clone().wait_for(|read| *read).await;
    }

    /// The watcher for file changes, for other users than plugins and documents.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// All plugins, by name.
    pub fn entries(&self) -> Arc<[Entry]> {
        Arc::clone(&self.published.borrow().entries)
    }

    /// Warnings about plugin folders and their files.
    pub fn folder_warnings(&self) -> Arc<[FolderWarning]> {
        Arc::clone(&self.published.borrow().warnings)
    }

    /// Documents that were not accepted.
    pub fn rejected_documents(&self) -> RejectedDocuments {
        self.rejected_documents.borrow().clone()
    }

    /// Changes of revisions since the start, by outcome.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let Counts { activated, rejected, rolled_back } = &*self.counts;
        [
            ("activated", activated.load(Relaxed)),
            ("rejected", rejected.load(Relaxed)),
            ("rolled-back", rolled_back.load(Relaxed)),
        ]
    }

    /// How often compiled code was discarded since the start, because it did not match its seal.
    pub fn discarded_code(&self) -> u64 {
        self.sandbox.code_cache().map_or(0, |cache| cache.discarded())
    }

    /// Replaces the configuration. What it changes is applied like a changed file; plugins that it
    /// leaves alone are not touched.
    pub fn configure(&self, config: Config) {
        self.config.send_if_modified(|current| {
            let differs = *current != config;
            *current = config;
            differs
        });
    }

    /// To be called when the daemon ends in order: no plugin that still runs is to blame for it.
    pub fn stopped(&self) {
        self.service_markers.clear();
    }

    /// Carries out a command and waits for its result.
    ///
    /// # Errors
    /// If the command could not be carried out; then nothing has changed.
    pub async fn execute(&self, command: Command) -> Answer {
        let (answer, result) = oneshot::channel();
        let sent = self.commands.send(PendingCommand { command, answer }).await;
        sent.map_err(|_| CommandError::Closed)?;
        result.await.map_err(|_| CommandError::Closed)?
    }
}
