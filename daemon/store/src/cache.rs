//! A bounded map that forgets what was not used lately.
//!
//! There are two generations. An entry that is used moves into the young one; when that is full, it
//! becomes the old one and the previous old one is dropped. So an entry survives at least half the
//! bound's worth of other entries, at the cost of one hash look-up where a linked list would need
//! several writes. A missing entry is read from disk, so precision is not needed.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

/// The minimum size of a generation, so that no step can evict an entry that it has just inserted.
const MIN_GENERATION: usize = 64;

pub(crate) struct Cache<K, V, S = RandomState> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
    generation: usize,
}

/// A cache keyed by Beadle's own ids. Senders cannot choose them to collide, so the hash is one
/// multiplication (by 2^64 over the golden ratio, which spreads neighbours).
pub(crate) type ById<K, V> = Cache<K, V, BuildHasherDefault<IdHasher>>;

#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_i64(i64::from(*byte)));
    }

    fn write_i64(&mut self, id: i64) {
        self.0 = (self.0 ^ id.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<K: Eq + Hash + Clone, V, S: BuildHasher + Default> Cache<K, V, S> {
    /// A cache for at most `capacity` entries (and at least 128).
    pub(crate) fn new(capacity: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), generation: (capacity / 2).max(MIN_GENERATION) }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.insert(key.clone(), value);
        }
        self.young.get_mut(key)
    }

    /// A copy of the value; half the hashing of `get`.
    pub(crate) fn copied(&mut self, key: &K) -> Option<V>
    where
        V: Copy,
    {
        match self.young.get(key) {
            Some(value) => Some(*value),
            None => self.get(key).map(|value| *value),
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_at_most_its_capacity_and_the_latest_values(keys in prop::collection::vec((0..400u16, any::<bool>()), 0..2000)) {
            let mut cache: Cache<u16, usize> = Cache::new(200);
            let mut last = HashMap::new();
            for (turn, (key, put)) in keys.into_iter().enumerate() {
                if put {
                    cache.insert(key, turn);
                    last.insert(key, turn);
                } else if let Some(value) = cache.get(&key) {
                    prop_assert_eq!(Some(&*value), last.get(&key));
                }
                prop_assert!(cache.young.len() + cache.old.len() <= 200);
            }
        }
    }

    #[test]
    fn used_entries_survive() {
        let mut cache: Cache<i32, &str> = Cache::new(128);
        cache.insert(0, "kept");
        for other in 1..10_000 {
            cache.insert(other, "passing");
            assert_eq!(cache.get(&0), Some(&mut "kept"));
        }
        assert_eq!(cache.get(&1), None);
    }
}
