//! What the handle, the writer and the checkpointer share: what never changes while the store is open, and counters.

use crate::StoreError;
use crate::feed::Tail;
use crate::files::Files;
use crate::queue::Queue;
use beadle_clock::Clock;
use beadle_model::{PluginNo, Timestamp};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Shared {
    /// When it was closed last, in order.
    pub(crate) closed_at: Option<Timestamp>,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) fence: i64,
    pub(crate) install: String,
    pub(crate) host_key: [u8; 32],
    pub(crate) queue: Queue,
    pub(crate) tail: Tail,
    pub(crate) counters: Counters,
    /// The next number for a message; reserved here, long before its row is written.
    pub(crate) next_message: AtomicI64,
    pub(crate) names: Names,
    pub(crate) files: Files,
}

/// Numbers that were given out, so that asking again costs no transaction, and works on a full disk.
pub(crate) struct Names {
    plugins: Mutex<HashMap<String, PluginNo>>,
    rosters: Mutex<HashMap<Vec<PluginNo>, i64>>,
}

impl Names {
    /// All plugins there ever were; lists of subscribers are learnt as they come.
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut read = conn.prepare("SELECT name, no FROM plugins")?;
        let plugins = read.query_map([], |row| Ok((row.get(0)?, PluginNo(row.get(1)?))))?.collect::<Result<_, _>>()?;
        Ok(Self { plugins: Mutex::new(plugins), rosters: Mutex::default() })
    }

    pub(crate) fn plugins(&self) -> MutexGuard<'_, HashMap<String, PluginNo>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rosters(&self) -> MutexGuard<'_, HashMap<Vec<PluginNo>, i64>> {
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counted by the writer and the checkpointer, read by anybody.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) rollbacks: AtomicU64,
    pub(crate) last_commit_at: AtomicI64,
    /// People who joined or left; raised when that is committed.
    pub(crate) memberships: AtomicU64,
    pub(crate) kept: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) wal_pages: AtomicU64,
    pub(crate) letters_dropped: AtomicU64,
    pub(crate) not_writable: AtomicBool,
    pub(crate) trouble: Mutex<Option<String>>,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, more: usize) {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that writing fails (and why), or works again.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.not_writable.store(trouble.is_some(), Ordering::Release);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// How the store is, for `/healthz`, metrics and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether it takes new work; not while the disk is full or fails.
    pub writable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Steps that wait for the writer.
    pub queue_depth: usize,
    /// Steps that may wait.
    pub queue_size: usize,
    /// Transactions committed since the start.
    pub commits: u64,
    /// Steps done in them.
    pub steps: u64,
    /// Transactions rolled back since the start; some step of each failed.
    pub rollbacks: u64,
    /// When the last one was committed, in civil milliseconds; 0 before the first.
    pub last_commit_ms: i64,
    /// Settlements that wait in memory for the disk.
    pub kept_settlements: u64,
    /// Events that wait in memory for the pipeline.
    pub feed_waiting: usize,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// Pages in the write-ahead log when it was last looked at.
    pub wal_pages: u64,
    /// Webhooks that were not understood and had to give way to newer ones, since the start.
    pub letters_dropped: u64,
}

impl Shared {
    pub(crate) fn memberships(&self) -> u64 {
        self.counters.memberships.load(Ordering::Relaxed)
    }

    pub(crate) fn writable(&self) -> bool {
        !self.counters.not_writable.load(Ordering::Acquire)
    }

    pub(crate) fn health(&self) -> Health {
        let counters = &self.counters;
        Health {
            writable: self.writable(),
            trouble: counters.trouble(),
            queue_depth: self.queue.depth(),
            queue_size: self.queue.size(),
            commits: counters.commits.load(Ordering::Relaxed),
            steps: counters.steps.load(Ordering::Relaxed),
            rollbacks: counters.rollbacks.load(Ordering::Relaxed),
            last_commit_ms: counters.last_commit_at.load(Ordering::Relaxed),
            kept_settlements: counters.kept.load(Ordering::Relaxed),
            feed_waiting: self.tail.waiting(),
            checkpoints: counters.checkpoints.load(Ordering::Relaxed),
            wal_pages: counters.wal_pages.load(Ordering::Relaxed),
            letters_dropped: counters.letters_dropped.load(Ordering::Relaxed),
        }
    }

    /// The number of the next message, for its row to be.
    pub(crate) fn reserve_message(&self) -> i64 {
        self.next_message.fetch_add(1, Ordering::Relaxed)
    }
}
