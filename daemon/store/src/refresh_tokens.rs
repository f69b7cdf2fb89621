//! Refresh tokens of OAuth 2 that an authorization server has rotated. They are few and small, so
//! each is one value in `meta`.

use crate::codec::to_json;
use crate::error::StoreError;
use crate::read::{Reader, readable};
use crate::tx::Tx;
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The beginning of the keys in `meta`; plugin and name of the secret follow.
const KEY: &str = "refresh_token:";

/// A refresh token that replaces a configured one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedToken {
    /// A hash of the token, client and endpoint in the configuration: if they change, this token is
    /// no longer used.
    pub configured: String,
    /// The token.
    pub token: String,
}

impl fmt::Debug for RotatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatedToken").field("configured", &self.configured).finish_non_exhaustive()
    }
}

/// Neither names of plugins nor of secrets contain a slash.
fn key(plugin: &str, secret: &str) -> String {
    format!("{KEY}{plugin}/{secret}")
}

impl Tx<'_> {
    /// Keeps a token instead of an earlier one.
    pub(crate) fn keep_refresh_token(
        &self,
        plugin: &str,
        secret: &str,
        token: &RotatedToken,
    ) -> Result<(), StoreError> {
        let mut write = self.conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
        write.execute(params![key(plugin, secret), to_json("a refresh token", token)?])?;
        Ok(())
    }

    /// Deletes the tokens of a plugin.
    pub(crate) fn delete_refresh_tokens(&self, plugin: &str) -> Result<(), StoreError> {
        let from = key(plugin, "");
        let mut delete = self.conn.prepare_cached("DELETE FROM meta WHERE key >= ?1 AND key < ?2")?;
        // `0` is the character after `/`.
        delete.execute(params![from, format!("{KEY}{plugin}0")])?;
        Ok(())
    }
}

impl Reader {
    /// The token that was stored last for a secret of a plugin.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn refresh_token(&self, plugin: &str, secret: &str) -> Result<Option<RotatedToken>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            let value: Option<String> = read.query_row([key(plugin, secret)], |row| row.get(0)).optional()?;
            let Some(value) = value else { return Ok(None) };
            readable(
                serde_json::from_str(&value).map_err(|_| StoreError::unreadable("a refresh token", "invalid JSON")),
            )
        })
    }
}
