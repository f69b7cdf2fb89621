//! The feed: new events on their way to the pipeline, in the order of their ids, each once.
//!
//! The writer pushes committed events as long as there is room. Ids have no gaps, so the reading
//! end notices what did not fit and reads it from disk. Invariants: the feed never blocks the
//! writer, never loses an event, and stays within its memory bound. After a start it begins with
//! unfinished events.

use crate::read::Reader;
use crate::step::FeedItem;
use beadle_clock::{Clock, WorkGuard};
use beadle_model::{Event, EventId};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The pause before a failed read is repeated.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The maximum number of events per call.
const MAX_BATCH: usize = 1024;

/// The writer's end.
pub(crate) struct Tail {
    state: Mutex<FeedBuffer>,
    available: Notify,
    max_events: usize,
    max_bytes: usize,
    clock: Clock,
}

struct FeedBuffer {
    events: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
    /// The newest committed event, whether or not it fitted.
    newest: i64,
    closed: bool,
    /// Held while there may be events to take, so that a manual clock is not advanced.
    pending_work: Option<WorkGuard>,
}

impl Tail {
    /// `newest` is the last event on disk. The bounds are on events and on bytes of their bodies.
    pub(crate) fn new(newest: i64, max_events: usize, max_bytes: usize, clock: Clock) -> Self {
        let pending_work = Some(clock.work());
        let state = FeedBuffer { events: VecDeque::new(), bytes: 0, newest, closed: false, pending_work };
        Self { state: Mutex::new(state), available: Notify::new(), max_events, max_bytes, clock }
    }

    fn state(&self) -> MutexGuard<'_, FeedBuffer> {
        self.state.lock()
    }

    /// Adds committed events in their order.
    pub(crate) fn push(&self, inserted: Vec<(Arc<Event>, usize)>) {
        if inserted.is_empty() {
            return;
        }
        let mut state = self.state();
        state.pending_work.get_or_insert_with(|| self.clock.work());
        for (event, bytes) in inserted {
            state.newest = event.id.0;
            if state.events.len() < self.max_events && state.bytes.saturating_add(bytes) <= self.max_bytes {
                state.bytes += bytes;
                state.events.push_back((event, bytes));
            }
        }
        drop(state);
        self.available.notify_one();
    }

    /// No more events will come.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.available.notify_one();
    }

    /// The number of events in memory.
    pub(crate) fn waiting(&self) -> usize {
        self.state().events.len()
    }
}

/// The next action of the reading end.
enum Next {
    Stored(Vec<FeedItem>),
    /// Read from disk up to this number.
    Gap(i64),
    Wait,
    End,
}

/// The reading end. There is one; the pipeline has it.
pub struct Feed {
    tail: Arc<Tail>,
    reader: Reader,
    /// The lowest number that was not delivered yet.
    next: i64,
}

impl Feed {
    /// `from` is the watermark below which all events are finished.
    pub(crate) fn new(tail: Arc<Tail>, reader: Reader, from: EventId) -> Self {
        Self { tail, reader, next: from.0 }
    }

    /// The next events in the order of their ids: at least one, at most `limit` and 1,024. Waits
    /// until there is one. Empty only when the store was closed and all were delivered. A failing
    /// read is repeated until it succeeds. Dropping the future loses nothing.
    pub async fn next(&mut self, limit: usize) -> Vec<FeedItem> {
        let limit = limit.clamp(1, MAX_BATCH);
        loop {
            match self.poll(limit) {
                Next::Stored(events) => return events,
                Next::Wait => self.tail.available.notified().await,
                Next::End => return Vec::new(),
                Next::Gap(until) => {
                    let (events, read) = self.read(until, limit).await;
                    self.next = read.0 + 1;
                    if !events.is_empty() {
                        return events;
                    }
                }
            }
        }
    }

    fn poll(&mut self, limit: usize) -> Next {
        let mut state = self.tail.state();
        // Read from disk meanwhile.
        while state.events.front().is_some_and(|(event, _)| event.id.0 < self.next) {
            state.pop();
        }
        match state.events.front() {
            Some((event, _)) if event.id.0 > self.next => Next::Gap(event.id.0 - 1),
            None if state.newest >= self.next => Next::Gap(state.newest),
            None if state.closed => Next::End,
            None => {
                state.pending_work = None;
                Next::Wait
            }
            Some(_) => {
                let mut events = Vec::with_capacity(limit.min(state.events.len()));
                while events.len() < limit
                    && state.events.front().is_some_and(|(event, _)| event.id.0 == self.next)
                    && let Some((event, bytes)) = state.pop()
                {
                    self.next += 1;
                    events.push(FeedItem { event, bytes, resume: None });
                }
                Next::Stored(events)
            }
        }
    }

    /// Reads events from disk; also returns the number up to which they were read.
    async fn read(&self, until: i64, limit: usize) -> (Vec<FeedItem>, EventId) {
        let from = self.next;
        loop {
            let reader = self.reader.clone();
            match tokio::task::spawn_blocking(move || reader.unfinished(EventId(from), EventId(until), limit)).await {
                Ok(Ok(events)) => return events,
                Ok(Err(error)) => tracing::error!(%error, from, until, "feed read failed; retrying"),
                Err(error) => tracing::error!(%error, from, until, "feed read panicked; retrying"),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

impl FeedBuffer {
    fn pop(&mut self) -> Option<(Arc<Event>, usize)> {
        let (event, bytes) = self.events.pop_front()?;
        self.bytes -= bytes;
        Some((event, bytes))
    }
}
