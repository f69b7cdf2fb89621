//! Tools for plugin authors: make the folder of a new plugin, find a compiler for WebAssembly,
//! build a plugin, and notice when a source file was saved.
//!
//! `beadle plugins new`, `beadle plugins build` and `cargo xtask` all use this crate, so that an
//! author outside this repository builds a plugin the same way as we do. The crate runs other
//! programs (cargo, rustup, apt-get) and writes only to the folders that it is given. The daemon
//! does not need it while it handles messages.
//!
//! Checking a plugin is the task of `sandbox`; activating it is the task of `catalog`.

pub mod artefact;
pub mod new_plugin;
pub mod project;
pub mod shell;
pub mod toolchain;

pub use artefact::{Built, place};
pub use project::Project;
pub use shell::Failure;
pub use toolchain::{TARGET, Toolchain};
