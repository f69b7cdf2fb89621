//! Randomness that is the same when an event is handled again. Granted to all.

use crate::host;

/// A number of which every bit is random.
pub fn number() -> u64 {
    host::random::number()
}

/// A number below `end`, each as likely as the others (to 1 in 2^64 ÷ `end`); 0 where `end` is 0.
pub fn below(end: u64) -> u64 {
    // The high half of the product: no division, and no bias that 64 bits would show.
    ((u128::from(number()) * u128::from(end)) >> 64) as u64
}

/// So many random bytes, 4096 at most.
pub fn bytes(count: u32) -> Vec<u8> {
    host::random::bytes(count)
}
