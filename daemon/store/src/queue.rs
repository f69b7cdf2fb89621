//! The queue before the writer: bounded, fair, and taken from in handfuls.
//!
//! A job is one step with the channel its answer goes back on. Places are permits of a semaphore, so that callers can
//! wait for one without a thread, or be told at once that there is none. The writer takes all that waits under one lock
//! and is only woken when it sleeps.

use crate::StoreError;
use crate::writer::Tx;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, TryAcquireError, oneshot};

/// One step, and where its answer goes.
pub(crate) trait Job: Send {
    /// Does it inside a transaction. May be called again, after that transaction was rolled back.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;

    /// Answers the caller: the transaction was committed, or it failed with this.
    fn answer(self: Box<Self>, failed: Option<StoreError>);

    /// Whether it is worth trying while the disk is full.
    fn when_full(&self) -> bool {
        false
    }

    /// The disk is at fault: what of it must not be lost is left with the writer.
    fn keep(&mut self, _kept: &mut crate::settle::Kept) {}
}

/// A step written as a closure.
pub(crate) struct Ask<F, T> {
    pub(crate) run: F,
    pub(crate) when_full: bool,
    pub(crate) answer: Option<T>,
    pub(crate) to: oneshot::Sender<Result<T, StoreError>>,
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
        // A caller that went away does not want to know.
        let _ = self.to.send(answer);
    }

    fn when_full(&self) -> bool {
        self.when_full
    }
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    closed: bool,
    asleep: bool,
}

pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    places: Semaphore,
    size: usize,
}

impl Queue {
    pub(crate) fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self { waiting: Mutex::default(), wake: Condvar::new(), places: Semaphore::new(size), size }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs that wait now.
    pub(crate) fn depth(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Puts a job in, or says at once that there is no place.
    pub(crate) fn try_put(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        match self.places.try_acquire() {
            Ok(place) => place.forget(),
            Err(TryAcquireError::NoPermits) => return Err(StoreError::Busy { waiting: self.size }),
            Err(TryAcquireError::Closed) => return Err(StoreError::Closed),
        }
        self.push(job)
    }

    /// Waits for a place: as long as the writer takes to make one, since every job in the queue ends.
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

    /// What waits, `most` at most, in order. Sleeps until there is something, or for `patience` where given; `None`
    /// when the queue is closed and empty.
    pub(crate) fn take(&self, most: usize, patience: Option<Duration>) -> Option<Vec<Box<dyn Job>>> {
        let mut waiting = self.waiting();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting.asleep = true;
            match patience {
                None => waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (guard, timeout) =
                        self.wake.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner);
                    waiting = guard;
                    if timeout.timed_out() {
                        break;
                    }
                }
            }
        }
        waiting.asleep = false;
        let count = waiting.jobs.len().min(most);
        let jobs: Vec<_> = waiting.jobs.drain(..count).collect();
        drop(waiting);
        self.places.add_permits(jobs.len());
        Some(jobs)
    }

    /// Nothing more goes in; what is in it is still done.
    pub(crate) fn close(&self) {
        self.places.close();
        let mut waiting = self.waiting();
        waiting.closed = true;
        self.wake.notify_one();
    }

    /// The writer is gone: nothing goes in any more, and whoever waits for an answer gets [`StoreError::Closed`].
    pub(crate) fn abandon(&self) {
        self.close();
        self.waiting().jobs.clear();
    }
}
