//! Shared by the long-running tests: seeded randomness, advancing the clock to the next due time,
//! and a copy of the disk as a crash leaves it.

mod store;

use beadle_clock::{Activity, Clock, ManualClock};
use beadle_model::{Alias, AliasKind, Content, Event, EventBody, EventId, PluginNo, Timestamp};
use beadle_store::step::{EventKey, NewEvent, Placement, Progress, Sender};
use beadle_store::{Feed, Store};
use beadle_test_support::rng;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

pub use store::open;

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// 2026-01-01T00:00:00Z
pub const START: Timestamp = Timestamp(1_767_225_600_000);

/// Seeded random numbers, in the types of civil time.
pub struct Rng(rng::Rng);

impl Rng {
    pub fn seeded() -> Self {
        Self(rng::Rng::seeded())
    }

    pub fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.0.below(u64::try_from(end).unwrap())).unwrap()
    }

    /// Advances the clock and returns before everything that became due is done.
    pub async fn stop_somewhere(&mut self, manual: &ManualClock) {
        manual.advance_ms(self.below(2 * HOUR));
        for _ in 0..self.below(40) {
            tokio::task::yield_now().await;
        }
        // tidy: the time of the crash is random
        tokio::time::sleep(Duration::from_micros(u64::try_from(self.below(900)).unwrap())).await;
    }
}

/// Copies the database as it is at this moment.
pub fn on_disk_now(dir: &TempDir) -> TempDir {
    let next = tempfile::tempdir().unwrap();
    for file in ["beadle.db", "beadle.db-wal"] {
        std::fs::copy(dir.path().join(file), next.path().join(file)).unwrap();
    }
    next
}

/// Advances the clock from one due time to the next, waiting for each to be processed, until
/// `until`.
pub async fn live_until(manual: &ManualClock, clock: &Clock, until: Timestamp) {
    loop {
        let Activity::IdleUntil(next) = manual.wait_until_idle().await else { unreachable!() };
        match next.filter(|next| *next <= until) {
            Some(next) => manual.set(next.max(clock.now())),
            None => return manual.set(until.max(clock.now())),
        }
    }
}

/// Finishes every event that the feed delivers, as the pipeline does, and calls `on_event` for
/// each.
pub async fn handle(store: Store, mut feed: Feed, on_event: impl Fn(&Event)) {
    let subscriber_list = store.subscriber_list(Vec::<PluginNo>::new()).await.unwrap();
    loop {
        for fed in feed.next(64).await {
            on_event(&fed.event);
            let event = fed.event.id;
            let progress = Progress {
                event,
                subscriber_list,
                done: 0,
                done_overflow: vec![],
                all: 0,
                overflow_count: 0,
                ending: None,
            };
            store.finish(progress, store.fence()).await.unwrap();
            store.finished_below(EventId(event.0 + 1)).await.unwrap();
        }
    }
}

/// All events in this directory, in order.
pub fn events(dir: &Path, clock: &Clock) -> Vec<Event> {
    let store = open(dir, clock);
    let reader = store.reader();
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(EventId(0), |event| event.id);
        let rows = reader.events_after(after, 1000).unwrap();
        if rows.is_empty() {
            return events;
        }
        events.extend(rows.iter().map(|row| reader.event(row.id).unwrap().unwrap()));
    }
}

/// A message from this number with this id.
pub fn message(number: &str, id: &str, happened_at: Timestamp) -> NewEvent {
    let aliases = vec![Alias { kind: AliasKind::WaId, value: number.into() }];
    let mut hash = DefaultHasher::new();
    id.hash(&mut hash);
    NewEvent {
        key: EventKey { at: happened_at, hash: u128::from(hash.finish()).to_le_bytes() },
        placement: Placement::Sender(Sender {
            channel: "shop".into(),
            aliases,
            name: None,
            group: None,
            language: None,
        }),
        happened_at,
        opens_window: true,
        keyword: None,
        body: EventBody::Message {
            message: id.into(),
            content: Content::Text("hello".into()),
            context: None,
            referral: None,
            keyword: None,
            addressed: None,
            extra: serde_json::Value::Null,
        },
    }
}
