//! The wasmtime engine, and the thread that advances its epoch.
//!
//! All plugins share one engine, so none of them can choose a setting. Guests run on fibres
//! (async), without the component model's own concurrency, which costs microseconds per call and is
//! not covered by security patches yet.
//!
//! While a call runs, the epoch advances every millisecond, and guests yield at their next loop or
//! function entry. While no call runs, the thread sleeps.

use crate::limits;
use beadle_tasks::{Heartbeat, TaskKind, Tasks};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::Duration;
use wasmtime::{Cache, CacheConfig, Config, Engine};

/// Of zstd; its default.
const COMPRESSION_LEVEL: i32 = 3;
/// Ticks without a running call after which the thread sleeps. Calls of a busy daemon are
/// microseconds apart and waking a thread costs some; a quarter of a second of ticks costs nothing.
const IDLE_TICKS: u32 = 250;
/// The interval at which a sleeping thread checks whether its engine still exists.
const ENGINE_CHECK: Duration = Duration::from_secs(10);

/// The engine. Compiled code is cached under `cache_dir`, an absolute path, if given.
pub fn engine(cache_dir: Option<&Path>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(limits::WASM_STACK_BYTES)
        .async_stack_size(limits::NATIVE_STACK_BYTES)
        // No plugin can find anything of another's stack.
        .async_stack_zeroing(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits::BACKTRACE_FRAMES))
        // The same event handled twice must have the same effects, on any machine.
        .relaxed_simd_deterministic(true)
        // The default is 4 GiB of address space for each memory, which lets the compiler omit
        // checks of bounds. On a server without overcommit, or with a limit of address space, that
        // is too much for more than a few plugins.
        .memory_reservation(limits::MEMORY_RESERVATION_BYTES)
        .memory_reservation_for_growth(limits::MEMORY_RESERVATION_BYTES)
        .memory_guard_size(limits::MEMORY_GUARD_BYTES)
        // No supported language needs it, and it has had security advisories.
        .wasm_memory64(false);
    if let Some(dir) = cache_dir {
        let mut cache = CacheConfig::new();
        cache.with_directory(dir);
        // Code that was compressed again would not match its seal.
        cache.with_baseline_compression_level(COMPRESSION_LEVEL).with_optimized_compression_level(COMPRESSION_LEVEL);
        config.cache(Some(Cache::new(cache)?));
    }
    Engine::new(&config)
}

/// Advances the epoch while calls run.
#[derive(Debug)]
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
}

/// Keeps the epoch advancing until it is dropped.
#[derive(Debug)]
pub struct Ticking<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread. It ends after the engine is dropped.
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

    /// Keeps the epoch advancing as long as the returned value lives.
    pub fn tick(&self) -> Ticking<'_> {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Ticking(&self.shared)
    }
}

impl Shared {
    /// Sleeps until a call runs. `asleep` is set before `running` is read, and `tick` does it in
    /// the opposite order, so one of the two sees the other.
    fn sleep(&self, heartbeat: &Heartbeat) {
        self.asleep.store(true, SeqCst);
        if self.running.load(SeqCst) == 0 {
            heartbeat.idle_blocking(|| thread::park_timeout(ENGINE_CHECK));
        }
        self.asleep.store(false, SeqCst);
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}
