//! The sandbox as a whole: engine, guest threads, and what all plugins share.

use crate::engine::{Pulse, engine};
use crate::host::{self, HostState};
use crate::limits;
use crate::load::{self, LoadError, Spec};
use crate::plugin::Plugin;
use beadle_model::{Blame, Coded, MessageId};
use beadle_store::Reader;
use beadle_tasks::Tasks;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Handle, Runtime};
use wasmtime::Engine;
use wasmtime::component::Linker;

/// How the sandbox runs.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Threads that run guests. As many as the machine has by default, and two at least: a guest that fills memory for
    /// some milliseconds does not look up meanwhile.
    pub guest_threads: usize,
    /// Calls of one plugin that run at once; the others wait.
    pub running_per_plugin: usize,
    /// Where compiled code is kept, an absolute path; nowhere, if none. Whoever can write there runs code in the daemon.
    pub cache_dir: Option<PathBuf>,
    /// Supervises the thread that interrupts guests.
    pub tasks: Tasks,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            guest_threads: available_parallelism().map_or(2, usize::from).max(2),
            running_per_plugin: limits::RUNNING_PER_PLUGIN,
            cache_dir: None,
            tasks: Tasks::default(),
        }
    }
}

/// The sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime does not like this machine or the cache's folder.
    #[error("The WebAssembly engine does not start: {what}. Look at the cache's folder and its permissions.")]
    Engine {
        /// What it says.
        what: String,
    },
    /// The system gives no threads.
    #[error("The system gives no threads to run plugins on: {source}. Look at the limits of the service.")]
    Threads {
        /// What it says.
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

/// Runs plugins. Cheap to clone; clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) host: Arc<Host>,
}

/// What all plugins share.
pub(crate) struct Host {
    pub engine: Engine,
    pub linker: Linker<HostState>,
    pub pulse: Pulse,
    pub reader: Reader,
    pub reserve: Arc<dyn Fn() -> MessageId + Send + Sync>,
    pub host_key: [u8; 32],
    pub running_per_plugin: usize,
    /// The guest threads. `runtime` is none only while it is dropped.
    pub threads: Handle,
    runtime: Option<Runtime>,
}

impl Sandbox {
    /// Starts the engine and its threads. `reserve` gives the next message id; it is called on guest threads.
    pub fn new(
        config: SandboxConfig,
        reader: Reader,
        reserve: Arc<dyn Fn() -> MessageId + Send + Sync>,
        host_key: [u8; 32],
    ) -> Result<Self, SandboxError> {
        let failed = |error: wasmtime::Error| SandboxError::Engine { what: format!("{error:#}") };
        let engine = engine(config.cache_dir.as_deref()).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker).map_err(failed)?;
        let pulse = Pulse::start(&engine, &config.tasks)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.guest_threads)
            // Loading: each compiles with all cores already.
            .max_blocking_threads(2)
            .thread_name_fn(thread_name)
            .enable_all()
            .build()?;
        let host = Host {
            engine,
            linker,
            pulse,
            reader,
            reserve,
            host_key,
            running_per_plugin: config.running_per_plugin,
            threads: runtime.handle().clone(),
            runtime: Some(runtime),
        };
        Ok(Self { host: Arc::new(host) })
    }

    /// Makes a plugin of a file's bytes: see [`crate::load`]. Compiles, so it may take a second of every core for a
    /// large one; nothing waits for it but the caller.
    pub async fn load(&self, spec: Spec) -> Result<Arc<Plugin>, LoadError> {
        load::load(&self.host, spec).await
    }

    /// The guest threads, for a caller whose tasks do little else than call plugins: from there a call costs no trip to
    /// another thread and back (some six microseconds). A task there waits its turn among guests that run for a
    /// millisecond each, and must not block.
    pub fn threads(&self) -> &Handle {
        &self.host.threads
    }
}

fn thread_name() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("beadle-guest-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A runtime must not be waited for in an async context, and guests are not worth waiting for.
impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
