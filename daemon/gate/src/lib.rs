//! WhatsApp's rules, and those of good manners, as pure functions.
//!
//! Everything that is sent passes [`check`] twice: when a plugin asks, so that it can react, and
//! again before it is sent, because a window may have closed meanwhile. The first refusal decides;
//! [`trace`] explains every rule for `beadle why`. [`limits`] checks a message by itself, [`pace`]
//! the rate of messages. See `docs/design.md#gate`.
//!
//! Invariant: no clock, no store, no configuration. The same facts give the same verdict at any
//! time, which makes `beadle why` truthful.

pub mod limits;
pub mod pace;
mod rules;

pub use rules::{Draft, Facts, GateVerdict, Rule, TraceStep, WINDOW_MARGIN_MS, check, trace};

/// The codes of this crate's refusals; `beadle explain` documents each.
pub const CODES: [&str; 12] = [
    "no-recipient",
    "opted-out",
    "marketing-opted-out",
    "unsupported-in-groups",
    "phone-number-required",
    "groups-only",
    "window-closed",
    "empty-field",
    "too-long",
    "too-many",
    "duplicate-id",
    "bad-message",
];
