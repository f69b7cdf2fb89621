//! Being built.
pub mod step;
