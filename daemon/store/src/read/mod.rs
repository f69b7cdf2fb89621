//! Reading: what was committed, on connections beside the writer's.
//!
//! Everything here blocks, for microseconds where a plugin asks and for longer where a person lists; call it from a guest
//! thread or `spawn_blocking`. Each call sees one moment of the database. A call holds its connection no longer than it
//! runs, and waits for one with a deadline.

mod counts;
mod dead;
pub(crate) mod events;
pub(crate) mod outbox;
mod people;
mod schedules;
mod state;
mod trace;
mod windows;

use crate::open::connect;
use crate::{Files, StoreError};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a call waits for a connection: longer than any reasonable listing takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most rows that one listing gives, whatever was asked for.
const MOST_ROWS: usize = 1000;

/// How many of the newest rows a listing with a filter looks at: few things are indexed, for the sake of speed where
/// it matters, and nobody's question is worth reading all of ten million rows.
const LOOK_BACK: i64 = 1_000_000;

/// Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Reader(Arc<Pool>);

struct Pool {
    path: PathBuf,
    files: Files,
    most: usize,
    lent: Mutex<Lent>,
    returned: Condvar,
}

#[derive(Default)]
struct Lent {
    idle: Vec<Connection>,
    open: usize,
}

/// A connection on loan.
struct Loan<'a> {
    pool: &'a Pool,
    conn: Option<Connection>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut lent = self.pool.lent();
        match self.conn.take() {
            // One inside a transaction that could not be ended is not fit for others.
            Some(conn) if conn.is_autocommit() => lent.idle.push(conn),
            _ => lent.open -= 1,
        }
        drop(lent);
        self.pool.returned.notify_one();
    }
}

impl Pool {
    fn lent(&self) -> MutexGuard<'_, Lent> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lend(&self) -> Result<Loan<'_>, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut lent = self.lent();
        loop {
            if let Some(conn) = lent.idle.pop() {
                return Ok(Loan { pool: self, conn: Some(conn) });
            }
            if lent.open < self.most {
                lent.open += 1;
                drop(lent);
                // Counts as open from here, so that it is uncounted if it cannot be opened.
                let mut loan = Loan { pool: self, conn: None };
                let conn = connect(&self.path)?;
                conn.pragma_update(None, "query_only", true)?;
                loan.conn = Some(conn);
                return Ok(loan);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Busy { waiting: self.most });
            }
            lent = self.returned.wait_timeout(lent, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Reader {
    pub(crate) fn new(path: PathBuf, files: Files, most: usize) -> Self {
        Self(Arc::new(Pool { path, files, most: most.max(1), lent: Mutex::default(), returned: Condvar::new() }))
    }

    /// Where the bytes of files are.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// One statement; it sees one moment by itself.
    pub(crate) fn one<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let loan = self.0.lend()?;
        match &loan.conn {
            Some(conn) => read(conn),
            None => Err(StoreError::Closed),
        }
    }

    /// Several statements that see the same moment.
    pub(crate) fn all<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.one(|conn| {
            conn.prepare_cached("BEGIN")?.execute([])?;
            let done = read(conn);
            conn.prepare_cached("COMMIT")?.execute([])?;
            done
        })
    }
}

/// A limit as SQLite takes it.
pub(crate) fn limit(most: usize) -> i64 {
    most.min(MOST_ROWS) as i64
}
