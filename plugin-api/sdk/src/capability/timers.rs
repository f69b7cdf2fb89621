//! Timers, delivered as [`OnTimer`](crate::OnTimer) in the conversation in which they were set. A
//! timer is identified by scope and key. Granted by default.
//!
//! Timers count against the quota of [`state`](crate::state), each with its key, its payload and 64
//! bytes. At most 100 timers of a plugin fire in a second, and none while 1,000 of its timer events
//! are not handled; the others are late.

use crate::host;
use crate::types::{Refusal, Scope, TimestampMs};

/// Sets a timer, or replaces its time, payload and conversation. See
/// [`clock::after`](crate::clock::after). A time in the past is due at once. The payload has at
/// most 4 KiB.
pub fn set(scope: impl Into<Scope>, key: &str, due_at: TimestampMs, payload: &[u8]) -> Result<(), Refusal> {
    host::timers::set(&scope.into(), key, due_at, payload)
}

/// Changes the time and keeps the payload. Does nothing if there is no such timer.
pub fn move_to(scope: impl Into<Scope>, key: &str, due_at: TimestampMs) -> Result<(), Refusal> {
    host::timers::move_(&scope.into(), key, due_at)
}

/// Cancels a timer. Does nothing if there is no such timer.
pub fn cancel(scope: impl Into<Scope>, key: &str) -> Result<(), Refusal> {
    host::timers::cancel(&scope.into(), key)
}
