//! Sends the durable requests of plugins: those that the store keeps until they are answered.
//!
//! A request is marked in the store before it leaves, so that after a crash it is known that the
//! server may have executed it. Its end, and the event about it (`on-response`), are one
//! transaction. What may pass is repeated with growing intervals, and exactly when a `Retry-After`
//! says; a host that asks for a pause gets no request meanwhile. Requests of a plugin that is not
//! in service wait for it.
//!
//! What a plugin may request, and when a request is repeated, is decided by `beadle-egress`; this
//! crate contains no SQL (`store`) and reads no configuration.

mod attempt;
mod sender;

pub use attempt::CODES;
pub use sender::{Parts, Requests};
