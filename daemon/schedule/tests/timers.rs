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

use beadle_clock::{Activity, Alarm, Clock, ManualClock};
use beadle_model::effect::TimerWrite;
use beadle_model::{EventBody, EventId, PluginNo, Scope, StateNo, Timestamp};
use beadle_schedule::Schedules;
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Placement, Progress, Quotas};
use beadle_store::{Feed, Store, StoreError, TIMERS_PER_SECOND};
use beadle_tasks::{Heartbeat, TaskKind};
use plugins::subscribed;
use store::open;

const PLUGIN: PluginNo = PluginNo(1);
const GOOD: PluginNo = PluginNo(2);

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
    handle(store, event, PLUGIN, timers).await.unwrap();
}

/// A handling that sets timers, of a plugin whose quota is 64 KiB.
async fn handle(store: &Store, event: EventId, plugin: PluginNo, timers: Vec<TimerWrite>) -> Result<(), StoreError> {
    let subscriber_list = store.subscriber_list(vec![plugin]).await.unwrap();
    let progress = Progress::of_one(event, subscriber_list);
    let commit = Commit {
        timers,
        quotas: Quotas { state_bytes: 64 << 10, ..Quotas::NONE },
        ..Commit::empty(store.fence(), plugin, StateNo(plugin.0), Timestamp(0), progress)
    };
    store.commit(commit).await
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
    let subscriptions = subscribed(&[PLUGIN, GOOD]);
    let (_, scheduler) = Schedules::new(store.clone(), clock.clone(), alarm.clone(), subscriptions, Vec::new());
    let heartbeat = Heartbeat::unwatched(TaskKind::Schedules);
    async move { beadle_schedule::run(store, clock, alarm, scheduler, heartbeat).await.unwrap() }
}

#[tokio::test]
async fn timers_due_together_fire_in_the_order_first_set() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, manual) = Clock::manual(Timestamp(1000));
    let store = open(dir.path(), &clock);
    let mut feed = store.feed().unwrap();
    // More than fire in a few seconds. The third is moved away and back, the fourth is set again
    // with another payload.
    let names: Vec<String> = (0..900).map(|n| format!("t-{:04}", n * 7919 % 900)).collect();
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
    for (n, name) in names.iter().enumerate() {
        if n % TIMERS_PER_SECOND == 0 {
            advance(&manual, 5000 + i64::try_from(n / TIMERS_PER_SECOND).unwrap() * 1000).await;
        }
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
    set(&store, first, vec![timer("late", 9000), timer("soon", 2000), timer("moved", 2000), timer("cancelled", 2000)])
        .await;
    let changed = clock.alarm();
    let running = tokio::spawn(loop_of(&store, &clock, &changed));

    // Changes made while the loop waits for something later take effect.
    let moved = TimerWrite::Move { scope: Scope::Plugin, key: "moved".into(), due_at: Timestamp(3000) };
    let cancel = TimerWrite::Cancel { scope: Scope::Plugin, key: "cancelled".into() };
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

/// A plugin that answers each timer with a hundred due ones, next to one that sets a timer every
/// two seconds.
#[tokio::test]
async fn plugin_that_multiplies_its_timers_delays_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, manual) = Clock::manual(Timestamp(0));
    let mut store = open(dir.path(), &clock);
    for name in ["hostile", "good"] {
        store.plugin_no(name).await.unwrap();
    }
    let mut feed = store.feed().unwrap();
    let (first, second) = (event(&store, &mut feed, 1).await, event(&store, &mut feed, 2).await);
    handle(&store, first, PLUGIN, (0..100).map(|n| timer(&format!("{n}"), 0)).collect()).await.unwrap();
    handle(&store, second, GOOD, vec![timer("good", 2000)]).await.unwrap();
    let mut alarm = clock.alarm();
    let mut running = tokio::spawn(loop_of(&store, &clock, &alarm));
    let (mut hostile, mut refused, mut set_so_far, mut good) = (0, 0, 100, vec![]);
    for second in 1..=16 {
        // Everything that has fired is handled within its second.
        loop {
            let Ok(fed) = tokio::time::timeout(std::time::Duration::from_millis(1), feed.next(512)).await else {
                match manual.activity() {
                    Activity::Busy => continue,
                    Activity::IdleUntil(_) => break,
                }
            };
            for fed in fed {
                match &fed.event.body {
                    EventBody::Timer { plugin: PLUGIN, .. } => {
                        hostile += 1;
                        let more = (0..100).map(|n| timer(&format!("{}", set_so_far + n), 0)).collect();
                        set_so_far += 100;
                        match handle(&store, fed.event.id, PLUGIN, more).await {
                            Ok(()) => {}
                            Err(StoreError::OverQuota { .. }) => {
                                refused += 1;
                                handle(&store, fed.event.id, PLUGIN, vec![]).await.unwrap();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    EventBody::Timer { plugin: GOOD, due_at, .. } => {
                        good.push((due_at.0, fed.event.received_at.0));
                        handle(&store, fed.event.id, GOOD, vec![timer("good", due_at.0 + 2000)]).await.unwrap();
                    }
                    _ => {}
                }
                alarm.ring();
            }
        }
        if second == 8 {
            running.abort();
            drop(feed);
            store.close();
            store = open(dir.path(), &clock);
            feed = store.feed().unwrap();
            alarm = clock.alarm();
            running = tokio::spawn(loop_of(&store, &clock, &alarm));
        }
        manual.set(Timestamp(second * 1000));
    }
    running.abort();
    // Within its rate and its quota, and the other plugin's timers are never late.
    assert!((500..=1600).contains(&hostile) && refused > 0, "{hostile} {refused}");
    assert_eq!(
        good.iter().map(|(due_at, _)| *due_at).collect::<Vec<_>>(),
        (1..8).map(|n| n * 2000).collect::<Vec<_>>()
    );
    assert!(good.iter().all(|(due_at, fired_at)| due_at == fired_at), "{good:?}");
}
