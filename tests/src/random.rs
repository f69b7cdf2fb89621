//! Seeded chance, so that a scenario that failed can be had again with the seed it printed.
//!
//! SplitMix64 (Steele, Lea and Flood 2014): a few lines and more than good enough to choose moments and members.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A sequence of numbers that look like chance.
#[derive(Clone, Debug)]
pub struct Chance(u64);

/// Whether more rounds are wanted (`cargo xtask test --long`).
pub fn long() -> bool {
    std::env::var_os("BEADLE_E2E_LONG").is_some()
}

impl Chance {
    /// The sequence of the seed that was asked for (`cargo xtask test --seed N`), else of a new one. It is printed, and
    /// shown with a scenario that fails.
    pub fn seeded() -> Self {
        let asked = std::env::var("BEADLE_E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
        let seed = asked.unwrap_or_else(now);
        eprintln!("again with: cargo xtask test e2e --seed {seed}");
        Self::new(seed)
    }

    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any moment within so many milliseconds from now: it is over when it returns.
    pub async fn moment(&mut self, within_ms: u64) {
        // tidy: a moment that nothing marks is what is wanted here
        tokio::time::sleep(Duration::from_millis(self.below(within_ms))).await;
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }
}
