//! The pipeline with a real store, a fake channel and a manual clock; plugins are vacant slots or
//! none.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code: a panic is how a test fails")]

mod env;
mod failures;
mod outbox;
