//! A seeded random number generator: the same seed injects the same faults in the same order.
//!
//! SplitMix64 (Steele, Lea, Flood 2014) is short, passes BigCrush, and is sufficient here. Ids are
//! not generated from it: they must differ between two runs with the same seed, or a daemon that
//! keeps its data would treat the messages of the second run as duplicates.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The modulo bias is below 2^-40 for the small bounds used here.
        self.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// True with this probability. A probability of 0 draws no number, so that switching a fault
    /// off does not change the rest of the sequence.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "the value has 53 bits, as many as the mantissa of f64")]
        let unit = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        probability >= 1.0 || unit < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_matches_the_reference_implementation() {
        // The first outputs for seed 1234567, as listed with the reference implementation.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn chance_has_the_given_probability() {
        let mut rng = Rng::new(7);
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits} of 10,000 at one in four");
        assert!(!rng.chance(0.0));
        assert!(rng.chance(1.0));
        assert_eq!(rng.below(0), 0);
        assert!(rng.below(3) < 3);
    }
}
