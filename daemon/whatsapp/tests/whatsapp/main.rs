//! Tests of the Cloud API adapter: webhooks in, requests out. No test leaves this process.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod bodies;
mod channel;
mod channel_env;
mod entry_point;
mod examples;
mod groups;
mod media;
mod mutations;
mod notifications;
mod webhook_env;
mod webhooks;
