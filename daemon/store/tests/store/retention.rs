//! Retention: deletes what is old and completed, slice by slice, and nothing else.

use crate::env::*;
use beadle_model::{EventId, PluginNo};
use beadle_store::step::*;
use beadle_store::{Retention, RetentionReport};

/// Runs all slices of a pass.
async fn pass(env: &TestEnv, policy: Retention) -> RetentionReport {
    let mut all = RetentionReport::default();
    loop {
        let slice = env.store.retain(policy, env.clock.now()).await.unwrap();
        all.events += slice.events;
        all.outbox += slice.outbox;
        all.dead += slice.dead;
        if !slice.more {
            return all;
        }
    }
}

#[tokio::test]
async fn only_old_and_completed_rows_are_deleted() {
    let env = TestEnv::new();
    let mut events = vec![];
    for n in 0..1200 {
        events.push(NewEvent { placement: Placement::Nowhere, ..from("1", &format!("{n}")) });
    }
    events.push(from("31600000001", "last"));
    env.append(events).await;
    let last = env.reader.event(EventId(1202)).unwrap().unwrap();
    let (old, waits) =
        (env.send(&last, PluginNo(1), SendState::Sending).await, env.send(&last, PluginNo(1), SendState::Queued).await);
    env.settle(old, SendOutcome::Accepted(Some("wamid.x".into()))).await;
    let fence = env.store.fence();
    for id in (1..=1200).filter(|id| *id != 3) {
        env.store.finish(progress(EventId(id), 0, 0), fence).await.unwrap();
    }
    let unhandled = Unhandled {
        fence,
        plugin: PluginNo(1),
        state: UnhandledState::DeadLetter,
        attempts: 1,
        code: "trap".into(),
        error: "x".into(),
        at: NOW.plus_ms(60 * DAY),
        progress: progress(EventId(3), 1, 1),
        refused: Default::default(),
    };
    env.store.finished_below(EventId(1201)).await.unwrap();
    let policy = Retention { events_ms: 0, outbox_ms: 0, dead_ms: 40 * DAY, ..Retention::default() };
    env.manual.advance_ms(8 * DAY);
    assert_eq!(pass(&env, policy).await, RetentionReport::default(), "eight days are kept whatever is asked for");
    env.manual.advance_ms(1);
    assert_eq!(pass(&env, policy).await.events, 2, "the third is not finished");
    env.store.record_unhandled(unhandled).await.unwrap();
    env.store.finished_below(EventId(1201)).await.unwrap();
    assert_eq!(pass(&env, policy).await.events, 1197, "the third has a dead letter");
    env.run_days(40).await;
    assert_eq!(pass(&env, policy).await.outbox, 1);
    env.run_days(60).await;
    let rest = pass(&env, policy).await;
    assert_eq!((rest.dead, pass(&env, policy).await.events + rest.events), (1, 1));
    assert_eq!(env.state_of(waits), SendState::Queued);
    for (table, rows) in [("events", 2), ("event_bodies", 2), ("outbox", 1), ("outbox_bodies", 1), ("handlings", 0)] {
        assert_eq!(number(&env, &format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}

#[tokio::test]
async fn deleted_numbers_are_not_reused() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "a")).await;
    let message = env.send(&event, PluginNo(1), SendState::Sending).await;
    env.settle(message, SendOutcome::Accepted(None)).await;
    for id in [EventId(1), event.id] {
        env.store.finish(progress(id, 0, 0), env.store.fence()).await.unwrap();
    }
    env.store.finished_below(EventId(3)).await.unwrap();
    env.manual.advance_ms(400 * DAY);
    assert_eq!(
        pass(&env, Retention::default()).await,
        RetentionReport { events: 2, outbox: 1, ..RetentionReport::default() }
    );
    let env = env.reopen();
    assert!(env.store.reserve_message() > message);
    assert_eq!(env.append_one(from("31600000001", "b")).await.id, EventId(3));
    assert_eq!(ids(&drain(&mut env.store.feed().unwrap(), 9).await), [3]);
}

#[tokio::test]
async fn row_from_the_future_does_not_stop_retention() {
    let env = TestEnv::new();
    env.manual.advance_ms(3650 * DAY);
    let ahead = env.append_one(from("1", "ahead")).await.id;
    env.manual.set(NOW);
    let old = env.append_one(from("1", "old")).await.id;
    for id in 1..=old.0 {
        env.store.finish(progress(EventId(id), 1, 1), env.store.fence()).await.unwrap();
    }
    env.store.finished_below(EventId(old.0 + 1)).await.unwrap();
    env.manual.advance_ms(40 * DAY);
    pass(&env, Retention::default()).await;
    assert!(env.reader.event(ahead).unwrap().is_some());
    assert_eq!(env.reader.event(old).unwrap(), None);
}

#[tokio::test]
async fn clock_that_jumps_ahead_for_a_moment_deletes_nothing() {
    let env = TestEnv::new();
    let id = env.append_one(from("1", "kept")).await.id;
    for id in 1..=id.0 {
        env.store.finish(progress(EventId(id), 1, 1), env.store.fence()).await.unwrap();
    }
    env.store.finished_below(EventId(id.0 + 1)).await.unwrap();
    pass(&env, Retention::default()).await;
    env.manual.advance_ms(40 * DAY);
    pass(&env, Retention::default()).await;
    env.manual.set(NOW.plus_ms(HOUR));
    pass(&env, Retention::default()).await;
    assert_eq!(env.append(vec![from("1", "kept")]).await.duplicates, 1);
    // A clock that goes on from there for a day is right: the daemon was off.
    env.manual.set(NOW.plus_ms(40 * DAY));
    for _ in 0..25 {
        assert!(env.reader.event(id).unwrap().is_some());
        pass(&env, Retention::default()).await;
        env.manual.advance_ms(HOUR);
    }
    assert_eq!(env.reader.event(id).unwrap(), None);
}
