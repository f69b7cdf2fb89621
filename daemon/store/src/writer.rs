//! The writer: the one thread with the one writing connection.
//!
//! It takes waiting jobs, runs them in one transaction, and answers them once that is on disk. If a
//! job fails after it may have written something, the group is rolled back and its jobs are run one
//! by one, so that only the failing one gets the error. If storage is at fault (see
//! [`Writer::note_storage_error`]), the ballast is deleted, new work is refused, settlements are
//! deferred, and writing is tried again twice a second.

use crate::ballast::Ballast;
use crate::checkpoint::Gate;
use crate::connection::BUSY_TIMEOUT;
use crate::deferred::Deferred;
use crate::error::StoreError;
use crate::feed::Tail;
use crate::meta::set_meta;
use crate::queue::{Job, Queue};
use crate::shared::{Counters, Shared};
use crate::tx::Tx;
use crate::writer_cache::WriterCache;
use beadle_tasks::Heartbeat;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The maximum number of steps in a transaction. Groups of 512 spread the cost of a sync so thin
/// (133,000 rows a second, against 79,000 with 64) that larger ones would only delay their first
/// step.
const MAX_GROUP: usize = 512;

/// How often a storage failure is tested: soon enough for people, seldom enough for a failing disk.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How long a write waits for another process's lock once that lock was noticed.
const LOCKED_TIMEOUT: Duration = Duration::from_millis(50);

/// The size of the test write: more than a few settlements need.
const PROBE_BYTES: i64 = 64 << 10;

pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) cache: WriterCache,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) ballast: Ballast,
    pub(crate) deferred: Deferred,
    /// While storage fails: the last attempt to write.
    pub(crate) failing_since: Option<Instant>,
    /// Whether another process holds the database's lock.
    pub(crate) is_locked: bool,
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self, heartbeat: &Heartbeat) {
        let _end = ExitGuard(Arc::clone(&self.queue), Arc::clone(&self.tail), Arc::clone(&self.gate));
        loop {
            let patience = (self.failing_since.is_some() || !self.deferred.is_empty()).then_some(RETRY_INTERVAL);
            let taken = heartbeat.idle_blocking(|| self.queue.take(MAX_GROUP, patience));
            let Some(jobs) = taken else { break };
            let gate = Arc::clone(&self.gate);
            let _turn = gate.enter();
            self.recover();
            self.run_group(jobs);
        }
        self.recover();
        let now = self.shared.clock.now().as_ms();
        if self.failing_since.is_none() && self.transact(|tx| set_meta(tx.conn, "closed_at", now)).is_err() {
            // Schedule edits that come with a restart then count from the next start.
            tracing::debug!("shutdown time not recorded");
        }
        if !self.deferred.is_empty() {
            tracing::error!(
                lost = self.deferred.len(),
                "send outcomes lost, database did not recover; the sends are ambiguous after a restart"
            );
        }
    }

    /// Runs these jobs and answers them.
    fn run_group(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if self.failing_since.is_none() && !self.shared.is_log_full() && jobs.len() > 1 {
            match self.transaction(&mut jobs) {
                Ok(answers) => return jobs.into_iter().zip(answers).for_each(|(job, failed)| job.answer(failed)),
                Err(error) => {
                    tracing::debug!(%error, steps = jobs.len(), "step failed in a group; running its steps one by one");
                    self.note_storage_error(&error);
                }
            }
        }
        jobs.into_iter().for_each(|job| self.run_alone(job));
    }

    /// Runs one job in its own transaction, and answers it.
    fn run_alone(&mut self, mut job: Box<dyn Job>) {
        if (self.failing_since.is_some() || self.shared.is_log_full()) && !job.runs_when_full() {
            return job.answer(Some(self.shared.refusal()));
        }
        // Every attempt would wait for the lock again. `recover` tests it, and writes what is
        // deferred.
        if self.is_locked {
            job.defer(&mut self.deferred);
            self.shared.counters.deferred.store(self.deferred.len() as u64, Ordering::Relaxed);
            return job.answer(Some(self.shared.refusal()));
        }
        let was_working = self.failing_since.is_none();
        let mut outcome = self.transaction(std::slice::from_mut(&mut job));
        if let Err(error) = &outcome {
            self.note_storage_error(error);
            // Deleting the ballast has just made room for this.
            if was_working && self.failing_since.is_some() && !self.is_locked && job.runs_when_full() {
                outcome = self.transaction(std::slice::from_mut(&mut job));
            }
        }
        match outcome {
            Ok(mut answers) => job.answer(answers.pop().flatten()),
            Err(error) => {
                if error.is_storage() {
                    job.defer(&mut self.deferred);
                    self.shared.counters.deferred.store(self.deferred.len() as u64, Ordering::Relaxed);
                }
                job.answer(Some(error));
            }
        }
    }

    /// Runs these jobs in one transaction. `Ok`: it was committed, and each job succeeded or failed
    /// before it wrote anything. `Err`: it was rolled back.
    fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Option<StoreError>>, StoreError> {
        let steps = jobs.len();
        self.transact(|tx| {
            jobs.iter_mut()
                .map(|job| match job.run(tx) {
                    Ok(()) => Ok(None),
                    Err(error) if error.wrote_nothing() => Ok(Some(error)),
                    Err(error) => Err(error),
                })
                .collect()
        })
        .inspect(|_| Counters::add(&self.shared.counters.steps, steps))
    }

    fn transact<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut tx = Tx { conn: &self.conn, cache: &mut self.cache, shared: &self.shared, inserted: Vec::new() };
        let done = tx.begin().and_then(|()| work(&mut tx)).and_then(|done| tx.commit_all().map(|()| done));
        let inserted = std::mem::take(&mut tx.inserted);
        match done {
            Ok(done) => {
                let counters = &self.shared.counters;
                Counters::add(&counters.commits, 1);
                counters.last_commit_at.store(self.shared.clock.now().as_ms(), Ordering::Relaxed);
                let moves = inserted.iter().filter(|(event, _)| event.kind().changes_membership()).count();
                Counters::add(&counters.memberships, moves);
                if std::mem::take(&mut self.cache.is_restricting) {
                    counters.restricted_at.store(self.shared.clock.now().as_ms(), Ordering::Release);
                }
                if std::mem::take(&mut self.cache.is_privacy_changed) {
                    self.shared.privacy.send_modify(|count| *count = count.wrapping_add(1));
                }
                self.tail.push(inserted);
                self.shared.files.committed();
                self.gate.committed();
                Ok(done)
            }
            Err(error) => {
                self.roll_back();
                Err(error.with_dir(&self.shared.dir))
            }
        }
    }

    fn roll_back(&mut self) {
        Counters::add(&self.shared.counters.rollbacks, 1);
        // After a disk failure SQLite has rolled back already.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "rollback failed");
        }
        if let Err(error) = self.cache.reload(&self.conn) {
            tracing::error!(%error, "cache not reloaded after a rollback");
        }
    }

    /// If storage is at fault: refuses new work, and deletes the ballast unless a lock is the
    /// cause.
    fn note_storage_error(&mut self, error: &StoreError) {
        if !error.is_storage() {
            return;
        }
        if self.failing_since.is_none() {
            tracing::error!(%error, "database failed; refusing new work until it recovers");
        }
        if error.is_lock() {
            self.is_locked = true;
            // The writer must keep answering, and `recover` tries twice a second.
            self.set_busy_timeout(LOCKED_TIMEOUT);
        } else {
            self.ballast.free();
        }
        self.failing_since = Some(Instant::now());
        self.shared.counters.is_locked.store(self.is_locked, Ordering::Release);
        self.shared.counters.set_trouble(Some(error.to_string()));
    }

    fn set_busy_timeout(&self, timeout: Duration) {
        if let Err(error) = self.conn.busy_timeout(timeout) {
            tracing::debug!(%error, "busy timeout not set");
        }
    }

    /// Writes deferred settlements, and tests whether storage works again.
    fn recover(&mut self) {
        if !self.deferred.is_empty() && self.failing_since.is_none_or(|since| since.elapsed() >= RETRY_INTERVAL) {
            let deferred = std::mem::take(&mut self.deferred);
            if let Err(error) = self.transact(|tx| tx.settle_deferred(&deferred)) {
                tracing::error!(%error, waiting = deferred.len(), "deferred send outcomes not written yet");
                self.deferred = deferred;
                self.note_storage_error(&error);
            }
            self.shared.counters.deferred.store(self.deferred.len() as u64, Ordering::Relaxed);
        }
        if self.failing_since.is_none_or(|since| since.elapsed() < RETRY_INTERVAL) {
            return;
        }
        match self.probe() {
            Ok(()) => {
                tracing::info!("database recovered");
                self.failing_since = None;
                if std::mem::take(&mut self.is_locked) {
                    self.set_busy_timeout(BUSY_TIMEOUT);
                }
                self.shared.counters.set_trouble(None);
            }
            Err(error) => {
                tracing::debug!(%error, "database still fails");
                if !self.is_locked {
                    self.ballast.free();
                }
                self.failing_since = Some(Instant::now());
            }
        }
    }

    /// Fails unless there is room in the database, on the disk, and for the ballast.
    fn probe(&mut self) -> Result<(), StoreError> {
        self.transact(|tx| {
            tx.conn
                .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', zeroblob(?1))", [PROBE_BYTES])?;
            Ok(())
        })?;
        self.transact(|tx| Ok(tx.conn.execute("DELETE FROM meta WHERE key = 'probe'", [])?))?;
        self.ballast.take()
    }
}

/// Releases all waiting callers, however the writer's thread ends.
struct ExitGuard(Arc<Queue>, Arc<Tail>, Arc<Gate>);

impl Drop for ExitGuard {
    fn drop(&mut self) {
        self.0.abandon();
        self.1.close();
        self.2.close();
    }
}
