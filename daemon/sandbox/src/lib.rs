//! The sandbox: runs plugins that nobody here wrote, and is the only crate that knows wasmtime.
//!
//! A plugin is a WebAssembly component (or the core module that `cargo build` leaves). [`Sandbox::load`] reads from its
//! bytes what it subscribes to and what it wishes for, before any of it runs, and makes a [`Plugin`] of it.
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
mod surface;
#[cfg(test)]
mod tests;

pub use abi::API_VERSION;
pub use fault::{FAULT_CODES, Fault, FaultKind};
pub use host::REFUSAL_CODES;
pub use limits::Limits;
pub use load::{About, Isolation, LOAD_CODES, LoadError, Spec};
pub use plugin::Plugin;
pub use pool::Warm;
pub use report::{Call, Handled, Level, LogLine, Report, Usage};
pub use sandbox::{Sandbox, SandboxConfig, SandboxError};
