//! Checkpoints, off the writer's thread: what is in the write-ahead log is copied into the database file.
//!
//! A passive checkpoint runs beside the writer. But a log that is written to all the time is never copied to its end,
//! and only a log copied to its end is begun anew; so when it has grown long, the writer is held at a [`Gate`] between
//! two transactions for the little that remains after a first pass. The log is then begun anew by the writer's own next
//! transaction, which keeps its page cache valid (another connection's restart of the log would not).

use crate::StoreError;
use crate::shared::{Counters, Shared};
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How long after a look the next one may be: at full load the log grows by a few MiB in that time.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Turn {
    writing: bool,
    held: bool,
}

/// Where writer and checkpointer meet.
#[derive(Default)]
pub(crate) struct Gate {
    turn: Mutex<Turn>,
    changed: Condvar,
    closed: AtomicBool,
    checkpointer: OnceLock<Thread>,
}

/// The writer is inside; or the checkpointer holds the gate shut.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, turn: MutexGuard<'a, Turn>) -> MutexGuard<'a, Turn> {
        self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer goes in, when the gate is open.
    pub(crate) fn enter(&self) -> Pass<'_> {
        let mut turn = self.turn();
        while turn.held {
            turn = self.wait(turn);
        }
        turn.writing = true;
        Pass(self)
    }

    /// The checkpointer shuts it, once the writer is out.
    fn hold(&self) -> Pass<'_> {
        let mut turn = self.turn();
        turn.held = true;
        while turn.writing {
            turn = self.wait(turn);
        }
        Pass(self)
    }

    /// There is something in the log.
    pub(crate) fn committed(&self) {
        if let Some(checkpointer) = self.checkpointer.get() {
            checkpointer.unpark();
        }
    }

    /// The writer will not come again.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.committed();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Whichever of the two it was: the other one cannot have been inside.
        let mut turn = self.0.turn();
        let somebody_waits = if turn.writing {
            turn.writing = false;
            turn.held
        } else {
            turn.held = false;
            true
        };
        if somebody_waits {
            self.0.changed.notify_all();
        }
    }
}

/// Looks after the log until the writer is gone, and sees to it that it begins anew at `log_pages`.
pub(crate) fn run(conn: &Connection, gate: &Gate, shared: &Arc<Shared>, log_pages: u32) {
    // Set once: this thread is the only one that does.
    let _ = gate.checkpointer.set(std::thread::current());
    while !gate.closed.load(Ordering::Acquire) {
        if let Err(error) = look(conn, gate, &shared.counters, i64::from(log_pages)) {
            // The log keeps what could not be copied; if there is no room for that either, the writer will say so.
            tracing::warn!(%error, "a checkpoint failed");
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of its own that polls the log's length")]
        std::thread::sleep(LOOK_EVERY);
        std::thread::park();
    }
}

fn look(conn: &Connection, gate: &Gate, counters: &Counters, most: i64) -> Result<(), StoreError> {
    let (pages, copied) = checkpoint(conn, "PRAGMA wal_checkpoint(NOOP)")?;
    counters.wal_pages.store(u64::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
    // Only what is new counts: a log that some reader keeps from being begun anew would else be copied at every look.
    if pages < most || pages - copied < most / 4 {
        return Ok(());
    }
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    let _held = gate.hold();
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    Counters::add(&counters.checkpoints, 1);
    Ok(())
}

/// Pages in the log, and how many of them were copied.
fn checkpoint(conn: &Connection, pragma: &str) -> Result<(i64, i64), StoreError> {
    Ok(conn.query_row(pragma, [], |row| Ok((row.get(1)?, row.get(2)?)))?)
}
