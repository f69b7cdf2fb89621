//! What tests of several crates share: a harness for the real programs, signed webhooks, seeded
//! random numbers.
//!
//! It depends on no crate of the daemon, so that a test sees what a user sees: command lines,
//! files, HTTP. It waits for conditions (a line, a notification, a state of the daemon), never for
//! time to pass, and fails with what the programs printed. It is used by tests and benchmarks only
//! and is not shipped.

#![expect(clippy::panic, reason = "test support: panicking is how a test fails")]

pub mod daemon;
pub mod disk;
pub mod graph;
pub mod guest;
pub mod hostile;
pub mod http;
pub mod program;
pub mod rng;
pub mod simulator;
pub mod webhook;

use serde_json::Value;
use std::time::Duration;

/// The limit of every wait for something that usually takes milliseconds: generous for a busy
/// machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How often [`wait_until`] checks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls until `check` returns a value, and returns that value. Panics after [`TIMEOUT`] with
/// `what`.
pub async fn wait_until<T>(condition: &str, check: impl AsyncFn() -> Option<T>) -> T {
    let found = tokio::time::timeout(TIMEOUT, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            // tidy: the interval between two checks of a condition in another process
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("timed out waiting until {condition}"))
}

/// Waits until a number reaches `wanted`. Panics if it has not grown for [`TIMEOUT`]: thousands of
/// messages take longer than that on a busy machine, and are not stuck.
pub async fn wait_for_count(condition: &str, wanted: u64, count: impl AsyncFn() -> u64) {
    let mut reached = 0;
    while reached < wanted {
        reached = wait_until(condition, async || Some(count().await).filter(|count| *count > reached)).await;
    }
}

/// A time in milliseconds since the epoch as an RFC 3339 time stamp.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

/// The RFC 3339 time stamp at a JSON pointer, in milliseconds since the epoch.
pub fn time_at(value: &Value, pointer: &str) -> Option<i64> {
    let text = value.pointer(pointer)?.as_str()?;
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
