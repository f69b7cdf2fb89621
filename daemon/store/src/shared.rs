//! What the handle, the writer and the checkpointer share: constants and counters.

use crate::error::StoreError;
use crate::files::Files;
use beadle_clock::Clock;
use beadle_model::{PluginNo, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use tokio::sync::watch;

/// The size of a page of the database.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// A log is long from this share of its limit on: with the default, four times the size at which it
/// usually restarts.
const LONG_SHARE: u64 = 4;

pub(crate) struct Shared {
    /// When the store was last closed in order.
    pub(crate) closed_at: Option<Timestamp>,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) fence: i64,
    pub(crate) install: String,
    pub(crate) host_key: [u8; 32],
    pub(crate) counters: Counters,
    /// The next message number, reserved here long before its row is written.
    pub(crate) next_message: AtomicI64,
    pub(crate) names: Names,
    pub(crate) files: Files,
    /// The maximum size of the write-ahead log.
    pub(crate) log_limit_bytes: u64,
    /// Changes when an erasure or a request of a person changed.
    pub(crate) privacy: watch::Sender<u64>,
}

/// Numbers that were assigned, so that asking again needs no transaction and works on a full disk.
pub(crate) struct Names {
    plugins: Mutex<HashMap<String, PluginNo>>,
    subscriber_lists: Mutex<HashMap<Vec<PluginNo>, i64>>,
}

impl Names {
    /// Loads all plugins. Lists of subscribers are added as they are used.
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut read = conn.prepare("SELECT name, no FROM plugins")?;
        let plugins = read.query_map([], |row| Ok((row.get(0)?, PluginNo(row.get(1)?))))?.collect::<Result<_, _>>()?;
        Ok(Self { plugins: Mutex::new(plugins), subscriber_lists: Mutex::default() })
    }

    pub(crate) fn plugins(&self) -> MutexGuard<'_, HashMap<String, PluginNo>> {
        self.plugins.lock()
    }

    pub(crate) fn subscriber_lists(&self) -> MutexGuard<'_, HashMap<Vec<PluginNo>, i64>> {
        self.subscriber_lists.lock()
    }
}

/// Updated by the writer and the checkpointer, read by anyone.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) rollbacks: AtomicU64,
    pub(crate) last_commit_at: AtomicI64,
    /// Incremented when a change of membership is committed.
    pub(crate) memberships: AtomicU64,
    /// When the last commit that forbids messages was, in civil milliseconds.
    pub(crate) restricted_at: AtomicI64,
    pub(crate) deferred: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) wal_pages: AtomicU64,
    pub(crate) rejected_dropped: AtomicU64,
    pub(crate) not_writable: AtomicBool,
    /// Whether another process's lock is the cause.
    pub(crate) is_locked: AtomicBool,
    pub(crate) trouble: Mutex<Option<String>>,
    /// Whether the write-ahead log is at its limit.
    pub(crate) is_log_full: AtomicBool,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, more: usize) {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Records that writing fails and why, or that it works again.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.not_writable.store(trouble.is_some(), Ordering::Release);
        *self.trouble.lock() = trouble;
    }
}

/// The state of the store, for `/healthz`, metrics and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreHealth {
    /// Whether new work is accepted; not while storage fails.
    pub writable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The number of steps that wait for the writer.
    pub queue_depth: usize,
    /// The maximum number of steps that may wait.
    pub queue_size: usize,
    /// Committed transactions since the start.
    pub commits: u64,
    /// Steps in them.
    pub steps: u64,
    /// Rolled-back transactions since the start.
    pub rollbacks: u64,
    /// When the last commit was, in civil milliseconds; 0 before the first.
    pub last_commit_ms: i64,
    /// Settlements that wait in memory because storage fails.
    pub deferred_settlements: u64,
    /// Events that wait in memory for the pipeline.
    pub feed_waiting: usize,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// Pages in the write-ahead log at the last check.
    pub wal_pages: u64,
    /// Whether the log is so long that a reader must be keeping it from restarting; at its limit
    /// new work is refused.
    pub is_log_long: bool,
    /// Rejected webhooks that were dropped for newer ones, since the start.
    pub rejected_dropped: u64,
}

impl Shared {
    pub(crate) fn memberships(&self) -> u64 {
        self.counters.memberships.load(Ordering::Relaxed)
    }

    pub(crate) fn restricted_at(&self) -> Timestamp {
        Timestamp(self.counters.restricted_at.load(Ordering::Acquire))
    }

    pub(crate) fn writable(&self) -> bool {
        !self.counters.not_writable.load(Ordering::Acquire) && !self.is_log_full()
    }

    /// Whether the write-ahead log is at its limit, so that only what must not be lost is written.
    pub(crate) fn is_log_full(&self) -> bool {
        self.counters.is_log_full.load(Ordering::Acquire)
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.counters.wal_pages.load(Ordering::Relaxed).saturating_mul(PAGE_BYTES)
    }

    /// Whether a log of this size should be reported.
    pub(crate) fn is_log_long(&self) -> bool {
        self.log_bytes() >= self.log_limit_bytes / LONG_SHARE
    }

    /// The error for work that is refused while storage fails.
    pub(crate) fn refusal(&self) -> StoreError {
        let path = self.dir.clone();
        match self.counters.trouble() {
            Some(reason) if self.counters.is_locked.load(Ordering::Acquire) => StoreError::Unavailable { path, reason },
            None if self.is_log_full() => StoreError::LogTooLarge { path, bytes: self.log_bytes() },
            _ => StoreError::DiskFull { path },
        }
    }

    /// The state of the store, with the depth and size of the queue and the number of events in the
    /// feed's memory.
    pub(crate) fn health(&self, (queue_depth, queue_size): (usize, usize), feed_waiting: usize) -> StoreHealth {
        let counters = &self.counters;
        StoreHealth {
            writable: self.writable(),
            trouble: counters.trouble().or_else(|| self.is_log_full().then(|| self.refusal().to_string())),
            queue_depth,
            queue_size,
            commits: counters.commits.load(Ordering::Relaxed),
            steps: counters.steps.load(Ordering::Relaxed),
            rollbacks: counters.rollbacks.load(Ordering::Relaxed),
            last_commit_ms: counters.last_commit_at.load(Ordering::Relaxed),
            deferred_settlements: counters.deferred.load(Ordering::Relaxed),
            feed_waiting,
            checkpoints: counters.checkpoints.load(Ordering::Relaxed),
            wal_pages: counters.wal_pages.load(Ordering::Relaxed),
            is_log_long: self.is_log_long(),
            rejected_dropped: counters.rejected_dropped.load(Ordering::Relaxed),
        }
    }

    /// Reserves the number of the next message.
    pub(crate) fn reserve_message(&self) -> i64 {
        self.next_message.fetch_add(1, Ordering::Relaxed)
    }
}
