//! The plugin's memory, typed: values are kept as JSON. Granted to all, with a quota.
//!
//! Every key names a scope, so that what concerns a person goes when the person does: `state::get(&event.sender, "step")`.
//! What was read must still be so when the call's effects are committed, else the handler is run again with what is true
//! then: read, decide, write needs no lock. For a plain counter use [`add`], which never conflicts.

use crate::{Refusal, Scope, TimestampMs, host};
use serde::{Serialize, de::DeserializeOwned};

/// A key and its bytes, as [`scan`] gives them.
pub use crate::bindings::imports::state::Entry;

/// The value, or none. Refused as `state-unreadable` where it is not of this type.
pub fn get<T: DeserializeOwned>(scope: impl Into<Scope>, key: &str) -> Result<Option<T>, Refusal> {
    match host::state::get(&scope.into(), key)? {
        Some(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                Err(Refusal::new("state-unreadable", format!("What is kept under {key} is something else: {error}")))
            }
        },
        None => Ok(None),
    }
}

/// Keeps a value until it is set again or deleted. Keys have 1 to 256 bytes, values 256 KiB at most.
pub fn set<T: Serialize + ?Sized>(scope: impl Into<Scope>, key: &str, value: &T) -> Result<(), Refusal> {
    put(&scope.into(), key, value, None)
}

/// The same, gone from `expires_at` on.
pub fn set_until<T: Serialize + ?Sized>(
    scope: impl Into<Scope>,
    key: &str,
    value: &T,
    expires_at: TimestampMs,
) -> Result<(), Refusal> {
    put(&scope.into(), key, value, Some(expires_at))
}

fn put<T: Serialize + ?Sized>(scope: &Scope, key: &str, value: &T, until: Option<TimestampMs>) -> Result<(), Refusal> {
    match serde_json::to_vec(value) {
        Ok(bytes) => host::state::set(scope, key, &bytes, until),
        Err(error) => {
            Err(Refusal::new("state-unwritable", format!("What was to be kept under {key} is no JSON: {error}")))
        }
    }
}

/// Forgets a value; nothing happens where there is none.
pub fn delete(scope: impl Into<Scope>, key: &str) -> Result<(), Refusal> {
    host::state::delete(&scope.into(), key)
}

/// Up to `limit` (1000 at most) entries whose key begins with `prefix`, in key order, from behind `after`.
pub fn scan(scope: impl Into<Scope>, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Refusal> {
    host::state::scan(&scope.into(), prefix, after, limit)
}

/// Adds to a counter; a missing one is 0. Never conflicts, since it tells nothing. Read it with `get::<i64>`.
pub fn add(scope: impl Into<Scope>, key: &str, delta: i64) -> Result<(), Refusal> {
    host::state::add(&scope.into(), key, delta)
}

impl Entry {
    /// The value, as this type.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.value)
    }
}
