//! The plugin contract as Rust types: a module per API version.
//!
//! Types between host and guest are compared exactly, so a version that was published is never changed: the next one
//! gets a folder under `plugin-api/wit`, a module here that the rights in [`crate::host`] are written for, and the older
//! modules delegate to it.

pub mod since_v0_1_0;

pub use since_v0_1_0 as latest;

/// The version of the contract that this Beadle speaks.
pub const API_VERSION: &str = "0.1.0";
