//! The sandbox: runs plugins written by others, and is the only crate that knows wasmtime.
//!
//! A plugin is a WebAssembly component, or the core module that `cargo build` produces.
//! [`Sandbox::load`] reads its subscriptions and requested capabilities from the file before any of
//! it runs, and returns a [`Plugin`]. [`Plugin::handle`] passes it one event and returns a
//! [`Report`]: the effects that it requested, recorded but not carried out, or the [`Fault`] that
//! ended the call. `beadle-pipeline` decides what happens with either.
//!
//! A plugin is bounded in memory (summed over all it has), CPU time (by the clock of its thread),
//! elapsed time, host calls, effects, log and state; see [`Limits`] and [`limits`]. Guests run on
//! threads of their own, yield every millisecond, and only a few calls of a plugin run at once, so
//! a plugin that uses all it may slows down only itself. A panic in a host function or in wasmtime
//! ends one call.
//!
//! Grants are decided in `beadle-catalog`, retries in `beadle-pipeline`. Nothing here opens a file
//! or a socket for a plugin; its requests are checked and sent by `beadle-egress`. WASI is linked,
//! but grants nothing except `wasi:http`, under the same rules.

mod abi;
mod bindings;
mod call;
mod code_cache;
mod engine;
mod error;
mod execute;
mod fault;
mod first_calls;
mod footprint;
#[doc(hidden)]
pub mod fuzz;
mod handles;
mod host;
mod instance;
pub mod limits;
mod load;
mod loaded;
mod meter;
mod plugin;
mod pool;
mod redact;
mod report;
mod runtime;
mod sandbox;
mod shortage;
mod spec;
mod surface;
#[cfg(test)]
mod tests;
mod text;
mod version;

pub use call::{Call, Level, LogLine, StatePage, Usage};
pub use code_cache::{CodeCache, Staging};
pub use error::LoadError;
pub use fault::{During, Fault, FaultKind};
pub use first_calls::FirstCalls;
pub use limits::Limits;
pub use load::{compile_into, revision};
pub use plugin::Plugin;
pub use pool::WarmInstance;
pub use report::{Handled, MigratedPage, Report};
pub use sandbox::{Sandbox, SandboxConfig, SandboxError};
pub use spec::{About, Isolation, Spec};
pub use surface::subscriptions;
pub use version::API_VERSION;

/// The codes of faults, of load errors, of refusals by host functions (the gate has its own), and
/// of the sandbox itself. `beadle explain` has a page for each.
pub const CODES: [&str; 74] = [
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
    shortage::CODE,
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
    "plugin-too-complex",
    "settings-not-a-table",
    "about-invalid",
    "state-version-invalid",
    // refusals
    "host-call-at-start",
    "no-conversation",
    "unknown-contact",
    "attribute-type",
    "attribute-unknown",
    "bad-role",
    "bad-tag",
    "consent-in-future",
    "consent-withdrawn",
    "broadcast-exists",
    "broadcast-invalid",
    "broadcast-unknown",
    "not-their-message",
    "unknown-purpose",
    "unknown-source",
    "unknown-wording",
    "wording-required",
    "wrong-wording",
    "bad-id",
    "bad-phone",
    "bad-key",
    "value-too-large",
    "over-quota",
    "not-a-counter",
    "counter-overflow",
    "too-many-reads",
    "scan-too-large",
    "no-response-handler",
    "no-timer-handler",
    "too-many-requests",
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
    "http-dry-run",
    "http-request-limit",
    "http-too-many-waiting",
];
