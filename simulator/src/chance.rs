//! Seeded chance: what goes wrong, and in which order, can be had again with the same seed.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): eight lines, passes BigCrush, and a simulator needs no more. Ids do not come from
//! here: they must differ between two runs with one seed, or a daemon that keeps its data takes the second run's messages
//! for repeats of the first's.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The bias of the remainder is below 2^-40 for the small ends used here.
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// True with this probability. 0 and 1 are exact and draw nothing, so that switching a fault off leaves the rest of
    /// the sequence as it was.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        // 53 bits are what an f64 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "the value has 53 bits, as many as f64's mantissa")]
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        probability >= 1.0 || unit < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // First outputs of SplitMix64 for seed 1234567, as listed with the reference implementation.
        let mut chance = Chance::new(1_234_567);
        assert_eq!(chance.next(), 6_457_827_717_110_365_317);
        assert_eq!(chance.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn chances_are_kept() {
        let mut chance = Chance::new(7);
        let hits = (0..10_000).filter(|_| chance.happens(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits} of 10,000 at one in four");
        assert!(!chance.happens(0.0));
        assert!(chance.happens(1.0));
        assert_eq!(chance.below(0), 0);
        assert!(chance.below(3) < 3);
    }
}
