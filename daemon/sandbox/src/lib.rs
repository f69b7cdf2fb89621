//! The sandbox: runs plugins that nobody here wrote, and is the only crate that knows wasmtime.
//!
//! A plugin is a WebAssembly component (or the core module that `cargo build` leaves). [`Sandbox::load`] reads from its
//! bytes what it subscribes to and what it capabilities for, before any of it runs, and makes a [`Plugin`] of it.
//! [`Plugin::handle`] gives it one event and yields a [`Report`]: the effects it asked for, written down and not yet
//! done, or the [`Fault`] that ended it. What becomes of effects and faults is decided above, in the pipeline.
//!
//! What bounds a plugin: memory summed over all it has, CPU by the thread's own clock, wall time, host calls, effects,
//! log, state, and everything else it could ask for; see [`Limits`] and [`limits`]. Guest code runs on threads of its
//! own and yields every millisecond, and each plugin runs only a few calls at once, so a plugin that hogs slows itself.
//! A panic in a host function, or in wasmtime, ends one call and nothing else.
//!
//! It is not: the place where grants are decided (`catalog`), where a failed handling is tried again (`pipeline`), nor
//! a way out of the machine. Nothing here opens a file or a socket for a plugin; WASI is linked with nothing in it.

mod abi;
mod call;
mod engine;
mod fault;
mod host;
mod instance;
pub mod limits;
mod load;
mod meter;
mod plugin;
mod pool;
mod report;
mod sandbox;
mod step;
mod surface;
#[cfg(test)]
mod tests;

pub use abi::API_VERSION;
pub use fault::{During, Fault, FaultKind};
pub use limits::Limits;
pub use load::{About, Isolation, LoadError, Spec, revision};
pub use plugin::Plugin;
pub use pool::Warm;
pub use report::{Call, Handled, Level, LogLine, Moved, Page, Report, Usage};
pub use sandbox::{Sandbox, SandboxConfig, SandboxError};
pub use surface::subscriptions;

/// The codes of faults, of load errors, of what host functions refuse besides the gate, and of the sandbox itself;
/// `beadle explain` has a page for each.
pub const CODES: [&str; 51] = [
    // faults
    "trap",
    "cpu-limit",
    "wall-limit",
    "memory-limit",
    "stack-overflow",
    "host-call-limit",
    "effect-limit",
    "instantiate-failed",
    "plugin-retry",
    "plugin-gave-up",
    "not-subscribed",
    "host-panic",
    "store-failed",
    // load errors
    "plugin-too-large",
    "not-wasm",
    "precompiled",
    "plugin-corrupt",
    "not-a-plugin",
    "api-version-unsupported",
    "unknown-import",
    "unknown-event",
    "no-events-exported",
    "compile-failed",
    "plugin-type-mismatch",
    "initial-memory-limit",
    "settings-not-a-table",
    "about-invalid",
    "state-version-invalid",
    // refusals
    "host-call-at-start",
    "no-conversation",
    "unknown-contact",
    "bad-id",
    "bad-key",
    "value-too-large",
    "over-quota",
    "not-a-counter",
    "counter-overflow",
    "too-many-reads",
    "scan-too-large",
    "no-timer-handler",
    // the sandbox
    "sandbox-engine-failed",
    "sandbox-threads-failed",
    "bad-json",
    "unknown-media",
    "media-pending",
    "media-unavailable",
    "bad-media-type",
    "unknown-group",
    "unknown-zone",
    "unknown-channel",
    "not-granted",
];
