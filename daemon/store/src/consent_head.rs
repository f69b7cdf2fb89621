//! The end of the consent ledger, and how the next row's hash follows from it.

use crate::error::StoreError;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

/// The last row of the ledger: its number and hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsentHead {
    pub(crate) id: i64,
    pub(crate) hash: [u8; 32],
}

impl ConsentHead {
    /// Reads it. An empty ledger begins with zeros.
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut read = conn.prepare_cached("SELECT value FROM meta WHERE key = 'consent_head'")?;
        let head: Option<Vec<u8>> = read.query_row([], |row| row.get(0)).optional()?;
        Ok(head.as_deref().and_then(Self::from_bytes).unwrap_or_default())
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, hash) = bytes.split_at_checked(8)?;
        Some(Self { id: i64::from_be_bytes(id.try_into().ok()?), hash: hash.try_into().ok()? })
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.id.to_be_bytes()[..], &self.hash].concat()
    }

    /// The head after a row with this digest.
    pub(crate) fn next(self, digest: &[u8]) -> Self {
        let id = self.id + 1;
        let hash = Sha256::new().chain_update(self.hash).chain_update(id.to_be_bytes()).chain_update(digest).finalize();
        Self { id, hash: hash.into() }
    }
}

/// The digest of a row's content. The salt keeps it from being guessed after an erasure.
pub(crate) fn digest(salt: &[u8], body: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(body).finalize().into()
}
