//! The capabilities as this crate calls them: in a plugin those of the daemon, in a native test
//! those of [`testing`](crate::testing). Both have the same functions with the same types.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::imports::{
    broadcasts, clock, consents, contacts, contacts_edit, contacts_identity, documents, groups, http, log, media,
    messages, random, replies, requests, segments, settings, state, timers,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::broadcasting::broadcasts;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::files::{groups, media};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::host::{
    clock, contacts, documents, log, messages, random, replies, settings, state, timers,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::outside::{http, requests};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::people::{consents, contacts_edit, contacts_identity, segments};
