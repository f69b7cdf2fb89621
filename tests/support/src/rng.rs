//! Seeded random numbers, so that a failed run can be repeated with the seed it printed.
//!
//! SplitMix64 (Steele, Lea and Flood, 2014): enough to choose moments and members, not for
//! statistics or secrets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A pseudo-random sequence.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// Whether more rounds are wanted (`cargo xtask test --long`).
pub fn is_long_run() -> bool {
    std::env::var_os("BEADLE_E2E_LONG").is_some()
}

impl Rng {
    /// The sequence of the seed in `BEADLE_E2E_SEED` (`cargo xtask test --seed N`), else of a new
    /// one. Prints the seed.
    #[expect(clippy::disallowed_methods, reason = "a source of seeds")]
    pub fn seeded() -> Self {
        let chosen = std::env::var("BEADLE_E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
        let seed = chosen.unwrap_or_else(now);
        eprintln!("repeat with: --seed {seed} (BEADLE_E2E_SEED={seed})");
        Self::new(seed)
    }

    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// Sleeps for a random time below `max_ms`.
    pub async fn sleep_below(&mut self, max_ms: u64) {
        // tidy: the random moment itself is what the test needs
        tokio::time::sleep(Duration::from_millis(self.below(max_ms))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_repeats_its_sequence() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next_u64(), rng.next_u64(), rng.below(10)]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_eq!(Rng::new(7).below(0), 0);
    }
}
