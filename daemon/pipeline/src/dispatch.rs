//! Dispatch: from the inbox's feed into lanes, with a bound on how much is on its way at once.
//!
//! An event that is dispatched holds a ticket until every plugin is through with it. Tickets are what bounds memory: when
//! all are out the feed is simply not read, and what comes in waits on disk. The lowest event that holds a ticket is the
//! watermark: everything below it is finished, and a start after a crash looks no further back.

use crate::chain;
use crate::run::{Run, Subscriber};
use crate::spine::{Phase, Spine};
use beadle_model::{EventId, EventKind, PluginNo};
use beadle_store::step::Fed;
use beadle_store::{Feed, StoreError};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Events on their way at once. At 20,000 a second and 10 ms each it takes 200; the rest is room for lanes that wait
/// for a guard. A waiting event costs about 2 KiB, so 16 MiB at most.
pub const IN_FLIGHT: usize = 8192;
/// Read from the feed at once: one group commit's worth.
const AT_ONCE: usize = 512;
/// How often the watermark is written, and how often an idle loop shows that it lives. Real time.
const BEAT: Duration = Duration::from_secs(1);

/// The events on their way.
#[derive(Clone)]
pub(crate) struct InFlight {
    permits: Arc<Semaphore>,
    ids: Arc<Mutex<BTreeSet<EventId>>>,
}

/// Held by an event on its way.
pub(crate) struct Ticket {
    event: EventId,
    ids: Arc<Mutex<BTreeSet<EventId>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(IN_FLIGHT)), ids: Arc::default() }
    }
}

impl InFlight {
    /// How many are on their way.
    pub fn count(&self) -> usize {
        lock(&self.ids).len()
    }

    fn lowest(&self) -> Option<EventId> {
        lock(&self.ids).first().copied()
    }

    fn ticket(&self, event: EventId, permit: OwnedSemaphorePermit) -> Ticket {
        lock(&self.ids).insert(event);
        Ticket { event, ids: Arc::clone(&self.ids), _permit: Some(permit) }
    }

    /// For an event that a person takes up again: it has no part in the watermark.
    pub fn ticket_out_of_order(event: EventId) -> Ticket {
        Ticket { event, ids: Arc::default(), _permit: None }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.ids).remove(&self.event);
    }
}

fn lock(ids: &Mutex<BTreeSet<EventId>>) -> MutexGuard<'_, BTreeSet<EventId>> {
    ids.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the feed until we drain.
pub(crate) async fn run(spine: Arc<Spine>, mut feed: Feed, in_flight: InFlight) {
    let mut beat = tokio::time::interval(BEAT);
    let mut next = EventId(1);
    loop {
        spine.health.dispatch_beat();
        let room = in_flight.permits.available_permits().min(AT_ONCE);
        let fed = tokio::select! {
            biased;
            () = spine.reached(Phase::Draining) => return,
            _ = beat.tick() => {
                mark(&spine, &in_flight, next).await;
                continue;
            }
            fed = feed.next(room), if room > 0 => fed,
            // All tickets are out: wait for one to come back.
            permit = in_flight.permits.acquire(), if room == 0 => {
                drop(permit);
                continue;
            }
        };
        for fed in fed {
            next = EventId(fed.event.id.0 + 1);
            if matches!(fed.event.kind(), EventKind::MemberJoined | EventKind::MemberLeft) {
                // Schedules that go by the zones that members live in may be due earlier now.
                spine.timers_changed.ring();
            }
            let Ok(permit) = Arc::clone(&in_flight.permits).try_acquire_owned() else {
                // Only this loop takes permits, and it asked for no more than there were.
                tracing::error!(event = %fed.event.id, "No ticket for an event: it waits for the next start.");
                continue;
            };
            let ticket = in_flight.ticket(fed.event.id, permit);
            match begin(&spine, fed, ticket).await {
                Ok(run) => chain::enqueue(&spine, run),
                Err(error) if error.is_fatal() => return spine.fail(error),
                Err(error) => tracing::error!(%error, "An event could not be dispatched: it waits for the next start."),
            }
        }
    }
}

/// Everything below the lowest event on its way is finished.
async fn mark(spine: &Spine, in_flight: &InFlight, next: EventId) {
    let below = in_flight.lowest().unwrap_or(next);
    if let Err(error) = spine.store.finished_below(below).await {
        spine.health.disk_trouble(&error);
    }
}

/// Fixes who gets an event: those who run now, or after a restart those whom it was given to before.
async fn begin(spine: &Arc<Spine>, fed: Fed, ticket: Ticket) -> Result<Run, StoreError> {
    let roster = spine.roster();
    let Some(resume) = fed.resume else {
        let members = roster.subscribers(&fed.event.body);
        let subscribers: Vec<Subscriber> =
            members.into_iter().map(|member| Subscriber { no: member.seat.no(), member: Some(member) }).collect();
        let number = spine.store.roster(subscribers.iter().map(|subscriber| subscriber.no).collect()).await?;
        return Ok(Run::new(fed.event, subscribers, number, ticket));
    };
    let now = |no: PluginNo| roster.members().iter().find(|member| member.seat.no() == no).cloned();
    let subscribers = resume.subscribers.iter().map(|no| Subscriber { no: *no, member: now(*no) }).collect();
    Ok(Run::resumed(fed.event, subscribers, resume, ticket))
}
