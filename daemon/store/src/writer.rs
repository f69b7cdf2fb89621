//! The writer: the one thread with the one connection that writes.
//!
//! It takes what waits, does it in one transaction, and answers when that is on disk. Where one step of a group fails
//! in a way that may have left half of it behind, the group is rolled back and its steps are done one by one, so that
//! only the culprit hears of it. Where the disk is at fault, see [`Writer::suffer`]: the ballast goes, new work is
//! refused, settlements are kept, and twice a second it is tried whether writing works again.

use crate::StoreError;
use crate::ballast::Ballast;
use crate::checkpoint::Gate;
use crate::queue::Job;
use crate::settle::Kept;
use crate::shadow::{Shadow, set_meta};
use crate::shared::{Counters, Shared};
use beadle_model::Event;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Steps in one transaction at most: with commits of 512 the price of the sync is spread so thin (building.md: 133,000
/// rows a second against 79,000 with 64) that more would only make the first of them wait.
const GROUP: usize = 512;

/// How often it is tried whether the disk works again: soon enough for people, seldom enough for a sick disk.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What a probe writes: more than a few settlements need.
const PROBE_BYTES: i64 = 64 << 10;

/// One transaction, as a step sees it.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) shadow: &'a mut Shadow,
    pub(crate) shared: &'a Shared,
    /// Events that it appended, with the size of their bodies, for the feed.
    pub(crate) born: Vec<(Arc<Event>, usize)>,
}

pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) shadow: Shadow,
    pub(crate) shared: Arc<Shared>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) ballast: Ballast,
    pub(crate) kept: Kept,
    /// While the disk is at fault: when it was last tried.
    pub(crate) troubled: Option<Instant>,
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        // However this thread ends: nobody must wait for it.
        let _end = End(Arc::clone(&self.shared), Arc::clone(&self.gate));
        loop {
            let patience = (self.troubled.is_some() || !self.kept.is_empty()).then_some(TRY_AGAIN);
            let Some(jobs) = self.shared.queue.take(GROUP, patience) else { break };
            let gate = Arc::clone(&self.gate);
            let _turn = gate.enter();
            self.recover();
            self.group(jobs);
        }
        self.recover();
        let now = self.shared.clock.now().as_ms();
        if self.troubled.is_none() && self.transact(|tx| set_meta(tx.conn, "closed_at", now)).is_err() {
            // Edits that come with a restart count from the next start then.
            tracing::debug!("the mark of an orderly end could not be written");
        }
        if !self.kept.is_empty() {
            tracing::error!(
                lost = self.kept.len(),
                "the disk never came back: these sends are in doubt after a restart"
            );
        }
    }

    /// Does these jobs and answers them.
    fn group(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if self.troubled.is_none() && jobs.len() > 1 {
            match self.transaction(&mut jobs) {
                Ok(answers) => return jobs.into_iter().zip(answers).for_each(|(job, failed)| job.answer(failed)),
                Err(error) => {
                    tracing::debug!(%error, steps = jobs.len(), "a step of a group failed: doing them one by one");
                    self.suffer(&error);
                }
            }
        }
        jobs.into_iter().for_each(|job| self.alone(job));
    }

    /// Does one job in a transaction of its own, and answers it.
    fn alone(&mut self, mut job: Box<dyn Job>) {
        if self.troubled.is_some() && !job.when_full() {
            return job.answer(Some(StoreError::DiskFull { path: self.shared.dir.clone() }));
        }
        let was_well = self.troubled.is_none();
        let mut outcome = self.transaction(std::slice::from_mut(&mut job));
        if let Err(error) = &outcome {
            self.suffer(error);
            // The ballast has just made room for exactly this.
            if was_well && self.troubled.is_some() && job.when_full() {
                outcome = self.transaction(std::slice::from_mut(&mut job));
            }
        }
        match outcome {
            Ok(mut answers) => job.answer(answers.pop().flatten()),
            Err(error) => {
                if error.is_storage() {
                    job.keep(&mut self.kept);
                    self.shared.counters.kept.store(self.kept.len() as u64, Ordering::Relaxed);
                }
                job.answer(Some(error));
            }
        }
    }

    /// Does these jobs in one transaction. `Ok`: it was committed, and each job ended well or failed before it had
    /// written anything. `Err`: nothing of it happened.
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
        let mut tx = Tx { conn: &self.conn, shadow: &mut self.shadow, shared: &self.shared, born: Vec::new() };
        let done = tx.begin().and_then(|()| work(&mut tx)).and_then(|done| tx.commit_all().map(|()| done));
        let born = std::mem::take(&mut tx.born);
        match done {
            Ok(done) => {
                let counters = &self.shared.counters;
                Counters::add(&counters.commits, 1);
                counters.last_commit_at.store(self.shared.clock.now().as_ms(), Ordering::Relaxed);
                let moves = born.iter().filter(|(event, _)| event.kind().moves_members()).count();
                Counters::add(&counters.memberships, moves);
                self.shared.tail.push(born);
                self.shared.files.committed();
                self.gate.committed();
                Ok(done)
            }
            Err(error) => {
                self.roll_back();
                Err(error.placed(&self.shared.dir))
            }
        }
    }

    fn roll_back(&mut self) {
        Counters::add(&self.shared.counters.rollbacks, 1);
        // Where the disk failed, SQLite has rolled back by itself.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        if let Err(error) = self.shadow.reload(&self.conn) {
            tracing::error!(%error, "the store could not be read again after a rollback");
        }
    }

    /// Notes that the disk is at fault, where it is, and gives up the ballast.
    fn suffer(&mut self, error: &StoreError) {
        if !error.is_storage() {
            return;
        }
        if self.troubled.is_none() {
            tracing::error!(%error, "writing fails: new work is refused until it works again");
            self.ballast.free();
        }
        self.troubled = Some(Instant::now());
        self.shared.counters.set_trouble(Some(error.to_string()));
    }

    /// Writes what was kept, and finds out whether the disk works again.
    fn recover(&mut self) {
        if !self.kept.is_empty() && self.troubled.is_none_or(|since| since.elapsed() >= TRY_AGAIN) {
            let kept = std::mem::take(&mut self.kept);
            if let Err(error) = self.transact(|tx| kept.write(tx)) {
                tracing::error!(%error, waiting = kept.len(), "what became of sends could not be written yet");
                self.kept = kept;
                self.suffer(&error);
            }
            self.shared.counters.kept.store(self.kept.len() as u64, Ordering::Relaxed);
        }
        if self.troubled.is_none_or(|since| since.elapsed() < TRY_AGAIN) {
            return;
        }
        match self.probe() {
            Ok(()) => {
                tracing::info!("writing works again");
                self.troubled = None;
                self.shared.counters.set_trouble(None);
            }
            Err(error) => {
                tracing::debug!(%error, "writing still fails");
                self.ballast.free();
                self.troubled = Some(Instant::now());
            }
        }
    }

    /// Whether there is room in the database, on the disk, and for the ballast.
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

impl Tx<'_> {
    fn begin(&self) -> Result<(), StoreError> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    fn commit_all(&mut self) -> Result<(), StoreError> {
        let next_message = self.shared.next_message.load(Ordering::Relaxed);
        self.shadow.move_sending_from(self.conn, next_message)?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

/// The end of the writer's thread, by whatever way.
struct End(Arc<Shared>, Arc<Gate>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.queue.abandon();
        self.0.tail.close();
        self.1.close();
    }
}
