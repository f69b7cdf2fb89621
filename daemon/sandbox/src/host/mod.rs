//! What a plugin can call: one file per capability, and the host's side of an instance.
//!
//! A host function records an effect, reads the store or sends a request, nothing else. It answers
//! a mistake of the plugin with a refusal, and ends the call only if continuing would exceed a
//! limit ([`Stop`]). While an instance is created, and while `about` is called, there is no event,
//! and nothing can be read or requested: a fresh instance depends only on the plugin's file and
//! settings.

mod answer;
mod broadcasts;
mod clock;
mod consents;
mod contacts;
mod contacts_edit;
mod contacts_identity;
mod documents;
mod durable;
mod facts;
mod groups;
mod host_state;
mod http;
mod inputs;
mod log;
mod media;
mod memory;
mod messages;
mod outgoing;
mod overlay;
mod random;
mod requests;
mod segments;
mod settings;
mod state;
mod template;
mod timers;
mod wasi;
mod wasi_http;

pub use answer::{HostError, Stop};
pub use facts::{Facts, StateSlot};
pub use host_state::HostState;
