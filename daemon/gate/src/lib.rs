//! WhatsApp's rules, and the operator's, as pure functions.
//!
//! Every message passes [`decide`] when a plugin asks, so that it can react, and again before it is
//! sent if the verdict is older than 15 s, if it is a template or Direct Send, or if someone
//! withdrew or was banned since (ADR 0041). The first refusal decides; the trace explains every
//! check for `beadle why`. [`limits`] checks a message by itself, [`pace`] the rate of messages,
//! [`templates`] what a template needs, [`broadcast`] what a person gets of one message to many,
//! [`costs`] what messages cost. See `docs/design.md#gate`.
//!
//! Invariant: no clock, no store, no configuration. The same facts give the same verdict at any
//! time, which makes `beadle why` truthful.

pub mod broadcast;
mod checks;
pub mod costs;
mod facts;
pub mod limits;
pub mod pace;
pub mod templates;

pub use checks::{Check, GateVerdict, already_sent, decide};
pub use facts::{
    Category, Circumstances, Draft, Facts, MessagingLimitFacts, ReachedBudget, ReachedCap, StopSwitch, TemplateFacts,
    WINDOW_MARGIN_MS,
};

/// The codes of this crate's refusals; `beadle explain` documents each.
pub const CODES: [&str; 30] = [
    "no-recipient",
    "unreachable",
    "erased",
    "banned",
    "quarantined",
    "left",
    "not-opted-in",
    "opted-out",
    "marketing-opted-out",
    "marketing-country",
    "marketing-limited",
    "in-human-hands",
    "unsupported-in-groups",
    "phone-number-required",
    "groups-only",
    "window-closed",
    "template-unknown",
    "template-not-approved",
    "template-paused",
    "template-disabled",
    "template-parameters",
    "template-advertising",
    "frequency-cap",
    "over-budget",
    "already-sent",
    "empty-field",
    "too-long",
    "too-many",
    "duplicate-id",
    "bad-message",
];
