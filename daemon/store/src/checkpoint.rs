//! Checkpoints, on a thread of their own: copying the write-ahead log into the database.
//!
//! A passive checkpoint runs at the same time as the writer. But a log under constant writes is
//! never copied to its end, and only a log copied to its end restarts. So when the log is long, the
//! writer is stopped at a [`Gate`] between two transactions for the little that remains after a
//! first pass. The writer's own next transaction then restarts the log, which keeps its page cache
//! valid (a restart by another connection would not).
//!
//! A reader of another process can keep the log from restarting. A long log is reported; at its
//! limit new work is refused, as on a full disk, until the reader has ended.

use crate::connection::BUSY_TIMEOUT;
use crate::error::StoreError;
use crate::shared::{Counters, Shared};
use beadle_tasks::Heartbeat;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// The pause between two checks: at full load the log grows by a few MiB in that time.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The pause between two attempts to restart a log at its limit: soon enough for people.
const FULL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Turn {
    writing: bool,
    held: bool,
}

/// Where writer and checkpointer take turns.
#[derive(Default)]
pub(crate) struct Gate {
    turn: Mutex<Turn>,
    changed: Condvar,
    closed: AtomicBool,
    checkpointer: OnceLock<Thread>,
}

/// A turn of the writer or the checkpointer.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock()
    }

    /// Waits until the gate is open and starts the writer's turn.
    pub(crate) fn enter(&self) -> Pass<'_> {
        let mut turn = self.turn();
        while turn.held {
            self.changed.wait(&mut turn);
        }
        turn.writing = true;
        Pass(self)
    }

    /// Closes the gate once the writer is outside, and starts the checkpointer's turn.
    fn hold(&self) -> Pass<'_> {
        let mut turn = self.turn();
        turn.held = true;
        while turn.writing {
            self.changed.wait(&mut turn);
        }
        Pass(self)
    }

    /// Wakes the checkpointer, because the log has grown.
    pub(crate) fn committed(&self) {
        if let Some(checkpointer) = self.checkpointer.get() {
            checkpointer.unpark();
        }
    }

    /// Ends the checkpointer, because the writer has ended.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.committed();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Only one of the two can have a turn.
        let mut turn = self.0.turn();
        let other_waits = if turn.writing {
            turn.writing = false;
            turn.held
        } else {
            turn.held = false;
            true
        };
        if other_waits {
            self.0.changed.notify_all();
        }
    }
}

/// Keeps the log short until the writer ends, so that it restarts at `log_pages`.
pub(crate) fn run(conn: &Connection, gate: &Gate, shared: &Arc<Shared>, log_pages: u32, heartbeat: &Heartbeat) {
    // Set once, because only this thread does.
    let _ = gate.checkpointer.set(std::thread::current());
    let mut was_long = false;
    while !gate.closed.load(Ordering::Acquire) {
        let checked = check(conn, gate, shared, i64::from(log_pages));
        if let Err(error) = checked.and_then(|()| watch_length(conn, gate, shared, &mut was_long)) {
            // The log keeps what could not be copied. If there is no room for that either, the
            // writer will fail.
            tracing::warn!(%error, "checkpoint failed");
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of its own that polls the log's length")]
        std::thread::sleep(CHECK_INTERVAL);
        heartbeat.idle_blocking(|| match shared.is_log_full() {
            true => std::thread::park_timeout(FULL_INTERVAL),
            false => std::thread::park(),
        });
    }
}

fn check(conn: &Connection, gate: &Gate, shared: &Shared, limit: i64) -> Result<(), StoreError> {
    let (pages, copied) = measure(conn, shared)?;
    // Counts only new pages: a log that a reader keeps from restarting would be copied at every
    // check otherwise.
    if pages < limit || pages - copied < limit / 4 {
        return Ok(());
    }
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    let _held = gate.hold();
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    Counters::add(&shared.counters.checkpoints, 1);
    Ok(())
}

/// Reports a log that does not restart, and refuses new work while it is at its limit. See
/// ADR 0073.
fn watch_length(conn: &Connection, gate: &Gate, shared: &Shared, was_long: &mut bool) -> Result<(), StoreError> {
    let is_full = || shared.log_bytes() >= shared.log_limit_bytes;
    if is_full() {
        // Nothing restarts the log while new work is refused.
        truncate(conn, gate)?;
        measure(conn, shared)?;
    }
    let was_full = shared.counters.is_log_full.swap(is_full(), Ordering::AcqRel);
    let (is_long, is_full) = (shared.is_log_long(), shared.is_log_full());
    let (code, bytes, limit_bytes) = ("store-log-too-large", shared.log_bytes(), shared.log_limit_bytes);
    if is_full && !was_full {
        tracing::error!(code, bytes, limit_bytes, "write-ahead log at its limit; refusing new work until it restarts");
    } else if was_full && !is_full {
        tracing::info!(bytes, "write-ahead log restarted; taking new work again");
    } else if is_long && !*was_long {
        tracing::warn!(
            code,
            bytes,
            limit_bytes,
            "write-ahead log does not restart; a program keeps a read transaction open"
        );
    }
    *was_long = is_long;
    Ok(())
}

/// Empties the log if no reader needs it, without waiting for one.
fn truncate(conn: &Connection, gate: &Gate) -> Result<(), StoreError> {
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    let _held = gate.hold();
    conn.busy_timeout(Duration::ZERO)?;
    let truncated = checkpoint(conn, "PRAGMA wal_checkpoint(TRUNCATE)").map(drop);
    conn.busy_timeout(BUSY_TIMEOUT)?;
    truncated
}

/// Copies the whole log and empties it, so that nothing of it is left on disk. Returns false if a
/// reader keeps it. Blocks for some seconds at most.
pub(crate) fn empty_log(shared: &Shared) -> Result<bool, StoreError> {
    let conn = crate::connection::connect(&shared.dir.join("beadle.db"))?;
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// The pages in the log, and how many of them were copied.
fn measure(conn: &Connection, shared: &Shared) -> Result<(i64, i64), StoreError> {
    let (pages, copied) = checkpoint(conn, "PRAGMA wal_checkpoint(NOOP)")?;
    shared.counters.wal_pages.store(u64::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
    Ok((pages, copied))
}

/// The pages in the log, and how many of them were copied.
fn checkpoint(conn: &Connection, pragma: &str) -> Result<(i64, i64), StoreError> {
    Ok(conn.query_row(pragma, [], |row| Ok((row.get(1)?, row.get(2)?)))?)
}
