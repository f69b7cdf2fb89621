//! A store in a folder.

use beadle_clock::Clock;
use beadle_store::{Store, StoreConfig};
use std::path::Path;

/// Opens the store in this directory.
pub fn open(dir: &Path, clock: &Clock) -> Store {
    Store::open(StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir, clock.clone()) }).unwrap()
}
