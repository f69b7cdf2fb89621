//! WhatsApp's Cloud API: webhooks in, messages out. The only crate that knows the platform's JSON.
//!
//! In: [`App::receive`] verifies the signature over the raw bytes, parses, and normalises what came into events and
//! receipts in our own words. It is forgiving: Meta's own examples write numbers where its pages say strings, fields
//! come and go, and an error answer would make the platform repeat the same bytes for a week. So nothing authentic is an
//! error, and nothing is dropped: what is new becomes an event of kind `unrouted` with its JSON, what makes no sense a
//! letter for a person (a dead letter), and both are counted.
//!
//! Out: [`CloudChannel`] is the [`beadle_pipeline::Channel`] of one number. It sends once and says what became of it; the
//! platform's table of errors ([`platform_error`]) becomes advice to the outbox.
//!
//! It is not: the place that stores, deduplicates or retries (the inbox and the outbox do), nor the one that decides
//! whether something may be sent (`gate` does). It reads no clock; the time is given in.

mod answers;
mod app;
mod body;
mod change;
mod channel;
mod content;
mod errors;
mod fetch;
mod graph;
mod groups;
mod json;
mod key;
mod message;
mod misfit;
mod news;
mod person;
mod preference;
mod receipt;
mod secret;
mod signature;
mod upload;
mod webhook;

pub use app::{App, AppConfig, BODY_LIMIT_BYTES, Counts, Parsed, WebhookError};
pub use channel::{ChannelError, CloudChannel, CloudConfig, Depot, http_client};
pub use errors::platform_error;
pub use fetch::{FetchCounts, Fetcher, Wanted};
pub use secret::Secret;

/// Every code that an error of this crate, or a problem found by it, can carry; `beadle explain` has a page for each.
/// The platform's own numbers are in [`platform_error`].
pub const CODES: [&str; 10] = [
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
