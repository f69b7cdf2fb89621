//! The feed: new events on their way to the pipeline, in the order of their ids, each once.
//!
//! The writer puts events in after their commit, as long as there is room; numbers without gaps tell the other end what
//! it missed, and that is read from disk. So the feed never blocks the writer, never loses an event, and needs no more
//! memory than its bound. After a start it begins with what was left unfinished.

use crate::read::Reader;
use crate::step::Fed;
use beadle_clock::{Clock, Work};
use beadle_model::{Event, EventId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long until a read that failed is tried again: a sick disk is not helped by haste.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// The most events that one call gives, whatever was asked for.
const MOST_AT_ONCE: usize = 1024;

/// The end that the writer holds.
pub(crate) struct Tail {
    state: Mutex<State>,
    news: Notify,
    most_events: usize,
    most_bytes: usize,
    clock: Clock,
}

struct State {
    events: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
    /// The newest that was committed, whether or not there was room for it.
    newest: i64,
    closed: bool,
    /// Held while there may be something that was not taken: until then time is not to be turned.
    to_take: Option<Work>,
}

impl Tail {
    /// `newest`: the last event on disk. Holds so many events, and so many bytes of bodies.
    pub(crate) fn new(newest: i64, most_events: usize, most_bytes: usize, clock: Clock) -> Self {
        let to_take = Some(clock.work());
        let state = State { events: VecDeque::new(), bytes: 0, newest, closed: false, to_take };
        Self { state: Mutex::new(state), news: Notify::new(), most_events, most_bytes, clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These were committed, in this order.
    pub(crate) fn push(&self, born: Vec<(Arc<Event>, usize)>) {
        if born.is_empty() {
            return;
        }
        let mut state = self.state();
        state.to_take.get_or_insert_with(|| self.clock.work());
        for (event, bytes) in born {
            state.newest = event.id.0;
            if state.events.len() < self.most_events && state.bytes.saturating_add(bytes) <= self.most_bytes {
                state.bytes += bytes;
                state.events.push_back((event, bytes));
            }
        }
        drop(state);
        self.news.notify_one();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.news.notify_one();
    }

    /// Events in memory.
    pub(crate) fn waiting(&self) -> usize {
        self.state().events.len()
    }
}

/// What there is to do next.
enum Next {
    Here(Vec<Fed>),
    /// Read from disk up to this number.
    Gap(i64),
    Wait,
    End,
}

/// The other end: there is one, and the pipeline has it.
pub struct Feed {
    shared: Arc<crate::shared::Shared>,
    reader: Reader,
    /// The lowest number that was not given yet.
    next: i64,
}

impl Feed {
    /// `from`: the watermark below which all is finished.
    pub(crate) fn new(shared: Arc<crate::shared::Shared>, reader: Reader, from: EventId) -> Self {
        Self { shared, reader, next: from.0 }
    }

    /// The next events, at least one and `most` at most (1,024 at most of those), in the order of their ids; waits until
    /// there is one. Empty only when the store was closed and all were given. A disk that cannot be read is tried again
    /// until it can. Dropping the future loses nothing.
    pub async fn next(&mut self, most: usize) -> Vec<Fed> {
        let most = most.clamp(1, MOST_AT_ONCE);
        loop {
            match self.look(most) {
                Next::Here(events) => return events,
                Next::Wait => self.shared.tail.news.notified().await,
                Next::End => return Vec::new(),
                Next::Gap(until) => {
                    let (events, read) = self.read(until, most).await;
                    self.next = read.0 + 1;
                    if !events.is_empty() {
                        return events;
                    }
                }
            }
        }
    }

    fn look(&mut self, most: usize) -> Next {
        let mut state = self.shared.tail.state();
        // What was read from disk meanwhile.
        while state.events.front().is_some_and(|(event, _)| event.id.0 < self.next) {
            state.pop();
        }
        match state.events.front() {
            Some((event, _)) if event.id.0 > self.next => Next::Gap(event.id.0 - 1),
            None if state.newest >= self.next => Next::Gap(state.newest),
            None if state.closed => Next::End,
            None => {
                state.to_take = None;
                Next::Wait
            }
            Some(_) => {
                let mut events = Vec::with_capacity(most.min(state.events.len()));
                while events.len() < most
                    && state.events.front().is_some_and(|(event, _)| event.id.0 == self.next)
                    && let Some(event) = state.pop()
                {
                    self.next += 1;
                    events.push(Fed { event, resume: None });
                }
                Next::Here(events)
            }
        }
    }

    /// Events from disk, and the number up to which they were read.
    async fn read(&self, until: i64, most: usize) -> (Vec<Fed>, EventId) {
        let from = self.next;
        loop {
            let reader = self.reader.clone();
            match tokio::task::spawn_blocking(move || reader.unfinished(EventId(from), EventId(until), most)).await {
                Ok(Ok(events)) => return events,
                Ok(Err(error)) => tracing::error!(%error, from, until, "events could not be read for the feed"),
                Err(error) => tracing::error!(%error, from, until, "reading for the feed did not end"),
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }
}

impl State {
    fn pop(&mut self) -> Option<Arc<Event>> {
        let (event, bytes) = self.events.pop_front()?;
        self.bytes -= bytes;
        Some(event)
    }
}
