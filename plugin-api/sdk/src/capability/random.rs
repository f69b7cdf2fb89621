//! Random numbers. The same event gives the same numbers when it is handled again. Granted by
//! default.

use crate::host;

/// 64 random bits.
pub fn number() -> u64 {
    host::random::number()
}

/// A number below `end`, uniformly distributed (up to `end` in 2^64). 0 if `end` is 0.
pub fn below(end: u64) -> u64 {
    // The high half of the product needs no division.
    ((u128::from(number()) * u128::from(end)) >> 64) as u64
}

/// Returns `count` random bytes (maximum 4096).
pub fn bytes(count: u32) -> Vec<u8> {
    host::random::bytes(count)
}
