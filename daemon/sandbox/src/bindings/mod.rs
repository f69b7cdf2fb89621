//! The plugin contract as Rust types: a module per version, generated from `plugin-api/wit`.
//!
//! Types of host and guest are compared exactly, so a released version never changes. [`latest`] is
//! the version that the capabilities in [`crate::host`] implement.

mod convert;
pub mod v0_1_0;

pub use convert::{contact, scope};
pub use v0_1_0 as latest;
