//! Deduplication keys of webhook contents (docs/whatsapp.md#deduplication). The platform gives no
//! delivery id, and resends what it considers lost: in other batches, and to every subscribed app.

use crate::json::Json;
use beadle_model::Timestamp;
use beadle_store::step::EventKey;
use sha2::{Digest, Sha256};

/// The key of an element that has an id. Without a time stamp, `None` counts as the epoch, so that
/// a redelivery has the same key.
pub(crate) fn of_id(at: Option<Timestamp>, id: &[&str]) -> EventKey {
    finish(at, hash_id(id))
}

/// The key of an element that has no id of its own: a hash of its contents, qualified by `id`.
pub(crate) fn of_contents(at: Option<Timestamp>, id: &[&str], contents: &Json<'_>) -> EventKey {
    let mut hash = hash_id(id);
    contents.hash_into(&mut hash);
    finish(at, hash)
}

fn hash_id(id: &[&str]) -> Sha256 {
    let mut hash = Sha256::new();
    for part in id {
        // Each part is preceded by its length, so that no two lists of parts give the same bytes.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash
}

fn finish(at: Option<Timestamp>, hash: Sha256) -> EventKey {
    let mut first = [0; 16];
    first.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    EventKey { at: at.unwrap_or_default(), hash: first }
}
