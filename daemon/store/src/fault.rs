//! Faults on purpose, for tests of the crates above. This module exists in debug builds only.

use crate::{Reader, StoreError};
use beadle_model::ConversationId;
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// Keeps the store from writing until it is dropped, as another process does that holds the
/// database's lock. Reads go on.
pub struct DatabaseLock(#[expect(dead_code, reason = "held for its end")] Connection);

impl DatabaseLock {
    /// Locks the database in this data directory.
    ///
    /// # Errors
    /// The database cannot be opened or locked.
    pub fn hold(dir: &Path) -> Result<Self, StoreError> {
        let conn = Connection::open(dir.join("beadle.db"))?;
        conn.busy_timeout(Duration::from_secs(30))?;
        conn.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self(conn))
    }
}

/// Keeps readers from getting a connection until it is dropped: they fail after five seconds.
pub struct BusyReaders(Reader);

impl BusyReaders {
    /// Of this reader and its clones.
    pub fn hold(reader: &Reader) -> Self {
        reader.set_busy(true);
        Self(reader.clone())
    }
}

impl Drop for BusyReaders {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

/// Writes what this version cannot read into the row of a conversation.
///
/// # Errors
/// The database cannot be written.
pub fn damage_conversation(dir: &Path, id: ConversationId) -> Result<(), StoreError> {
    let conn = Connection::open(dir.join("beadle.db"))?;
    conn.busy_timeout(Duration::from_secs(30))?;
    conn.execute("UPDATE conversations SET channel = CAST(x'ff' AS TEXT) WHERE id = ?1", [id.0])?;
    Ok(())
}

/// Makes the store refuse each commit that creates a file.
///
/// # Errors
/// The database cannot be written.
pub fn refuse_created_files(dir: &Path) -> Result<(), StoreError> {
    let conn = Connection::open(dir.join("beadle.db"))?;
    conn.busy_timeout(Duration::from_secs(30))?;
    conn.execute_batch("CREATE TRIGGER fault BEFORE INSERT ON media BEGIN SELECT RAISE(ABORT, 'injected fault'); END")?;
    Ok(())
}
