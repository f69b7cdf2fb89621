//! Documents: text files that people wrote for a plugin, as they were when last looked at.
//!
//! They are copied in here, so that what a plugin reads is what its event spoke of, and no plugin call waits for a disk
//! that somebody mounted. Copy and event are one transaction.

use crate::StoreError;
use crate::read::Reader;
use crate::writer::Tx;
use beadle_model::{EventBody, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};

/// A document, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its path in the folder.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// In bytes.
    pub size: u32,
    /// When this content was seen first.
    pub seen_at: Timestamp,
}

/// A document that is new or has another content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// Its path in the folder.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// Its text.
    pub body: String,
}

impl Tx<'_> {
    /// Copies what changed, forgets what is gone, and tells the plugin in an event.
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
                    "INSERT INTO documents (plugin, name, hash, size, seen_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (plugin, name) DO UPDATE SET hash = excluded.hash, size = excluded.size,
                     seen_at = excluded.seen_at, body = excluded.body",
                )?
                .execute(params![plugin.0, document.name, document.hash, size, now.0, document.body])?;
        }
        for name in removed {
            self.conn
                .prepare_cached("DELETE FROM documents WHERE plugin = ?1 AND name = ?2")?
                .execute(params![plugin.0, name])?;
        }
        let body = EventBody::DocumentsChanged {
            plugin,
            changed: changed.iter().map(|document| document.name.clone()).collect(),
            removed: removed.to_vec(),
        };
        self.append_own(None, body, None, (now, now))
    }
}

impl Reader {
    /// A plugin's documents, by name.
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

    /// The text of one of them.
    pub fn document(&self, plugin: PluginNo, name: &str) -> Result<Option<String>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT body FROM documents WHERE plugin = ?1 AND name = ?2")?;
            Ok(read.query_row(params![plugin.0, name], |row| row.get(0)).optional()?)
        })
    }
}
