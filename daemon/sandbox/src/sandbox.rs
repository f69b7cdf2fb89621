//! The sandbox: creates engine and guest threads, and loads plugins.

use crate::code_cache::CodeCache;
use crate::engine::{Ticker, engine};
use crate::error::LoadError;
use crate::handles::Handles;
use crate::host::HostState;
use crate::plugin::Plugin;
use crate::runtime::Runtime;
use crate::spec::Spec;
use crate::{abi, limits, load};
use beadle_egress::Policies;
use beadle_gatekeeper::{Gatekeeper, Policy};
use beadle_model::consent::rules::PeopleRules;
use beadle_model::{Blame, Coded, MessageId};
use beadle_segments::{Definitions, Segments};
use beadle_store::Reader;
use beadle_tasks::Tasks;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Handle};
use wasmtime::component::Linker;

/// The settings of the sandbox.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The number of threads that run guests. By default as many as the machine has, and at least
    /// two: a guest that grows its memory does not yield for some milliseconds.
    pub guest_threads: usize,
    /// The maximum of concurrent calls of one plugin. Further calls wait.
    pub running_per_plugin: usize,
    /// Where compiled code is cached, an absolute path. None: it is not cached.
    pub cache_dir: Option<PathBuf>,
    /// What the configuration says about people.
    pub people: Arc<PeopleRules>,
    /// Supervises the thread that interrupts guests.
    pub tasks: Tasks,
    /// Decides what plugins may send. None: by WhatsApp's rules, without an operator's settings.
    pub gatekeeper: Option<Gatekeeper>,
    /// Who belongs to which segment. None: there are no segments.
    pub segments: Option<Segments>,
    /// What plugins may request, and the client that sends it. None: they make no requests.
    pub egress: Option<Policies>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            guest_threads: available_parallelism().map_or(2, usize::from).max(2),
            running_per_plugin: limits::RUNNING_PER_PLUGIN,
            cache_dir: None,
            people: Arc::default(),
            tasks: Tasks::default(),
            gatekeeper: None,
            segments: None,
            egress: None,
        }
    }
}

/// Why the sandbox could not be created.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime rejects this machine or the cache's directory.
    #[error("the WebAssembly engine cannot start: {reason}; check the cache directory and its permissions")]
    Engine {
        /// wasmtime's message.
        reason: String,
    },
    /// The system refused to create threads.
    #[error("the system refused threads for plugins: {source}; check the limits of the service")]
    Threads {
        /// The system's error.
        #[from]
        source: std::io::Error,
    },
}

impl Coded for SandboxError {
    fn code(&self) -> &'static str {
        match self {
            SandboxError::Engine { .. } => "sandbox-engine-failed",
            SandboxError::Threads { .. } => "sandbox-threads-failed",
        }
    }

    fn blame(&self) -> Blame {
        Blame::Operator
    }
}

/// Runs plugins. Cheap to clone; all clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox {
    runtime: Arc<Runtime>,
}

impl Sandbox {
    /// Starts engine and threads. `reserve` returns the next message id; it is called on guest
    /// threads.
    pub fn new(
        config: SandboxConfig,
        reader: Reader,
        reserve: Arc<dyn Fn() -> MessageId + Send + Sync>,
        host_key: [u8; 32],
    ) -> Result<Self, SandboxError> {
        let failed = |error: wasmtime::Error| SandboxError::Engine { reason: format!("{error:#}") };
        if let Some(folder) = &config.cache_dir {
            CodeCache::remove_misplaced_files(folder);
        }
        let code = config.cache_dir.as_deref().map(CodeCache::code_in);
        let engine = engine(code.as_deref()).map_err(failed)?;
        let open = |folder| CodeCache::open(folder, &host_key, &engine);
        let code_cache = config.cache_dir.map(open).transpose().map_err(|error| failed(error.into()))?;
        let mut linker = Linker::<HostState>::new(&engine);
        abi::link(&mut linker).map_err(failed)?;
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(failed)?;
        let ticker = Ticker::start(&engine, &config.tasks)?;
        let tokio = Builder::new_multi_thread()
            .worker_threads(config.guest_threads)
            // For loading: each compilation uses all cores.
            .max_blocking_threads(2)
            .thread_name_fn(thread_name)
            .enable_all()
            .build()?;
        let runtime = Runtime {
            engine,
            linker,
            ticker,
            code_cache: code_cache.map(Arc::new),
            gatekeeper: config.gatekeeper.unwrap_or_else(|| Gatekeeper::new(reader.clone(), Policy::default())),
            segments: config.segments.unwrap_or_else(|| Segments::new(reader.clone(), Definitions::default())),
            egress: config.egress,
            people: config.people,
            reader,
            reserve,
            handles: Arc::new(Handles::new(&host_key)),
            host_key,
            running_per_plugin: config.running_per_plugin,
            first_call: tokio::sync::Mutex::new(()),
            threads: tokio.handle().clone(),
            tokio: Some(tokio),
        };
        Ok(Self { runtime: Arc::new(runtime) })
    }

    /// Loads a plugin. Compiles its file, which may take seconds of all cores for a large one; only
    /// the caller waits for it.
    pub async fn load(&self, spec: Spec) -> Result<Arc<Plugin>, LoadError> {
        load::load(&self.runtime, spec).await
    }

    /// The cache of compiled code, if there is one.
    pub fn code_cache(&self) -> Option<&Arc<CodeCache>> {
        self.runtime.code_cache.as_ref()
    }

    /// The guest threads, for a caller whose tasks do little but call plugins: a call from there
    /// saves the way to another thread and back (about six microseconds). Such a task waits for its
    /// turn among guests that run for a millisecond each, and must not block.
    pub fn threads(&self) -> &Handle {
        &self.runtime.threads
    }
}

fn thread_name() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("beadle-guest-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
