//! Connections to the database.

use crate::error::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// How long a connection waits for another process's lock. Beadle's own connections never collide.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of statements that a connection keeps prepared: more than there are.
pub(crate) const STATEMENT_CACHE: usize = 128;

/// A further connection to an existing database.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(conn)
}
