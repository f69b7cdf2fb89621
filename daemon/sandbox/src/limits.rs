//! Every limit that a plugin meets, in one place: those an operator may raise, and those that are the same for all.
//!
//! The first kind is [`Limits`], whose fields are the keys of `[plugins.NAME.limits]`, units included, so that a fault
//! can name the line to change. The second kind are constants: nobody has a reason to turn them, and each says why it is
//! what it is.

use serde::{Deserialize, Serialize};

/// What one plugin may use. The defaults are those of the design (section 6), meant for a plugin in Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of one instance: all its linear memories and tables together, from the start. A plugin in Rust needs one
    /// or two; JavaScript and Python bring an interpreter and want 256.
    pub memory_mib: u32,
    /// CPU time of one call, by the clock of the thread it runs on.
    pub cpu_ms: u32,
    /// Wall time of one call, from when it starts to run.
    pub wall_ms: u32,
    /// State in all, keys and values.
    pub state_mib: u32,
    /// One value of state.
    pub value_kib: u32,
    /// MiB of files that the plugin made, all together.
    pub media_mib: u32,
    /// Effects of one call: state writes, timers and messages together.
    pub effects: u32,
    /// Log of one call; what is beyond is counted and dropped.
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

impl Limits {
    /// [`Limits::memory_mib`] in bytes.
    pub fn memory_bytes(&self) -> usize {
        (self.memory_mib as usize) << 20
    }

    /// [`Limits::state_mib`] in bytes.
    pub fn state_bytes(&self) -> u64 {
        u64::from(self.state_mib) << 20
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

/// A plugin's file. One in Python is 18 MiB, in JavaScript 12; compiling takes time and memory in proportion.
pub const FILE_BYTES: usize = 64 << 20;
/// A key of state or of a timer: long enough for two ids and a word, short enough for an index.
pub const KEY_BYTES: usize = 256;
/// Entries of one listing (the contract says so).
pub const SCAN_ENTRIES: usize = 1000;
/// Bytes of one listing. A thousand values of 256 KiB would be 256 MiB of ours for one call of theirs.
pub const SCAN_BYTES: usize = 8 << 20;
/// Versions that one call may have learned from the store: each is checked again on the store's one writer thread.
pub const READ_ENTRIES: usize = 10_000;
/// What a timer brings back (the contract says so).
pub const TIMER_PAYLOAD_BYTES: usize = 4 << 10;
/// Random bytes of one call (the contract says so).
pub const RANDOM_BYTES: usize = 4096;
/// Contacts of one page (the contract says so).
pub const PAGE_CONTACTS: usize = 500;
/// Calls of host functions in one event: a hundred effects, and a few reads for each, are far below it.
pub const HOST_CALLS: u32 = 10_000;
/// What a guest may hand over in one host call besides a value of state: the longest list message with its strings is
/// below 64 KiB, lines of log are cut at 64 KiB in all.
pub const HOSTCALL_BYTES: usize = 1 << 20;
/// Handles of component resources: only WASI has some, and a plugin that waits for a clock needs a few.
pub const HANDLES: usize = 1000;
/// Core instances in one component: those that `componentize-py` makes have dozens.
pub const CORE_INSTANCES: usize = 512;
/// Linear memories in one component, for the same reason; their sizes are summed anyway.
pub const MEMORIES: usize = 64;
/// Tables in one component, for the same reason.
pub const TABLES: usize = 256;
/// What a table's element takes: a pointer.
pub const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();
/// What a plugin gives as its reason for "retry" or "give up" is cut behind so many bytes: it goes in a table for people.
pub const REASON_BYTES: usize = 1024;
/// Version and summary of `about`, each: a line.
pub const ABOUT_LINE_BYTES: usize = 256;
/// The settings schema of `about`.
pub const ABOUT_SCHEMA_BYTES: usize = 64 << 10;
/// An instance is renewed after so many events, so that what leaks or fragments in it does not do so for ever.
pub const INSTANCE_CALLS: u32 = 10_000;
/// … or so many minutes.
pub const INSTANCE_AGE_SECS: u64 = 600;
/// Instances of one plugin that wait, warm, for an event. One is taken until its effects are committed, which takes a
/// few milliseconds: enough for some thousand events a second.
pub const WARM_INSTANCES: usize = 32;
/// … and the memory that they may hold together; one may always wait.
pub const WARM_BYTES: usize = 128 << 20;
/// Calls of one plugin that run at once, by default: one that hogs has then at most so many turns in the round, and so
/// many times its memory. More would not be faster: a call does not wait for anything but its turn.
pub const RUNNING_PER_PLUGIN: usize = 4;
/// Stack of a guest's own frames: wasmtime's default, and plenty for anything but runaway recursion.
pub const WASM_STACK_BYTES: usize = 512 << 10;
/// The native stack of a call; what is beyond the guest's is for host functions, SQLite among them.
pub const NATIVE_STACK_BYTES: usize = 1 << 20;
/// Frames of a backtrace: enough to see what called what, short enough for a log line.
pub const BACKTRACE_FRAMES: usize = 32;
/// How long a guest may run until it is looked at: CPU is counted, and others get their turn.
pub const TICK_MS: u64 = 1;
