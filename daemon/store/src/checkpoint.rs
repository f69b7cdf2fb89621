//! Checkpoints, on a thread of their own: copying the write-ahead log into the database.
//!
//! A passive checkpoint runs at the same time as the writer. But a log under constant writes is never copied to
//! its end, and only a log copied to its end restarts. So when the log is long, the writer is
//! stopped at a [`Gate`] between two transactions for the little that remains after a first pass.
//! The writer's own next transaction then restarts the log, which keeps its page cache valid (a
//! restart by another connection would not).

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
    while !gate.closed.load(Ordering::Acquire) {
        if let Err(error) = check(conn, gate, &shared.counters, i64::from(log_pages)) {
            // The log keeps what could not be copied. If there is no room for that either, the
            // writer will fail.
            tracing::warn!(%error, "checkpoint failed");
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of its own that polls the log's length")]
        std::thread::sleep(CHECK_INTERVAL);
        heartbeat.idle_blocking(std::thread::park);
    }
}

fn check(conn: &Connection, gate: &Gate, counters: &Counters, limit: i64) -> Result<(), StoreError> {
    let (pages, copied) = checkpoint(conn, "PRAGMA wal_checkpoint(NOOP)")?;
    counters.wal_pages.store(u64::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
    // Counts only new pages: a log that a reader keeps from restarting would be copied at every
    // check otherwise.
    if pages < limit || pages - copied < limit / 4 {
        return Ok(());
    }
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    let _held = gate.hold();
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    Counters::add(&counters.checkpoints, 1);
    Ok(())
}

/// The pages in the log, and how many of them were copied.
fn checkpoint(conn: &Connection, pragma: &str) -> Result<(i64, i64), StoreError> {
    Ok(conn.query_row(pragma, [], |row| Ok((row.get(1)?, row.get(2)?)))?)
}
