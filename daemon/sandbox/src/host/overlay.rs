//! The state writes of a call, as its reads see them before the store.

use beadle_model::effect::StateWrite;
use beadle_model::{Effects, Refusal, Scope, Timestamp};
use std::collections::BTreeMap;

/// The writes of this call by key: what a read returns before it asks the store.
#[derive(Default)]
pub struct Overlay {
    pub writes: BTreeMap<(Scope, String), Pending>,
    /// The number of entries and versions that this call read from the store.
    pub read: usize,
    /// What counts against the plugin's quota in the store, once it was read.
    pub stored_bytes: Option<u64>,
    /// What the timers that this call set count.
    pub timer_bytes: u64,
}

/// The future value of a key.
pub enum Pending {
    /// What the effect with this index sets. Values may be large, so they are kept once.
    Set(usize),
    /// A counter, set in this call and added to, with its expiry.
    Counter(Vec<u8>, Option<Timestamp>),
    Deleted,
    /// The stored counter plus this.
    Added(i64),
}

/// The longest counter: a sign and nineteen digits.
pub const COUNTER_BYTES: usize = 20;

/// [`Pending`] with its value at hand.
pub enum Written<'a> {
    Value(&'a [u8], Option<Timestamp>),
    Deleted,
    Added(i64),
}

impl Pending {
    /// The value after this write, as far as it is known without reading the store.
    pub fn value<'a>(&'a self, effects: &'a Effects) -> Written<'a> {
        match self {
            Pending::Set(index) => match effects.state.get(*index) {
                Some(StateWrite::Set { value, expires_at, .. }) => Written::Value(value, *expires_at),
                _ => Written::Deleted,
            },
            Pending::Counter(value, expires_at) => Written::Value(value, *expires_at),
            Pending::Deleted => Written::Deleted,
            Pending::Added(delta) => Written::Added(*delta),
        }
    }
}

impl Written<'_> {
    /// The size of key and value.
    pub fn bytes(&self, key: &str) -> u64 {
        match self {
            Written::Value(value, _) => (key.len() + value.len()) as u64,
            Written::Added(_) => (key.len() + COUNTER_BYTES) as u64,
            Written::Deleted => 0,
        }
    }
}

/// Adds to a counter as it is stored: decimal text. A missing counter is 0.
pub fn sum(stored: Option<&[u8]>, delta: i64) -> Result<i64, Refusal> {
    let Some(stored) = stored else { return Ok(delta) };
    let number: Option<i64> = str::from_utf8(stored).ok().and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| {
        Refusal::new("not-a-counter", "The value of this key is not an integer in decimal text.")
            .instead("Use another key, or `set` this one to a number first.")
    })?;
    number.checked_add(delta).ok_or_else(overflow)
}

pub fn overflow() -> Refusal {
    Refusal::new("counter-overflow", "The counter would exceed 64 bits.")
}

pub fn decimal(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_must_be_decimal_text() {
        assert_eq!(sum(None, 5), Ok(5));
        assert_eq!(sum(Some(b"-3"), 5), Ok(2));
        for bad in [&b""[..], b"1.0", b" 1", b"\xff", b"99999999999999999999"] {
            assert_eq!(sum(Some(bad), 1).unwrap_err().code, "not-a-counter");
        }
        assert_eq!(sum(Some(b"9223372036854775807"), 1).unwrap_err().code, "counter-overflow");
    }
}
