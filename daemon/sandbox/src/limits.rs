//! All limits of a plugin: those that an operator can change ([`Limits`]) and those that are the
//! same for all plugins (constants).
//!
//! The fields of [`Limits`] are the keys of `[plugins.NAME.limits]`, units included, so that a
//! fault can name the setting to change. Each constant states its reason.

use serde::{Deserialize, Serialize};

/// The limits of one plugin. The defaults suit a plugin in Rust (docs/design.md#sandbox).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of one instance: all linear memories and tables together, initial sizes included. A
    /// plugin in Rust needs 1 to 2 MiB; JavaScript and Python bring an interpreter and need 256.
    pub memory_mib: u32,
    /// CPU time of one call, measured with the CPU clock of its thread.
    pub cpu_ms: u32,
    /// Elapsed time of one call, from when it starts to run.
    pub wall_ms: u32,
    /// State and timers in total: keys, values and payloads, and 64 bytes for each timer.
    pub state_mib: u32,
    /// One value of state.
    pub value_kib: u32,
    /// Files that the plugin created, in total.
    pub media_mib: u32,
    /// Effects of one call: state writes, timers, files and messages together.
    pub effects: u32,
    /// Log of one call. Lines over the limit are counted and dropped.
    pub log_kib: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 32,
            cpu_ms: 100,
            wall_ms: 10_000,
            state_mib: 64,
            value_kib: 256,
            media_mib: 64,
            effects: 100,
            log_kib: 64,
        }
    }
}

/// What a plugin gives with a durable request, and gets with the response.
pub const REQUEST_CONTEXT_BYTES: usize = 4096;

/// The time after which a durable request is given up, unless the plugin says another.
pub const REQUEST_LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;

/// The longest such time: what was not possible in a week is for a person to decide.
pub const REQUEST_LIFETIME_MAX_MS: i64 = 7 * REQUEST_LIFETIME_MS;

/// What a plugin may export about one person: more than it keeps about anyone, and little enough
/// for a page.
pub const EXPORT_BYTES: usize = 1 << 20;

impl Limits {
    /// [`Limits::memory_mib`] in bytes.
    pub fn memory_bytes(&self) -> usize {
        (self.memory_mib as usize) << 20
    }

    /// [`Limits::cpu_ms`] in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        u64::from(self.cpu_ms) * 1_000_000
    }

    /// [`Limits::state_mib`] in bytes.
    pub fn state_bytes(&self) -> u64 {
        u64::from(self.state_mib) << 20
    }

    /// [`Limits::media_mib`] in bytes.
    pub fn media_bytes(&self) -> u64 {
        u64::from(self.media_mib) << 20
    }

    /// [`Limits::value_kib`] in bytes.
    pub fn value_bytes(&self) -> usize {
        (self.value_kib as usize) << 10
    }

    /// [`Limits::log_kib`] in bytes.
    pub fn log_bytes(&self) -> usize {
        (self.log_kib as usize) << 10
    }
}

/// A plugin's file. Plugins in Python have 18 MiB, in JavaScript 12 MiB. Compilation takes time and
/// memory in proportion.
pub const FILE_BYTES: usize = 64 << 20;
/// A key of state or of a timer: long enough for two ids and a word, short enough for an index.
pub const KEY_BYTES: usize = 256;
/// Entries returned by one `state.scan` (documented in the contract).
pub const SCAN_ENTRIES: usize = 1000;
/// Bytes returned by one `state.scan`. A thousand values of 256 KiB would be 256 MiB of host
/// memory.
pub const SCAN_BYTES: usize = 8 << 20;
/// State entries that one call may read: each version is checked again on the store's writer
/// thread.
pub const READ_ENTRIES: usize = 10_000;
/// The payload of a timer (documented in the contract).
pub const TIMER_PAYLOAD_BYTES: usize = 4 << 10;
/// Random bytes returned by one call (documented in the contract).
pub const RANDOM_BYTES: usize = 4096;
/// A file that a plugin creates: the platform's maximum for audio and video, and half of a guest's
/// memory.
pub const NEW_FILE_BYTES: usize = 16 << 20;
/// Contacts in one page (documented in the contract).
pub const PAGE_CONTACTS: usize = 500;
/// People who are looked at for one page of a segment: about ten milliseconds of the call's CPU
/// time.
pub const SEARCHED_PEOPLE: usize = 5000;
/// Host calls during one event: far above what a hundred effects with a few reads each need.
pub const HOST_CALLS: u32 = 10_000;
/// Bytes that a guest may pass in one host call besides a value of state or a file: the longest
/// list message has less than 64 KiB, and so have log lines.
pub const HOSTCALL_BYTES: usize = 1 << 20;
/// A handle of an id of the platform. The platform's ids have some hundred bytes.
pub const ID_HANDLE_BYTES: usize = 4 << 10;
/// Handles of component resources: only WASI has resources, and waiting for a clock needs a few.
pub const HANDLES: usize = 1000;
/// Effects of one call in bytes. They are copied a few times until they are committed, and a page
/// of a migration (1 MiB) may be written four times.
pub const EFFECT_BYTES: usize = 8 << 20;
/// Instances of modules and components in one fresh instance of a plugin: `componentize-py`
/// produces dozens.
pub const INSTANCES: u64 = 1024;
/// Core instances in one component: `componentize-py` produces dozens.
pub const CORE_INSTANCES: usize = 512;
/// Linear memories in one component, for the same reason. Their sizes are summed.
pub const MEMORIES: usize = 64;
/// Address space reserved for a memory, and again whenever it outgrows it (and is copied). Plugins
/// in Rust never do.
pub const MEMORY_RESERVATION_BYTES: u64 = 16 << 20;
/// Inaccessible address space before and after a memory. It makes checks for addresses near a
/// pointer unnecessary.
pub const MEMORY_GUARD_BYTES: u64 = 2 << 20;
/// Tables in one component, for the same reason.
pub const TABLES: usize = 256;
/// The size of a table element: a pointer.
pub const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();
/// The reason that a plugin gives for `retry` or `give-up` is truncated to this length, because it
/// is shown in tables; and so are refusals, which may quote what a guest passed.
pub const REASON_BYTES: usize = 1024;
/// `version` and `summary` of `about`: one line each.
pub const ABOUT_LINE_BYTES: usize = 256;
/// The settings schema of `about`.
pub const ABOUT_SCHEMA_BYTES: usize = 64 << 10;
/// Events after which an instance is replaced, so that leaks and fragmentation in it are bounded.
pub const INSTANCE_CALLS: u32 = 10_000;
/// Seconds after which an instance is replaced, for the same reason.
pub const INSTANCE_AGE_SECS: u64 = 600;
/// Idle warm instances of one plugin. An instance is in use until its effects are committed, which
/// takes a few milliseconds: 32 suffice for some thousand events a second.
pub const WARM_INSTANCES: usize = 32;
/// Memory of the idle warm instances of one plugin. One instance may always be idle.
pub const WARM_BYTES: usize = 128 << 20;
/// Default for concurrent calls of one plugin. It bounds the CPU share and the memory of a plugin
/// that uses all it may; more would not be faster, because a call that has one waits for nothing
/// but CPU: one that waits for a response gives it back.
pub const RUNNING_PER_PLUGIN: usize = 4;
/// Requests of one handling: as many as effects by default.
pub const HTTP_REQUESTS: u32 = 100;
/// Calls of one plugin that wait for responses at a time. Each keeps its instance.
pub const HTTP_WAITING_CALLS: usize = 8;
/// Body and headers of a request: the largest that `beadle-egress` accepts.
pub const HTTP_REQUEST_BYTES: usize = (1 << 20) + (64 << 10);
/// Bytes of requests and responses of `wasi:http` in one handling: responses stay in memory until
/// the guest has read them, in each of twelve calls.
pub const HTTP_KEPT_BYTES: usize = 8 << 20;
/// A piece of the body of a request of `wasi:http`, of which each body may hold one.
pub const HTTP_CHUNK_BYTES: usize = 16 << 10;
/// Headers of `wasi:http` in one object, of which a guest may have as many as handles.
pub const HTTP_FIELDS_BYTES: usize = 16 << 10;
/// Stack of the guest's frames: wasmtime's default, enough for all but runaway recursion.
pub const WASM_STACK_BYTES: usize = 512 << 10;
/// Native stack of a call. What exceeds the guest's stack is for host functions, including SQLite.
pub const NATIVE_STACK_BYTES: usize = 1 << 20;
/// Frames of a backtrace: enough to see the callers, short enough for a log line.
pub const BACKTRACE_FRAMES: usize = 32;
/// The interval at which guests yield and their CPU time is checked.
pub const TICK_MS: u64 = 1;
