//! Which values can be used as secrets.

use beadle_model::Secret;

/// Shorter secrets are refused: they occur in responses by chance, which scrubbing would damage.
pub const MIN_SECRET_BYTES: usize = 8;

/// Longest secret: servers accept headers of at least 8,000 bytes.
pub const MAX_SECRET_BYTES: usize = 4096;

/// Why a value cannot be used as a secret; completes "the secret …".
pub fn unusable(secret: &Secret) -> Option<&'static str> {
    let bytes = secret.expose().as_bytes();
    if bytes.len() < MIN_SECRET_BYTES {
        return Some("must have 8 bytes at least");
    }
    if bytes.len() > MAX_SECRET_BYTES {
        return Some("must have 4096 bytes at most");
    }
    bytes.iter().any(u8::is_ascii_control).then_some("must not contain control characters")
}
