//! The engine that compiles and runs guests, and the thread that ticks for it.
//!
//! One engine for all plugins: its settings are part of the sandbox, so none of them is a plugin's to choose. Guests run
//! on fibres of their own (async), without the component model's new concurrency, which costs microseconds a call and is
//! not yet covered by security patches.
//!
//! The pulse: while a call runs, the epoch moves on each millisecond, and every guest looks up at its next loop or
//! function entry. While nothing runs nothing ticks.

use crate::limits;
use beadle_tasks::{Heartbeat, TaskKind, Tasks};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::Duration;
use wasmtime::{Cache, CacheConfig, Config, Engine};

/// Ticks without a running call until the pulse goes to sleep. Between the calls of a busy daemon are microseconds, and
/// waking a thread costs some; a quarter of a second of ticks costs nothing.
const IDLE_TICKS: u32 = 250;
/// How often a sleeping pulse looks whether its engine is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The engine, with compiled code cached under `cache_dir` (absolute) where one is given.
pub fn engine(cache_dir: Option<&Path>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(limits::WASM_STACK_BYTES)
        .async_stack_size(limits::NATIVE_STACK_BYTES)
        // Nothing of one plugin's stack is to be found in another's.
        .async_stack_zeroing(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits::BACKTRACE_FRAMES))
        // The same event handled twice is to give the same effects, on any machine.
        .relaxed_simd_deterministic(true)
        // Not asked for by any of our languages, and each has had its security advisories.
        .wasm_memory64(false);
    if let Some(dir) = cache_dir {
        let mut cache = CacheConfig::new();
        cache.with_directory(dir);
        config.cache(Some(Cache::new(cache)?));
    }
    Engine::new(&config)
}

/// Moves the epoch on while calls run.
#[derive(Debug)]
pub struct Pulse {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
}

/// Keeps the pulse going for as long as it lives.
#[derive(Debug)]
pub struct Beating<'a>(&'a Shared);

impl Pulse {
    /// Starts the thread; it ends by itself when the engine is gone.
    pub fn start(engine: &Engine, tasks: &Tasks) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, seen) = (engine.weak(), Arc::clone(&shared));
        let handle = tasks.thread(TaskKind::Epoch, "beadle-epoch", move |heartbeat| {
            let mut idle_ticks = 0;
            while let Some(engine) = engine.upgrade() {
                heartbeat.beat();
                engine.increment_epoch();
                drop(engine);
                #[expect(clippy::disallowed_methods, reason = "this thread is the ticker")]
                thread::sleep(Duration::from_millis(limits::TICK_MS));
                idle_ticks = if seen.running.load(SeqCst) == 0 { idle_ticks + 1 } else { 0 };
                if idle_ticks >= IDLE_TICKS {
                    seen.sleep(heartbeat);
                    idle_ticks = 0;
                }
            }
        })?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// While the answer lives, the epoch moves on.
    pub fn beat(&self) -> Beating<'_> {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Beating(&self.shared)
    }
}

impl Shared {
    /// Sleeps until somebody runs. `asleep` is set before `running` is looked at, and `beat` does it the other way
    /// round, so one of the two sees the other.
    fn sleep(&self, heartbeat: &Heartbeat) {
        self.asleep.store(true, SeqCst);
        if self.running.load(SeqCst) == 0 {
            heartbeat.idle_blocking(|| thread::park_timeout(LOOK_AGAIN));
        }
        self.asleep.store(false, SeqCst);
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}
