//! How often a handling that failed is tried again, and when: DESIGN section 3's numbers as one pure function.
//!
//! It is not the sending side: what the platform refuses is tried again by the outbox, by its own rules.

use crate::subscriptions::{OnFailure, Stage};

/// What to do after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after so many milliseconds of civil time.
    Retry {
        /// How long.
        after_ms: i64,
    },
    /// Give it up: a dead letter.
    GiveUp {
        /// The chain ends here, unanswered: a guard that was to be waited for never spoke.
        closed: bool,
    },
}

/// Pauses after the first, second, … failed try, before jitter. Guard and answer: 3 tries within 5 seconds, while a
/// person waits.
const CHAIN_PAUSES_MS: [i64; 2] = [300, 1500];
/// A guard on hold is asked for another 60 seconds, ever more slowly, before its event is given up.
const HOLD_PAUSES_MS: [i64; 5] = [3000, 6000, 12_000, 18_000, 18_000];
/// … and so long in all, also where it rests meanwhile.
pub const HOLD_MS: i64 = 60_000;
/// Observers and what is unstaged: 5 tries within 60 seconds.
const OBSERVER_PAUSES_MS: [i64; 4] = [1000, 4000, 12_000, 30_000];

/// After `tries` failed tries (1 or more). `staged`: the event goes through the chain. `jitter`: a number of which the
/// low 16 bits are random; it takes up to a quarter off a pause, so that those who failed together do not come back
/// together and no limit is passed. `once`: it gets one try, whatever its place.
pub fn after(tries: u32, staged: bool, stage: Stage, on_failure: OnFailure, once: bool, jitter: u64) -> Next {
    let nth = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let in_chain = staged && stage != Stage::Observe;
    let held = in_chain && stage == Stage::Guard && on_failure == OnFailure::Hold;
    let pause = if in_chain {
        let hold = held.then(|| HOLD_PAUSES_MS.get(nth.checked_sub(CHAIN_PAUSES_MS.len())?)).flatten();
        CHAIN_PAUSES_MS.get(nth).or(hold)
    } else {
        OBSERVER_PAUSES_MS.get(nth)
    };
    match pause.filter(|_| !once) {
        Some(pause_ms) => {
            let share = i64::try_from(jitter % 65_536).unwrap_or(0);
            Next::Retry { after_ms: pause_ms - pause_ms * share / 65_536 / 4 }
        }
        None => Next::GiveUp { closed: held },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tries in all, and the longest that they take.
    fn life(staged: bool, stage: Stage, on_failure: OnFailure, jitter: u64) -> (u32, i64, bool) {
        let (mut tries, mut ms) = (1, 0);
        loop {
            match after(tries, staged, stage, on_failure, false, jitter) {
                Next::Retry { after_ms } => (tries, ms) = (tries + 1, ms + after_ms),
                Next::GiveUp { closed } => return (tries, ms, closed),
            }
        }
    }

    proptest! {
        #[test]
        fn tries_and_times_are_the_designs(jitter: u64) {
            let (tries, ms, closed) = life(true, Stage::Answer, OnFailure::Hold, jitter);
            prop_assert!(tries == 3 && ms <= 5000 && !closed);
            let (tries, ms, closed) = life(true, Stage::Guard, OnFailure::Skip, jitter);
            prop_assert!(tries == 3 && ms <= 5000 && !closed);
            let (_, ms, closed) = life(true, Stage::Guard, OnFailure::Hold, jitter);
            prop_assert!((40_000..=HOLD_MS).contains(&ms) && closed);
            let once = after(1, true, Stage::Guard, OnFailure::Hold, true, jitter);
            prop_assert_eq!(once, Next::GiveUp { closed: true });
            for (staged, stage) in [(true, Stage::Observe), (false, Stage::Answer), (false, Stage::Guard)] {
                let (tries, ms, closed) = life(staged, stage, OnFailure::Hold, jitter);
                prop_assert!(tries == 5 && ms <= 60_000 && !closed);
            }
        }
    }
}
