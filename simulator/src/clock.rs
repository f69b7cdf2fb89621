//! The platform's civil time: the machine's, or one that a test turns.
//!
//! The simulator owns virtual time and the daemon follows it (`beadle run --clock URL` long-polls `/control/clock`). How it
//! is turned, and that whoever follows is waited for, is in `turning`.
//! What is civil here: time stamps, the 24-hour window, back-off of retries, late receipts and delayed webhooks, pair
//! rate and throughput. What is not: a hung or slow answer, the jitter that shuffles, the time-out of a delivery; those
//! pass for real, whatever the calendar says.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The longest real sleep before the machine's clock is looked at again: one that was set is noticed within it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Where a virtual clock starts unless told otherwise: 2026-11-23, a Monday, 09:00 UTC. Any fixed moment would do; a
/// weekday's morning is what most scenarios are about.
const VIRTUAL_START_MS: i64 = 1_795_424_400_000;

/// Which clock to run by: `real`, `virtual`, `virtual:now` or `virtual:START_MS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockKind {
    /// The machine's.
    Real,
    /// One that stands still at this moment (milliseconds since 1970, UTC) until it is turned.
    Virtual(i64),
}

impl FromStr for ClockKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "real" => Ok(Self::Real),
            None if text == "virtual" => Ok(Self::Virtual(VIRTUAL_START_MS)),
            Some(("virtual", "now")) => Ok(Self::Virtual(machine_ms())),
            Some(("virtual", start)) => {
                start.parse().map(Self::Virtual).map_err(|_| format!("`{start}` is not a number of milliseconds"))
            }
            _ => Err("a clock is `real`, `virtual`, `virtual:now` or `virtual:START_MS`".to_owned()),
        }
    }
}

/// What the clock shows. Every turn of a virtual clock makes the revision larger.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Face {
    pub now_ms: i64,
    pub rev: u64,
    pub r#virtual: bool,
    /// How fast a virtual clock goes by itself: 0 stands still, 1 is as the machine's.
    pub speed: f64,
}

pub(crate) struct Clock {
    face: watch::Sender<Face>,
}

impl Clock {
    pub(crate) fn new(kind: ClockKind, speed: f64) -> Self {
        let (now_ms, is_virtual) = match kind {
            ClockKind::Real => (0, false),
            ClockKind::Virtual(start_ms) => (start_ms, true),
        };
        // Revision 1, so that a first `?after=0` is answered at once.
        Self {
            face: watch::Sender::new(Face {
                now_ms,
                rev: 1,
                r#virtual: is_virtual,
                speed: if is_virtual { speed } else { 1.0 },
            }),
        }
    }

    pub(crate) fn face(&self) -> Face {
        let mut face = *self.face.borrow();
        if !face.r#virtual {
            face.now_ms = machine_ms();
        }
        face
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.face().now_ms
    }

    /// Puts a virtual clock at `now_ms`. The machine's own clock is not ours to set: `false`.
    pub(crate) fn set(&self, now_ms: i64) -> bool {
        self.face.send_if_modified(|face| {
            if face.r#virtual {
                face.now_ms = now_ms;
                face.rev += 1;
            }
            face.r#virtual
        })
    }

    /// Lets a virtual clock go by itself from now on, so fast. The machine's own is not ours to set: `false`.
    pub(crate) fn set_speed(&self, speed: f64) -> bool {
        self.face.send_if_modified(|face| {
            if face.r#virtual {
                face.speed = speed;
                face.rev += 1;
            }
            face.r#virtual
        })
    }

    /// The face once its revision is another than `after` (a follower may know a clock that ran before), or as it is when `patience` (of real time) is over.
    pub(crate) async fn changed_after(&self, after: u64, patience: Duration) -> Face {
        let mut turns = self.face.subscribe();
        // Neither the time-out nor a closed channel (we hold the sender) is an error: the face is the answer.
        let _ = tokio::time::timeout(patience, turns.wait_for(|face| face.rev != after)).await;
        self.face()
    }

    /// Returns when it is `at_ms` or later.
    pub(crate) async fn sleep_until(&self, at_ms: i64) {
        let mut turns = self.face.subscribe();
        loop {
            let left_ms = at_ms.saturating_sub(self.now_ms());
            let Ok(left_ms @ 1..) = u64::try_from(left_ms) else { return };
            if self.face.borrow().r#virtual {
                let _ = turns.changed().await;
            } else {
                tokio::time::sleep(Duration::from_millis(left_ms).min(LOOK_AGAIN)).await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads it")]
fn machine_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_from_text() {
        assert_eq!("real".parse(), Ok(ClockKind::Real));
        assert_eq!("virtual".parse(), Ok(ClockKind::Virtual(VIRTUAL_START_MS)));
        assert_eq!("virtual:5000".parse(), Ok(ClockKind::Virtual(5000)));
        assert!("virtual:noon".parse::<ClockKind>().is_err());
        assert!("sundial".parse::<ClockKind>().is_err());
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_a_virtual_clock_gets_there_and_pollers_see_each_turn() {
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
        let face = clock.changed_after(2, Duration::from_secs(5)).await;
        assert_eq!(face, Face { now_ms: 1500, rev: 3, r#virtual: true, speed: 0.0 });
    }

    #[test]
    fn the_machines_clock_is_not_set() {
        assert!(!Clock::new(ClockKind::Real, 1.0).set(0));
    }
}
