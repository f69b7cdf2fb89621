//! The queue before the writer: bounded, first in first out, taken in batches.
//!
//! Places are permits of a semaphore, so that callers can wait for one without a thread, or learn
//! at once that there is none. The writer takes all waiting jobs under one lock and is woken only
//! when it sleeps.

use crate::deferred::Deferred;
use crate::error::StoreError;
use crate::tx::Tx;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{Semaphore, TryAcquireError, oneshot};

/// A step and the destination of its result.
pub(crate) trait Job: Send {
    /// Runs inside a transaction. May be called again after a rollback.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;

    /// Answers the caller: the transaction was committed, or it failed with this error.
    fn answer(self: Box<Self>, failed: Option<StoreError>);

    /// Whether to run it while storage fails.
    fn runs_when_full(&self) -> bool {
        false
    }

    /// Storage fails: moves what must not be lost to the writer.
    fn defer(&mut self, _deferred: &mut Deferred) {}
}

/// A step as a closure.
struct Ask<F, T> {
    run: F,
    runs_when_full: bool,
    answer: Option<T>,
    to: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Ask<F, T>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.answer = Some((self.run)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let answer = match failed {
            Some(error) => Err(error),
            None => self.answer.ok_or(StoreError::Closed),
        };
        // The caller may have stopped waiting.
        let _ = self.to.send(answer);
    }

    fn runs_when_full(&self) -> bool {
        self.runs_when_full
    }
}

/// A step, and the receiver of its result.
pub(crate) fn ask<F, T>(runs_when_full: bool, run: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    let (to, answer) = oneshot::channel();
    (Box::new(Ask { run, runs_when_full, answer: None, to }), answer)
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Box<dyn Job>>,
    closed: bool,
    asleep: bool,
}

pub(crate) struct Queue {
    waiting: Mutex<QueueState>,
    wake: Condvar,
    places: Semaphore,
    size: usize,
}

impl Queue {
    pub(crate) fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self { waiting: Mutex::default(), wake: Condvar::new(), places: Semaphore::new(size), size }
    }

    fn waiting(&self) -> MutexGuard<'_, QueueState> {
        self.waiting.lock()
    }

    /// The number of waiting jobs.
    pub(crate) fn depth(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Adds a job, or fails at once if the queue is full.
    pub(crate) fn try_put(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        match self.places.try_acquire() {
            Ok(place) => place.forget(),
            Err(TryAcquireError::NoPermits) => return Err(StoreError::Busy { waiting: self.size }),
            Err(TryAcquireError::Closed) => return Err(StoreError::Closed),
        }
        self.push(job)
    }

    /// Adds a job, waiting for a place if necessary.
    pub(crate) async fn put(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.places.acquire().await.map_err(|_| StoreError::Closed)?.forget();
        self.push(job)
    }

    fn push(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        waiting.jobs.push_back(job);
        if waiting.asleep {
            waiting.asleep = false;
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Takes up to `limit` waiting jobs in order. Sleeps until there is one, or for `timeout`;
    /// `None` once the queue is closed and empty.
    pub(crate) fn take(&self, limit: usize, timeout: Option<Duration>) -> Option<Vec<Box<dyn Job>>> {
        let mut waiting = self.waiting();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting.asleep = true;
            match timeout {
                None => self.wake.wait(&mut waiting),
                Some(timeout) => {
                    if self.wake.wait_for(&mut waiting, timeout).timed_out() {
                        break;
                    }
                }
            }
        }
        waiting.asleep = false;
        let count = waiting.jobs.len().min(limit);
        let jobs: Vec<_> = waiting.jobs.drain(..count).collect();
        drop(waiting);
        self.places.add_permits(jobs.len());
        Some(jobs)
    }

    /// Refuses new jobs; those in the queue are still run.
    pub(crate) fn close(&self) {
        self.places.close();
        let mut waiting = self.waiting();
        waiting.closed = true;
        self.wake.notify_one();
    }

    /// The writer has ended: refuses new jobs, and answers waiting ones with
    /// [`StoreError::Closed`].
    pub(crate) fn abandon(&self) {
        self.close();
        self.waiting().jobs.clear();
    }
}
