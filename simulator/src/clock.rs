//! The simulator's clock: the system clock, or a virtual one that tests control.
//!
//! The simulator owns virtual time and the daemon follows it (`beadle run --clock URL` long-polls
//! `/control/clock`). `clock_control` advances it. The clock determines time stamps, the 24-hour
//! window, retry delays, delayed receipts and webhooks, the pair rate and throughput. Slow and
//! missing responses, reordering and delivery time-outs use real time, whatever the clock says.

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Maximum real sleep before the system clock is read again, so that a changed system clock is
/// noticed.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Where a virtual clock starts by default: Monday 2026-11-23, 09:00 UTC. Most scenarios need a
/// weekday morning.
const VIRTUAL_START_MS: i64 = 1_795_424_400_000;

/// The kind of clock: `real`, `virtual`, `virtual:now` or `virtual:START_MS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockKind {
    /// The system clock.
    Real,
    /// A virtual clock that starts at this Unix time in milliseconds.
    Virtual(i64),
}

impl FromStr for ClockKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "real" => Ok(Self::Real),
            None if text == "virtual" => Ok(Self::Virtual(VIRTUAL_START_MS)),
            Some(("virtual", "now")) => Ok(Self::Virtual(system_ms())),
            Some(("virtual", start)) => {
                start.parse().map(Self::Virtual).map_err(|_| format!("`{start}` is not a number of milliseconds"))
            }
            _ => Err("must be `real`, `virtual`, `virtual:now` or `virtual:START_MS`".to_owned()),
        }
    }
}

/// The state of the clock. Every change of a virtual clock increments the revision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClockState {
    pub now_ms: i64,
    pub rev: u64,
    pub r#virtual: bool,
    /// How fast a virtual clock advances by itself: 0 not at all, 1 in real time.
    pub speed: f64,
}

pub(crate) struct Clock {
    state: watch::Sender<ClockState>,
}

impl Clock {
    pub(crate) fn new(kind: ClockKind, speed: f64) -> Self {
        let (now_ms, is_virtual) = match kind {
            ClockKind::Real => (0, false),
            ClockKind::Virtual(start_ms) => (start_ms, true),
        };
        // Revision 1, so that a first `?after=0` returns immediately.
        Self {
            state: watch::Sender::new(ClockState {
                now_ms,
                rev: 1,
                r#virtual: is_virtual,
                speed: if is_virtual { speed } else { 1.0 },
            }),
        }
    }

    pub(crate) fn state(&self) -> ClockState {
        let mut state = *self.state.borrow();
        if !state.r#virtual {
            state.now_ms = system_ms();
        }
        state
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.state().now_ms
    }

    /// The time as in the header `Date` of a response.
    pub(crate) fn http_date(&self) -> Option<HeaderValue> {
        let now = jiff::Timestamp::from_millisecond(self.now_ms()).ok()?;
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
        HeaderValue::from_str(&date).ok()
    }

    /// Sets a virtual clock. Returns `false` for the system clock, which cannot be set.
    pub(crate) fn set(&self, now_ms: i64) -> bool {
        self.state.send_if_modified(|state| {
            if state.r#virtual {
                state.now_ms = now_ms;
                state.rev += 1;
            }
            state.r#virtual
        })
    }

    /// Sets how fast a virtual clock advances by itself. Returns `false` for the system clock.
    pub(crate) fn set_speed(&self, speed: f64) -> bool {
        self.state.send_if_modified(|state| {
            if state.r#virtual {
                state.speed = speed;
                state.rev += 1;
            }
            state.r#virtual
        })
    }

    /// The state as soon as its revision differs from `after`, or after `timeout` of real time. A
    /// follower may know the revision of an earlier run, so any other revision counts.
    pub(crate) async fn changed_after(&self, after: u64, timeout: Duration) -> ClockState {
        let mut changes = self.state.subscribe();
        // After a time-out the result is the current state. The channel cannot close, because we
        // hold its sender.
        let _ = tokio::time::timeout(timeout, changes.wait_for(|state| state.rev != after)).await;
        self.state()
    }

    /// Returns at `at_ms` or later.
    pub(crate) async fn sleep_until(&self, at_ms: i64) {
        let mut changes = self.state.subscribe();
        loop {
            let left_ms = at_ms.saturating_sub(self.now_ms());
            let Ok(left_ms @ 1..) = u64::try_from(left_ms) else { return };
            if self.state.borrow().r#virtual {
                let _ = changes.changed().await;
            } else {
                tokio::time::sleep(Duration::from_millis(left_ms).min(MAX_SLEEP)).await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads it")]
fn system_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_dated_by_this_clock() {
        let clock = Clock::new(ClockKind::Virtual(VIRTUAL_START_MS + 999), 0.0);
        assert_eq!(clock.http_date().unwrap(), "Mon, 23 Nov 2026 09:00:00 GMT");
    }

    #[test]
    fn clock_kinds_are_parsed() {
        assert_eq!("real".parse(), Ok(ClockKind::Real));
        assert_eq!("virtual".parse(), Ok(ClockKind::Virtual(VIRTUAL_START_MS)));
        assert_eq!("virtual:5000".parse(), Ok(ClockKind::Virtual(5000)));
        assert!("virtual:noon".parse::<ClockKind>().is_err());
        assert!("sundial".parse::<ClockKind>().is_err());
    }

    #[tokio::test]
    async fn setting_a_virtual_clock_wakes_sleepers_and_pollers() {
        let clock = std::sync::Arc::new(Clock::new(ClockKind::Virtual(1000), 0.0));
        let sleeper = tokio::spawn({
            let clock = std::sync::Arc::clone(&clock);
            async move { clock.sleep_until(1500).await }
        });
        tokio::task::yield_now().await;
        assert!(clock.set(1499));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        assert!(clock.set(1500));
        sleeper.await.unwrap();
        let state = clock.changed_after(2, Duration::from_secs(5)).await;
        assert_eq!(state, ClockState { now_ms: 1500, rev: 3, r#virtual: true, speed: 0.0 });
    }

    #[test]
    fn system_clock_cannot_be_set() {
        assert!(!Clock::new(ClockKind::Real, 1.0).set(0));
    }
}
