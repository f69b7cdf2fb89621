//! Keeps members and the contacts of a CRM the same, both ways, without duplicates, loops or lost
//! edits. The core of the plugin `crm-sync`.
//!
//! Not connected to Beadle yet: plugins have no capability for requests. Everything here is
//! synchronous and deterministic. [`engine::Engine`] is told what happened; through the trait
//! [`host::Host`] it reads and writes state, changes members, and sends durable requests, whose
//! outcomes it is told later.

pub mod backfill;
pub mod engine;
mod erasure;
pub mod host;
pub mod http;
pub mod link;
pub mod member;
pub mod merge;
mod names;
mod person;
pub mod phone;
pub mod poll;
pub mod port;
pub mod provider;
pub mod schema;
pub mod session;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod time;
pub mod transform;
pub mod value;
