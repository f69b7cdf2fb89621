//! Dispatch: from the inbox's feed into lanes, with a bound on how much is on its way at once.
//!
//! Which plugins get an event is fixed here. How much is on its way at once, and who may have how much of that, is `room`'s.

use crate::admission::{Admission, Ticket};
use crate::chain;
use crate::run::{Run, Subscriber};
use crate::spine::{Phase, Spine};
use beadle_model::{EventId, PluginNo};
use beadle_store::step::FeedItem;
use beadle_store::{Feed, StoreError};
use beadle_tasks::Heartbeat;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Read from the feed at once: one group commit's worth.
const AT_ONCE: usize = 512;
/// How often the watermark is written, and how often an idle loop shows that it lives. Real time.
const BEAT: Duration = Duration::from_secs(1);

/// Reads the feed, and what was put off, until we drain.
pub(crate) async fn run(spine: Arc<Spine>, mut feed: Feed, room: Admission, heartbeat: Heartbeat) {
    let mut beat = tokio::time::interval(BEAT);
    let mut next = EventId(1);
    loop {
        heartbeat.beat();
        let (ready, work) = room.next_ready(AT_ONCE);
        if !ready.is_empty() {
            if let Err(error) = go_on(&spine, ready).await {
                return spine.fail(error);
            }
            drop(work);
            continue;
        }
        let left = room.left().min(AT_ONCE);
        let fed = tokio::select! {
            biased;
            () = spine.reached(Phase::Draining) => return,
            _ = beat.tick() => {
                mark(&spine, &room, next).await;
                continue;
            }
            () = room.has_room_again() => continue,
            fed = feed.next(left), if left > 0 => fed,
        };
        for fed in fed {
            next = EventId(fed.event.id.0 + 1);
            if fed.event.kind().changes_membership() {
                // Schedules that go by the zones that members live in may be due earlier now.
                spine.timers_changed.ring();
            }
            match begin(&spine, fed).await {
                Ok(run) => {
                    let (lane, chain) = (chain::lane_of(&run), run.chain_plugins());
                    if let Some(ticket) = room.admit(run.event.id, lane, chain) {
                        chain::enqueue(&spine, run.on_its_way(ticket));
                    }
                }
                Err(error) if error.is_fatal() => return spine.fail(error),
                Err(error) => tracing::error!(%error, "An event could not be dispatched: it waits for the next start."),
            }
        }
    }
}

/// Those that were put off and have room now. `Err`: we cannot go on.
async fn go_on(spine: &Arc<Spine>, tickets: Vec<Ticket>) -> Result<(), StoreError> {
    let (reader, ids) = (spine.store.reader(), tickets.iter().map(Ticket::event).collect::<Vec<_>>());
    let read = tokio::task::spawn_blocking(move || reader.reread_events(&ids)).await;
    let mut again: HashMap<EventId, FeedItem> = match read {
        Ok(Ok(events)) => events.into_iter().map(|fed| (fed.event.id, fed)).collect(),
        Ok(Err(error)) => {
            tracing::error!(%error, "Events that were put off could not be read: they wait for the next start.");
            return Ok(());
        }
        // Where that thread is gone we are on our way out.
        Err(_) => return Ok(()),
    };
    for ticket in tickets {
        let Some(fed) = again.remove(&ticket.event()) else { continue };
        match begin(spine, fed).await {
            Ok(run) => chain::enqueue(spine, run.on_its_way(ticket)),
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => tracing::error!(%error, "An event could not be dispatched: it waits for the next start."),
        }
    }
    Ok(())
}

/// Everything below the lowest event on its way is finished.
async fn mark(spine: &Spine, room: &Admission, next: EventId) {
    let below = room.lowest().unwrap_or(next);
    if let Err(error) = spine.store.finished_below(below).await {
        spine.health.disk_trouble(&error);
    }
}

/// Fixes who gets an event: those who run now, or after a restart those whom it was given to before.
async fn begin(spine: &Arc<Spine>, fed: FeedItem) -> Result<Run, StoreError> {
    let subscriptions = spine.subscriptions();
    let Some(resume) = fed.resume else {
        let members = subscriptions.subscribers(&fed.event.body);
        let subscribers: Vec<Subscriber> =
            members.into_iter().map(|member| Subscriber { no: member.slot.no(), member: Some(member) }).collect();
        let number = spine.store.subscriber_list(subscribers.iter().map(|subscriber| subscriber.no).collect()).await?;
        return Ok(Run::new(fed.event, subscribers, number));
    };
    let now = |no: PluginNo| subscriptions.get(no).cloned();
    let subscribers = resume.subscribers.iter().map(|no| Subscriber { no: *no, member: now(*no) }).collect();
    Ok(Run::resumed(fed.event, subscribers, resume))
}
