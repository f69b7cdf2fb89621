//! Wake me later: a timer comes back as [`OnTimer`](crate::OnTimer), in the conversation it was set in. It is known by
//! scope and key; setting it again replaces it. Granted to all.

use crate::{Refusal, Scope, TimestampMs, host};

/// Due at a time, see [`clock::after`](crate::clock::after); one that has passed is due at once. The payload, 4 KiB at
/// most, comes back with it.
pub fn set(scope: impl Into<Scope>, key: &str, due_at: TimestampMs, payload: &[u8]) -> Result<(), Refusal> {
    host::timers::set(&scope.into(), key, due_at, payload)
}

/// To another time, its payload as it was. Nothing happens where there is no such timer.
pub fn move_to(scope: impl Into<Scope>, key: &str, due_at: TimestampMs) -> Result<(), Refusal> {
    host::timers::move_(&scope.into(), key, due_at)
}

/// It will not come.
pub fn cancel(scope: impl Into<Scope>, key: &str) -> Result<(), Refusal> {
    host::timers::cancel(&scope.into(), key)
}
