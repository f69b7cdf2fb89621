//! By what a webhook's contents are recognised when they come again (whatsapp.md 1.9). The platform gives no delivery
//! id and repeats what it thinks was lost, in other company and to every app that listens.

use crate::json::Json;
use beadle_model::Timestamp;
use beadle_store::step::EventKey;
use sha2::{Digest, Sha256};

/// The key of something that happened at `at` and is named by these texts. `None` counts as the epoch: what has no time
/// must have the same key tomorrow.
pub(crate) fn of_names(at: Option<Timestamp>, names: &[&str]) -> EventKey {
    finish(at, with_names(names))
}

/// The same for something that has no name: by what it says.
pub(crate) fn of_contents(at: Option<Timestamp>, names: &[&str], contents: &Json<'_>) -> EventKey {
    let mut hash = with_names(names);
    contents.hash_into(&mut hash);
    finish(at, hash)
}

fn with_names(names: &[&str]) -> Sha256 {
    let mut hash = Sha256::new();
    for name in names {
        // The length before each, so that no two lists of names run together to the same bytes.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    hash
}

fn finish(at: Option<Timestamp>, hash: Sha256) -> EventKey {
    let mut first = [0; 16];
    first.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    EventKey { at: at.unwrap_or_default(), hash: first }
}
