//! Scenarios against the real processes: the daemon, the simulator, and whatever stands in for the world.
//!
//! This half is the harness: it starts programs, waits for the thing itself (a line, a notification, a state of the
//! daemon) and never for time, and fails with what the programs said. The scenarios are in `tests/scenarios/`, the bench
//! is the program `beadle-bench`. Nothing here is shipped.
//!
//! It is written against what a user of the programs has: command lines, files, HTTP. It knows none of the daemon's types.

#![expect(clippy::panic, reason = "the harness is part of tests: panicking is how a test fails")]

pub mod daemon;
pub mod disk;
pub mod guest;
pub mod http;
pub mod meta;
pub mod program;
pub mod random;
pub mod simulator;

use std::time::Duration;

/// How often something is looked at that cannot be waited for in a better way: soon enough not to slow a scenario, seldom
/// enough not to load what it looks at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until `look` sees what it looks for, and gives it; fails after [`program::PATIENCE`], saying `what` never came.
pub async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let seen = tokio::time::timeout(program::PATIENCE, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            // tidy: between two looks at the thing itself, in another process
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}
