//! Randomness of the system.

use crate::error::StoreError;

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::file("read randomness from", "the system")(std::io::Error::other(error)))?;
    Ok(bytes)
}
