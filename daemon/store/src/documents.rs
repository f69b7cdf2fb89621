//! Documents: text files that people wrote for a plugin, as of the last scan.
//!
//! They are copied into the database, so that a plugin reads what its event was about and no call
//! waits for a mounted disk. Copy and event are one transaction. Texts are stored by hash and stay
//! for at least an hour after the last document with that text was deleted, so that a plugin that
//! has a listing can read it.

use crate::error::StoreError;
use crate::read::Reader;
use crate::tx::Tx;
use beadle_model::{EventBody, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};

/// A document without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its path in the folder.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// Its size in bytes.
    pub size: u32,
    /// When this content was first seen.
    pub seen_at: Timestamp,
}

/// A new or changed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// Its path in the folder.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// Its text.
    pub body: String,
}

/// How long an unreferenced text stays: longer than any handling runs (`limits.wall_ms`, ten
/// minutes).
const UNREFERENCED_TEXT_MS: i64 = 60 * 60 * 1000;

impl Tx<'_> {
    /// Stores changed documents, deletes removed ones, and appends the event.
    pub(crate) fn change_documents(
        &mut self,
        plugin: PluginNo,
        changed: &[NewDocument],
        removed: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for document in changed {
            let size = i64::try_from(document.body.len()).unwrap_or(i64::MAX);
            self.conn
                .prepare_cached(
                    "INSERT INTO document_bodies (hash, body) VALUES (?1, ?2)
                     ON CONFLICT (hash) DO UPDATE SET unreferenced_since = NULL",
                )?
                .execute(params![document.hash, document.body])?;
            self.conn
                .prepare_cached(
                    "INSERT INTO documents (plugin, name, hash, size, seen_at) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (plugin, name) DO UPDATE SET hash = excluded.hash, size = excluded.size,
                     seen_at = excluded.seen_at",
                )?
                .execute(params![plugin.0, document.name, document.hash, size, now.0])?;
        }
        for name in removed {
            self.conn
                .prepare_cached("DELETE FROM documents WHERE plugin = ?1 AND name = ?2")?
                .execute(params![plugin.0, name])?;
        }
        self.mark_unreferenced_texts(now)?;
        let body = EventBody::DocumentsChanged {
            plugin,
            changed: changed.iter().map(|document| document.name.clone()).collect(),
            removed: removed.to_vec(),
        };
        self.append_own(None, body, None, (now, now))
    }

    /// Marks texts that belong to no document now.
    fn mark_unreferenced_texts(&self, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE document_bodies SET unreferenced_since = ?1 WHERE unreferenced_since IS NULL AND hash NOT IN (SELECT hash FROM documents)",
            )?
            .execute([now.0])?;
        Ok(())
    }

    /// Deletes texts that have been unreferenced for long enough. `now` is retention's time,
    /// because a clock that jumps ahead must not delete a text that is being read.
    pub(crate) fn delete_unreferenced_texts(&self, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("DELETE FROM document_bodies WHERE unreferenced_since < ?1")?
            .execute([now.0.saturating_sub(UNREFERENCED_TEXT_MS)])?;
        Ok(())
    }
}

impl Reader {
    /// A plugin's documents by name.
    pub fn documents(&self, plugin: PluginNo) -> Result<Vec<Document>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached("SELECT name, hash, size, seen_at FROM documents WHERE plugin = ?1 ORDER BY name")?
                .query_map([plugin.0], |row| {
                    Ok(Document {
                        name: row.get(0)?,
                        hash: row.get(1)?,
                        size: row.get(2)?,
                        seen_at: Timestamp(row.get(3)?),
                    })
                })?
                .collect::<Result<_, _>>()
                .map_err(StoreError::from)
        })
    }

    /// The text with this hash; `None` if no document has had it for an hour.
    pub fn document_text(&self, hash: &[u8]) -> Result<Option<String>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT body FROM document_bodies WHERE hash = ?1")?;
            Ok(read.query_row([hash], |row| row.get(0)).optional()?)
        })
    }
}
