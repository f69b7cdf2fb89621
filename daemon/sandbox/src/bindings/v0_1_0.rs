//! Contract 0.1.0: generated types and traits.

wasmtime::component::bindgen!({
    path: "../../plugin-api/wit/since-v0.1.0",
    world: "host",
    imports: { default: async | trappable },
    exports: { default: async },
});

pub use beadle::plugin::{
    broadcasts, clock, consents, contacts, contacts_edit, contacts_identity, documents, groups, http, log, media,
    messages, outgoing, random, replies, requests, segments, settings, state, timers, types,
};
pub use exports::beadle::plugin::{about::About, migration::Next, *};
