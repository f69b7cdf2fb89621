//! The catalogue: which plugins there are, which revision of each serves, and why the others do not.
//!
//! It keeps what runs in line with what lies in the plugin folders and what the configuration says of it, while everything
//! runs. `watch` wakes, `folder` looks, `plan` decides, `transaction` brings a revision into service or says why not, and
//! `keeper` is the one loop that all of it happens in: no two changes of one plugin can meet. A plugin that cannot run is
//! an entry with a reason, never an error of the daemon. Beside it `documents` keeps the copies of the text files that people
//! write for plugins.
//!
//! What bounds it: a thousand files a folder, two transactions at a time, four revisions kept of each plugin.
//!
//! It is not: the place where a plugin's code is run or judged (`sandbox`), nor where its events are kept in order while
//! its revisions change (`pipeline`'s slots).

mod command;
mod config;
mod documents;
mod dry_run;
mod entry;
mod folder;
pub mod grants;
mod keeper;
mod marks;
mod migrate;
mod plan;
mod post;
mod record;
mod revisions;
mod settings;
mod transaction;
pub mod watch;

pub use command::{Answer, Command, CommandError};
pub use config::{Config, PluginConfig};
pub use entry::{BlockedRevision, Entry, PluginState, StepTime};
pub use record::{Isolated, Record, Suspended};

use beadle_clock::Clock;
use beadle_pipeline::Pipeline;
use beadle_sandbox::Sandbox;
use beadle_store::Store;
use beadle_tasks::{TaskKind, Tasks};
use command::Asked;
use documents::Documents;
use keeper::Keeper;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{Mutex, mpsc, oneshot, watch as channel};

/// Every code of this crate's own; `beadle explain` has a page for each.
pub const CODES: [&str; 21] = [
    "document-rejected",
    "plugin-pending",
    "plugin-missing",
    "plugin-unreadable",
    "plugin-folder-missing",
    "settings-invalid",
    "dry-run-failed",
    "revision-not-saved",
    "rolled-back",
    "migration-failed",
    "state-newer",
    "state-would-be-lost",
    transaction::STOPPED_START,
    keeper::STILL_LOADING,
    command::CODES[0],
    command::CODES[1],
    command::CODES[2],
    command::CODES[3],
    command::CODES[4],
    command::CODES[5],
    command::CODES[6],
];

/// Commands that wait; each is a person at a terminal.
const COMMANDS: usize = 16;

/// What the catalogue works with.
#[derive(Clone)]
pub struct Parts {
    /// Loads and runs plugins.
    pub sandbox: Sandbox,
    /// What is remembered across starts.
    pub store: Store,
    /// Who is told what serves.
    pub pipeline: Pipeline,
    /// Civil time.
    pub clock: Clock,
    /// Where revisions are kept.
    pub data_dir: PathBuf,
    /// Supervises the catalogue's loops.
    pub tasks: Tasks,
}

/// The catalogue that runs. Cheap to clone; it ends when the last clone is gone.
#[derive(Clone)]
pub struct Catalog {
    commands: mpsc::Sender<Asked>,
    config: Arc<channel::Sender<Config>>,
    shown: channel::Receiver<Shown>,
    counts: Arc<Counts>,
    unlisted: channel::Receiver<RejectedDocuments>,
    /// True once documents were read for the first time.
    documents: channel::Receiver<bool>,
}

/// Documents that are not taken, by plugin and name, and why; without a name: the folder.
pub type RejectedDocuments = BTreeMap<(String, String), String>;

/// What there is to see.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    /// By name.
    entries: Arc<[Entry]>,
    /// Sentences about folders and files.
    remarks: Arc<[String]>,
    /// Everything that was there at the start has been tried.
    started: bool,
}

/// Changes of revisions so far; they only grow.
#[derive(Debug, Default)]
pub struct Counts {
    /// A new revision, or one with other settings, serves.
    pub served: AtomicU64,
    /// One was refused, and nothing changed.
    pub refused: AtomicU64,
    /// One was sent back: by a person, or because it failed on probation.
    pub sent_back: AtomicU64,
}

impl Catalog {
    /// Starts to keep plugins. Until [`Catalog::started`] nobody takes part.
    pub fn start(parts: Parts, config: Config) -> Self {
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (config, configs) = channel::channel(config);
        let (show, shown) = channel::channel(Shown::default());
        let counts = Arc::<Counts>::default();
        let (tell, unlisted) = channel::channel(RejectedDocuments::new());
        let (first, documents) = channel::channel(false);
        let tasks = parts.tasks.clone();
        // What they know survives a restart of their loops: both look at everything anew at each turn.
        let documents_loop = Documents::new(parts.store.clone(), configs.clone(), shown.clone(), tell, first);
        let documents_loop = Arc::new(Mutex::new(documents_loop));
        tasks.spawn(TaskKind::Documents, move |heartbeat| {
            let documents = Arc::clone(&documents_loop);
            async move { documents.lock().await.run(&heartbeat).await }
        });
        let keeper = Arc::new(Mutex::new(Keeper::new(parts, configs, asked, show, Arc::clone(&counts))));
        tasks.spawn(TaskKind::Plugins, move |heartbeat| {
            let keeper = Arc::clone(&keeper);
            async move { keeper.lock().await.run(&heartbeat).await }
        });
        Self { commands, config: Arc::new(config), shown, counts, unlisted, documents }
    }

    /// Returns when everything that was there at the start has been tried, those that run take part, and what lay in their
    /// folders of documents can be read by them.
    pub async fn started(&self) {
        // An error means that the keeper is gone, and nothing more will come.
        let _ = self.shown.clone().wait_for(|shown| shown.started).await;
        let _ = self.documents.clone().wait_for(|read| *read).await;
    }

    /// All plugins, by name.
    pub fn entries(&self) -> Arc<[Entry]> {
        Arc::clone(&self.shown.borrow().entries)
    }

    /// What there is to say of folders and files, in sentences without an end.
    pub fn folder_warnings(&self) -> Arc<[String]> {
        Arc::clone(&self.shown.borrow().remarks)
    }

    /// Documents that are not taken.
    pub fn rejected_documents(&self) -> RejectedDocuments {
        self.unlisted.borrow().clone()
    }

    /// Changes so far: serving, refused, sent back.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let Counts { served, refused, sent_back } = &*self.counts;
        [
            ("activated", served.load(Relaxed)),
            ("refused", refused.load(Relaxed)),
            ("rolled-back", sent_back.load(Relaxed)),
        ]
    }

    /// From now on this holds. What it changes is brought about as a changed file is; what it leaves alone is not touched.
    pub fn configure(&self, config: Config) {
        self.config.send_if_modified(|old| {
            let other = *old != config;
            *old = config;
            other
        });
    }

    /// Has something done, and waits until it is.
    pub async fn execute(&self, command: Command) -> Answer {
        let (to, answer) = oneshot::channel();
        self.commands.send(Asked { command, to }).await.map_err(|_| CommandError::Closed)?;
        answer.await.map_err(|_| CommandError::Closed)?
    }
}
