//! WhatsApp's rules, and those of good manners, as pure functions.
//!
//! Everything that is to leave passes [`check`] twice: when a plugin asks, so that it can do something else, and again
//! when it is about to go, because a window may have closed meanwhile. The rules are asked in the order of the design
//! (section 9) and the first "no" decides; [`trace`] tells what each of them says, for `beadle why`. [`limits`] looks
//! at the message alone, [`pace`] at how fast messages follow each other.
//!
//! It is not: a place that reads a clock, a store or a configuration. Facts come in, a verdict comes out, and the same
//! facts give the same verdict tomorrow. That is what makes `beadle why` honest.

pub mod limits;
pub mod pace;
mod rules;

pub use rules::{Draft, Facts, Rule, Step, Verdict, WINDOW_MARGIN_MS, check, trace};

/// Every code that a refusal of this crate can carry; `beadle explain` has a page for each.
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
