//! Timers with a real store and a manual clock: each fires once, on time, across restarts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helpers are tests: panicking is how they fail"
)]

#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/store.rs"]
mod store;

use beadle_clock::{Alarm, Clock, ManualClock};
use beadle_model::effect::TimerWrite;
use beadle_model::{EventBody, EventId, PluginNo, Scope, StateNo, Timestamp};
use beadle_schedule::Schedules;
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Placement, Progress};
use beadle_store::{Feed, Store};
use beadle_tasks::{Heartbeat, TaskKind};
use plugins::subscribed;
use store::open;

const PLUGIN: PluginNo = PluginNo(1);

/// An event without subscribers, to attach a commit to.
async fn event(store: &Store, feed: &mut Feed, number: u8) -> EventId {
    let new = NewEvent {
        key: EventKey { at: Timestamp(i64::from(number)), hash: [number; 16] },
        placement: Placement::Nowhere,
        happened_at: Timestamp(0),
        opens_window: false,
        keyword: None,
        body: EventBody::Unrouted { kind: "test".into(), json: serde_json::Value::Null },
    };
    store.append(Batch { events: vec![new], ..Batch::default() }).await.unwrap();
    feed.next(1).await[0].event.id
}

async fn set(store: &Store, event: EventId, timers: Vec<TimerWrite>) {
    let subscriber_list = store.subscriber_list(vec![PLUGIN]).await.unwrap();
    let progress =
        Progress { event, subscriber_list, done: 1, done_overflow: vec![], all: 1, overflow_count: 0, ending: None };
    let commit = Commit {
        fence: store.fence(),
        plugin: PLUGIN,
        was_waiting: false,
        now: Timestamp(0),
        progress,
        conversation: None,
        reads: vec![],
        state_no: StateNo(1),
        state: vec![],
        timers,
        media: vec![],
        sends: vec![],
    };
    store.commit(commit).await.unwrap();
}

fn timer(key: &str, due_at: i64) -> TimerWrite {
    TimerWrite::Set { scope: Scope::Plugin, key: key.into(), due_at: Timestamp(due_at), payload: vec![7] }
}

async fn fired(feed: &mut Feed) -> (String, Timestamp, Vec<u8>) {
    match &feed.next(1).await[0].event.body {
        EventBody::Timer { key, due_at, payload, plugin: PLUGIN, .. } => (key.clone(), *due_at, payload.clone()),
        other => panic!("expected a timer event, got {other:?}"),
    }
}

/// The loop, without schedules.
fn loop_of(store: &Store, clock: &Clock, alarm: &Alarm) -> impl Future<Output = ()> + use<> {
    let (store, clock, alarm) = (store.clone(), clock.clone(), alarm.clone());
    let (_, scheduler) = Schedules::new(store.clone(), clock.clone(), alarm.clone(), subscribed(&[PLUGIN]), Vec::new());
    let heartbeat = Heartbeat::unwatched(TaskKind::Schedules);
    async move { beadle_schedule::run(store, clock, alarm, scheduler, heartbeat).await.unwrap() }
}

#[tokio::test]
async fn timers_due_together_fire_in_the_order_first_set() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, manual) = Clock::manual(Timestamp(1000));
    let store = open(dir.path(), &clock);
    let mut feed = store.feed().unwrap();
    // More than one batch. The third is moved away and back, the fourth is set again with another payload.
    let names: Vec<String> = (0..1100).map(|n| format!("t-{:04}", n * 7919 % 1100)).collect();
    for (n, slice) in names.chunks(100).enumerate() {
        let setting = event(&store, &mut feed, u8::try_from(n).unwrap()).await;
        set(&store, setting, slice.iter().map(|name| timer(name, 5000)).collect()).await;
    }
    let moved = |due_at| TimerWrite::Move { scope: Scope::Plugin, key: names[2].clone(), due_at: Timestamp(due_at) };
    let again = event(&store, &mut feed, 200).await;
    let other =
        TimerWrite::Set { scope: Scope::Plugin, key: names[3].clone(), due_at: Timestamp(5000), payload: vec![9] };
    let unknown = TimerWrite::Move { scope: Scope::Plugin, key: "unknown".into(), due_at: Timestamp(1) };
    set(&store, again, vec![moved(9000), moved(5000), other, unknown]).await;
    let alarm = clock.alarm();
    let running = tokio::spawn(loop_of(&store, &clock, &alarm));
    advance(&manual, 5000).await;
    for (n, name) in names.iter().enumerate() {
        let payload = if n == 3 { 9 } else { 7 };
        assert_eq!(fired(&mut feed).await, (name.clone(), Timestamp(5000), vec![payload]), "{n}");
    }
    running.abort();
}

/// Waits until the loop waits for `to`, then sets the clock to it.
async fn advance(manual: &ManualClock, to: i64) {
    while manual.next_due() != Some(Timestamp(to)) {
        tokio::task::yield_now().await;
    }
    manual.set(Timestamp(to));
}

#[tokio::test]
async fn timers_fire_in_order_once_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, manual) = Clock::manual(Timestamp(1000));
    let store = open(dir.path(), &clock);
    let mut feed = store.feed().unwrap();
    let first = event(&store, &mut feed, 1).await;
    set(&store, first, vec![timer("late", 9000), timer("soon", 2000), timer("moved", 2000), timer("gone", 2000)]).await;
    let changed = clock.alarm();
    let running = tokio::spawn(loop_of(&store, &clock, &changed));

    // Changes made while the loop waits for something later take effect.
    let moved = TimerWrite::Move { scope: Scope::Plugin, key: "moved".into(), due_at: Timestamp(3000) };
    let cancel = TimerWrite::Cancel { scope: Scope::Plugin, key: "gone".into() };
    let second = event(&store, &mut feed, 2).await;
    set(&store, second, vec![moved, cancel]).await;
    changed.ring();

    advance(&manual, 2000).await;
    assert_eq!(fired(&mut feed).await, ("soon".into(), Timestamp(2000), vec![7]));
    advance(&manual, 3000).await;
    assert_eq!(fired(&mut feed).await, ("moved".into(), Timestamp(3000), vec![7]));

    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    drop(feed);
    store.close();
    // It becomes due while the daemon is down.
    manual.set(Timestamp(20_000));
    let store = open(dir.path(), &clock);
    let mut feed = store.feed().unwrap();
    let running = tokio::spawn(loop_of(&store, &clock, &clock.alarm()));
    let mut keys = Vec::new();
    while keys.last().is_none_or(|key| key != "late") {
        keys.push(fired(&mut feed).await.0);
    }
    // The fired ones are unfinished events, which are fed again but did not fire again.
    assert_eq!(keys, ["soon", "moved", "late"]);
    running.abort();
}
