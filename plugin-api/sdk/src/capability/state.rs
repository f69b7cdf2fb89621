//! Persistent state. Values are stored as JSON. Granted by default, with a quota: 64 MiB for state
//! and timers together, unless the operator sets `limits.state_mib`.
//!
//! Every key has a scope, so that what belongs to a person is erased with the person:
//! `state::get(&event.sender, "step")`. If a value that was read changes before the effects are
//! committed, the handler runs again with the new value, so read, decide and write needs no lock.
//! For a counter use [`add`], which never conflicts.

use crate::host;
use crate::types::{Refusal, Scope, TimestampMs};
use serde::{Serialize, de::DeserializeOwned};

/// A key and its bytes, as returned by [`scan`].
pub use crate::bindings::imports::state::Entry;

/// The value of a key, if there is one. Refused with `bad-json` if it is not of this type.
pub fn get<T: DeserializeOwned>(scope: impl Into<Scope>, key: &str) -> Result<Option<T>, Refusal> {
    match host::state::get(&scope.into(), key)? {
        Some(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Refusal::new("bad-json", format!("The value of `{key}` has another type: {error}."))),
        },
        None => Ok(None),
    }
}

/// Sets a value. Keys have 1 to 256 bytes, values at most 256 KiB.
pub fn set<T: Serialize + ?Sized>(scope: impl Into<Scope>, key: &str, value: &T) -> Result<(), Refusal> {
    write(&scope.into(), key, value, None)
}

/// Sets a value that expires.
pub fn set_until<T: Serialize + ?Sized>(
    scope: impl Into<Scope>,
    key: &str,
    value: &T,
    expires_at: TimestampMs,
) -> Result<(), Refusal> {
    write(&scope.into(), key, value, Some(expires_at))
}

fn write<T: Serialize + ?Sized>(
    scope: &Scope,
    key: &str,
    value: &T,
    until: Option<TimestampMs>,
) -> Result<(), Refusal> {
    match serde_json::to_vec(value) {
        Ok(bytes) => host::state::set(scope, key, &bytes, until),
        Err(error) => {
            Err(Refusal::new("bad-json", format!("The value of `{key}` cannot be written as JSON: {error}.")))
        }
    }
}

/// Deletes a value. Does nothing if there is none.
pub fn delete(scope: impl Into<Scope>, key: &str) -> Result<(), Refusal> {
    host::state::delete(&scope.into(), key)
}

/// Up to `limit` entries (maximum 1000) whose key starts with `prefix`, in key order, starting
/// after `after`.
pub fn scan(scope: impl Into<Scope>, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Refusal> {
    host::state::scan(&scope.into(), prefix, after, limit)
}

/// Adds to a counter; a missing counter is 0. Never conflicts, because it returns no value. Read it
/// with `get::<i64>`.
pub fn add(scope: impl Into<Scope>, key: &str, delta: i64) -> Result<(), Refusal> {
    host::state::add(&scope.into(), key, delta)
}

impl Entry {
    /// The value, deserialised from JSON.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.value)
    }
}
