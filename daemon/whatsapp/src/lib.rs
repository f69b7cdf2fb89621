//! WhatsApp's Cloud API: webhooks in, messages out. The only crate that knows the platform's JSON.
//!
//! Inbound: [`App::receive`] verifies the signature over the raw bytes, parses the body and turns
//! it into events and receipts. Parsing is lenient: Meta's own examples contain numbers where the
//! documentation says strings, fields come and go, and an error response would make the platform
//! resend the same bytes for a week. An authentic body is therefore never an error and never
//! dropped: an unknown kind becomes an `unrouted` event with its JSON, a malformed part becomes a
//! rejected webhook. Both are counted.
//!
//! Outbound: [`CloudChannel`] implements [`beadle_pipeline::Channel`] for one number. It sends once
//! and reports the outcome; [`platform_error`] maps the platform's error codes to advice for the
//! outbox.
//!
//! This crate does not store, deduplicate or retry (the inbox and the outbox do), does not decide
//! whether a message may be sent (`gate` does), and reads no clock while parsing: the caller passes
//! the time.

mod answers;
mod app;
mod body;
mod channel;
mod clock_check;
mod config;
mod content;
mod errors;
mod fetch;
mod graph;
mod group_change;
mod groups;
mod host_clock;
mod json;
mod key;
mod message;
mod notification;
mod number;
mod numbers;
mod origin;
mod person;
mod preference;
mod receipt;
mod signature;
mod template_sync;
mod unparsable;
mod upload;
mod webhook;

pub use beadle_model::Secret;

pub use app::{App, BODY_LIMIT_BYTES, WebhookError};
pub use channel::{CloudChannel, CloudConfig};
pub use clock_check::ClockCheck;
pub use config::AppConfig;
pub use errors::{PlatformError, platform_error};
pub use fetch::{FetchCounts, FetchWanted, Fetcher};
pub use graph::{ChannelError, HttpClient};
pub use host_clock::{ClockDifference, HostClock};
pub use numbers::{NumberUnknown, Numbers};
pub use template_sync::{SyncError, SyncReport, TemplateSync};
pub use upload::MediaStore;
pub use webhook::{Counts, Parsed};

/// Every error code of this crate; `beadle explain` has a page for each. For the platform's own
/// numeric codes see [`platform_error`].
pub const CODES: [&str; 11] = [
    NumberUnknown::CODE,
    "webhook-bad-signature",
    "webhook-no-secret",
    "webhook-too-large",
    "webhook-bad-handshake",
    "webhook-unreadable",
    "webhook-malformed",
    "bad-graph-url",
    "bad-access-token",
    "http-client-failed",
    "platform-bad-response",
];
