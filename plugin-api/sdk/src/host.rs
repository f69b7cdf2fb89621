//! Where the capabilities lead: in a plugin to the daemon, in a native test to [`testing`](crate::testing).
//!
//! Both have the same functions with the same types, so that nothing above this file knows which one it is.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::imports::{
    clock, contacts, documents, groups, log, media, messages, random, replies, settings, state, timers,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::files::{groups, media};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::host::{
    clock, contacts, documents, log, messages, random, replies, settings, state, timers,
};
