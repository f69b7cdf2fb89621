//! Reading what was committed, on connections of its own.
//!
//! All calls block: microseconds for a plugin's reads, longer for listings. Call them from a guest
//! thread or `spawn_blocking`. Each call sees one snapshot, holds its connection only while it
//! runs, and waits for one with a deadline.

mod counts;
mod dead;
pub(crate) mod events;
pub(crate) mod facts;
pub(crate) mod outbox;
mod people;
pub(crate) mod person;
pub(crate) mod rejected;
mod schedules;
mod state;
mod trace;
mod windows;

use crate::connection::connect;
use crate::error::StoreError;
use crate::files::Files;
use crate::unreadable::{Reports, UnreadableRow};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a call waits for a connection: longer than any reasonable listing takes.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of rows in a listing.
const MAX_ROWS: usize = 1000;

/// The maximum size of the bodies that a read for the pipeline returns, at least one: some thousand
/// usual events, or a few of the largest.
pub(crate) const MAX_READ_BYTES: usize = 8 << 20;

/// The number of newest rows that a filtered listing searches. Few columns are indexed, to keep
/// inserts cheap, and no listing should read ten million rows.
const SEARCHED_ROWS: i64 = 1_000_000;

/// Reads the store. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Reader(Arc<Pool>);

struct Pool {
    path: PathBuf,
    files: Files,
    limit: usize,
    connections: Mutex<Connections>,
    returned: Condvar,
    reports: Reports,
}

#[derive(Default)]
struct Connections {
    idle: Vec<Connection>,
    open: usize,
}

/// A borrowed connection.
struct PooledConnection<'a> {
    pool: &'a Pool,
    conn: Option<Connection>,
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        let mut connections = self.pool.connections();
        match self.conn.take() {
            // A connection with an open transaction is not reused.
            Some(conn) if conn.is_autocommit() => connections.idle.push(conn),
            _ => connections.open -= 1,
        }
        drop(connections);
        self.pool.returned.notify_one();
    }
}

impl Pool {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock()
    }

    fn acquire(&self) -> Result<PooledConnection<'_>, StoreError> {
        let deadline = Instant::now() + CONNECTION_TIMEOUT;
        let mut connections = self.connections();
        loop {
            if let Some(conn) = connections.idle.pop() {
                return Ok(PooledConnection { pool: self, conn: Some(conn) });
            }
            if connections.open < self.limit {
                connections.open += 1;
                drop(connections);
                // Counted as open from here on, so that dropping the connection uncounts it if
                // opening fails.
                let mut borrowed = PooledConnection { pool: self, conn: None };
                let conn = connect(&self.path)?;
                conn.pragma_update(None, "query_only", true)?;
                borrowed.conn = Some(conn);
                return Ok(borrowed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Busy { waiting: self.limit });
            }
            self.returned.wait_for(&mut connections, left);
        }
    }
}

impl Reader {
    pub(crate) fn new(path: PathBuf, files: Files, limit: usize) -> Self {
        let (connections, returned, reports) = Default::default();
        Self(Arc::new(Pool { path, files, limit: limit.max(1), connections, returned, reports }))
    }

    /// The files' bytes.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// Where unreadable rows are reported.
    pub(crate) fn reports(&self) -> &Reports {
        &self.0.reports
    }

    /// The row if it can be read. An unreadable one is reported, and skipped as `None`.
    fn readable<T>(&self, row: UnreadableRow, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error @ StoreError::Unreadable { .. }) => {
                self.reports().report(row, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes all connections, so that others wait for one in vain, or gives them back.
    #[cfg(debug_assertions)]
    pub(crate) fn set_busy(&self, busy: bool) {
        let mut connections = self.0.connections();
        // Those that are in use are not counted as idle, and come back.
        connections.idle.clear();
        connections.open = if busy { self.0.limit } else { 0 };
        drop(connections);
        self.0.returned.notify_all();
    }

    /// Runs a single statement, which sees one snapshot by itself.
    pub(crate) fn one<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let borrowed = self.0.acquire()?;
        match &borrowed.conn {
            Some(conn) => read(conn),
            None => Err(StoreError::Closed),
        }
    }

    /// Runs several statements on one snapshot.
    pub(crate) fn all<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.one(|conn| {
            conn.prepare_cached("BEGIN")?.execute([])?;
            let done = read(conn);
            conn.prepare_cached("COMMIT")?.execute([])?;
            done
        })
    }
}

/// The row of a listing if it can be read; an unreadable one is left out with a warning.
pub(crate) fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ StoreError::Unreadable { .. }) => {
            tracing::warn!(%error, "unreadable row left out of a listing");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A limit for SQL, at most [`MAX_ROWS`].
pub(crate) fn bounded(limit: usize) -> i64 {
    limit.min(MAX_ROWS) as i64
}
