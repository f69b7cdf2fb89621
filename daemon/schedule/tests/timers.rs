//! Timers against a real store and a clock that is turned by hand: each fires once, at its time, whatever restarts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helpers are tests: panicking is how they fail"
)]

use beadle_clock::{Alarm, Clock, Hand};
use beadle_model::effect::TimerWrite;
use beadle_model::{EventBody, EventId, PluginNo, Scope, StateNo, Timestamp};
use beadle_schedule::Schedules;
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Place, Progress};
use beadle_store::{Feed, Store, StoreConfig};
use std::path::Path;
use std::sync::Arc;

const PLUGIN: PluginNo = PluginNo(1);

fn open(dir: &Path, clock: &Clock) -> Store {
    Store::open(StoreConfig::new(dir.to_owned(), clock.clone())).unwrap()
}

/// An event of a kind that nobody hears, to hang a commit on.
async fn event(store: &Store, feed: &mut Feed, number: u8) -> EventId {
    let new = NewEvent {
        key: EventKey { at: Timestamp(i64::from(number)), hash: [number; 16] },
        place: Place::Nowhere,
        happened_at: Timestamp(0),
        opens_window: false,
        word: None,
        body: EventBody::Unrouted { kind: "test".into(), json: serde_json::Value::Null },
    };
    store.append(Batch { events: vec![new], ..Batch::default() }).await.unwrap();
    feed.next(1).await[0].event.id
}

async fn set(store: &Store, event: EventId, timers: Vec<TimerWrite>) {
    let roster = store.roster(vec![PLUGIN]).await.unwrap();
    let progress = Progress { event, roster, done: 1, done_beyond: vec![], all: 1, all_beyond: 0, ending: None };
    let commit = Commit {
        fence: store.fence(),
        plugin: PLUGIN,
        kept: false,
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
        other => panic!("a timer was to fire, not {other:?}"),
    }
}

/// The loop, without schedules.
fn loop_of(store: &Store, clock: &Clock, bell: &Alarm) -> impl Future<Output = ()> + use<> {
    let (store, clock, bell) = (store.clone(), clock.clone(), bell.clone());
    let present = Arc::new(|| vec![PLUGIN]);
    let (_, keeper) = Schedules::new(store.clone(), clock.clone(), bell.clone(), present, Vec::new());
    beadle_schedule::run(store, clock, bell, keeper)
}

#[tokio::test]
async fn what_is_due_at_once_comes_in_the_order_it_was_first_set_in() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual(Timestamp(1000));
    let store = open(dir.path(), &clock);
    let mut feed = store.feed().unwrap();
    // More than one transaction's worth; the third is moved away and back, the fourth set again with another payload.
    let names: Vec<String> = (0..1100).map(|n| format!("t-{:04}", n * 7919 % 1100)).collect();
    for (n, slice) in names.chunks(100).enumerate() {
        let setting = event(&store, &mut feed, u8::try_from(n).unwrap()).await;
        set(&store, setting, slice.iter().map(|name| timer(name, 5000)).collect()).await;
    }
    let moved = |due_at| TimerWrite::Move { scope: Scope::Plugin, key: names[2].clone(), due_at: Timestamp(due_at) };
    let again = event(&store, &mut feed, 200).await;
    let other =
        TimerWrite::Set { scope: Scope::Plugin, key: names[3].clone(), due_at: Timestamp(5000), payload: vec![9] };
    let nobodys = TimerWrite::Move { scope: Scope::Plugin, key: "nobody's".into(), due_at: Timestamp(1) };
    set(&store, again, vec![moved(9000), moved(5000), other, nobodys]).await;
    let bell = clock.alarm();
    let running = tokio::spawn(loop_of(&store, &clock, &bell));
    turn(&hand, 5000).await;
    for (n, name) in names.iter().enumerate() {
        let payload = if n == 3 { 9 } else { 7 };
        assert_eq!(fired(&mut feed).await, (name.clone(), Timestamp(5000), vec![payload]), "{n}");
    }
    running.abort();
}

/// Turns the clock to the next moment that somebody waits for.
async fn turn(hand: &Hand, to: i64) {
    while hand.next_due() != Some(Timestamp(to)) {
        tokio::task::yield_now().await;
    }
    hand.set(Timestamp(to));
}

#[tokio::test]
async fn timers_fire_in_order_once_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual(Timestamp(1000));
    let store = open(dir.path(), &clock);
    let mut feed = store.feed().unwrap();
    let first = event(&store, &mut feed, 1).await;
    set(&store, first, vec![timer("late", 9000), timer("soon", 2000), timer("moved", 2000), timer("gone", 2000)]).await;
    let changed = clock.alarm();
    let running = tokio::spawn(loop_of(&store, &clock, &changed));

    // What changes while the loop waits for something later is heard.
    let moved = TimerWrite::Move { scope: Scope::Plugin, key: "moved".into(), due_at: Timestamp(3000) };
    let cancel = TimerWrite::Cancel { scope: Scope::Plugin, key: "gone".into() };
    let second = event(&store, &mut feed, 2).await;
    set(&store, second, vec![moved, cancel]).await;
    changed.ring();

    turn(&hand, 2000).await;
    assert_eq!(fired(&mut feed).await, ("soon".into(), Timestamp(2000), vec![7]));
    turn(&hand, 3000).await;
    assert_eq!(fired(&mut feed).await, ("moved".into(), Timestamp(3000), vec![7]));

    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    drop(feed);
    store.close();
    // It was due while nobody was there.
    hand.set(Timestamp(20_000));
    let store = open(dir.path(), &clock);
    let mut feed = store.feed().unwrap();
    let running = tokio::spawn(loop_of(&store, &clock, &clock.alarm()));
    let mut keys = Vec::new();
    while keys.last().is_none_or(|key| key != "late") {
        keys.push(fired(&mut feed).await.0);
    }
    // Those that had fired are unfinished events still (nobody handled them here): they are fed again, not fired again.
    assert_eq!(keys, ["soon", "moved", "late"]);
    running.abort();
}
