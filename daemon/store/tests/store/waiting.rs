//! Waiting events: on disk, in order, until their plugin has handled them.

use crate::env::*;
use beadle_model::{EventId, PluginNo, Timestamp};
use beadle_store::Retention;
use beadle_store::step::*;
use beadle_store::views::EventState;
use std::collections::BTreeSet;

const PLUGIN: PluginNo = PluginNo(1);

fn unhandled(env: &TestEnv, event: EventId, state: UnhandledState, progress: Progress) -> Unhandled {
    let (code, error) = ("plugin-suspended".into(), "it is suspended".into());
    Unhandled {
        fence: env.store.fence(),
        plugin: PLUGIN,
        state,
        attempts: 0,
        code,
        error,
        at: NOW,
        progress: Progress { event, ..progress },
        refused: Default::default(),
    }
}

/// Events that wait for the plugin and are finished otherwise.
async fn keep(env: &TestEnv, count: i64) -> Vec<EventId> {
    assert_eq!(env.store.plugin_no("tester").await.unwrap(), PLUGIN);
    let mut kept = Vec::new();
    for _ in 0..count {
        // Unique, even if earlier events were deleted.
        let id = format!("wamid.{:?}", env.events().last().map(|event| event.id));
        let event = env.append_one(from("31600000001", &id)).await.id;
        let step = unhandled(env, event, UnhandledState::Waiting, progress(event, 1, 1));
        env.store.record_unhandled(step).await.unwrap();
        kept.push(event);
    }
    // The joins that first messages cause have no subscriber here.
    for event in env.events().iter().map(|event| event.id).filter(|id| !kept.contains(id)) {
        env.store.finish(progress(event, 1, 1), env.store.fence()).await.unwrap();
    }
    kept
}

fn waiting(env: &TestEnv, but: &[EventId], most: usize) -> Vec<EventId> {
    let but: BTreeSet<_> = but.iter().copied().collect();
    env.reader.waiting_handlings(PLUGIN, &but, most).unwrap().iter().map(|one| one.event.id).collect()
}

fn state_of(env: &TestEnv, event: EventId) -> (&'static str, EventState) {
    let details = env.reader.event_details(event).unwrap().unwrap();
    (details.handlings.first().map_or("none", |handling| handling.state), details.row.state)
}

#[tokio::test]
async fn waiting_events_are_finished_for_the_feed_and_ordered() {
    let env = TestEnv::new();
    let kept = keep(&env, 5).await;
    assert_eq!(state_of(&env, kept[0]), ("waiting", EventState::Finished));
    assert_eq!(waiting(&env, &[], 10), kept);
    assert_eq!(waiting(&env, &kept[..2], 2), kept[2..4]);
    assert_eq!(env.reader.waiting_counts().unwrap(), [(PLUGIN, 5)]);
    // It does not hold back the watermark, and a start does not deliver it again.
    let next = EventId(kept[4].0 + 1);
    assert_eq!(env.store.finished_below(next).await.unwrap(), next);
    let env = env.reopen();
    assert!(drain(&mut env.store.feed().unwrap(), 10).await.is_empty());
    assert_eq!(waiting(&env, &[], 10), kept);
}

#[tokio::test]
async fn waiting_event_survives_failures_and_crashes() {
    let env = TestEnv::new();
    let kept = keep(&env, 3).await;
    let own = Progress { subscriber_list: 2, ..progress(kept[0], 1, 1) };
    // It fails, and the process crashes: still waiting, with its attempts.
    let failed = FailedAttempt {
        event: kept[0],
        plugin: PLUGIN,
        is_waiting: true,
        attempts: 2,
        code: "trap".into(),
        error: "unreachable".into(),
        next_at: Timestamp(NOW.0 + 1000),
    };
    env.store.record_failed_attempt(failed).await.unwrap();
    let env = env.crashed();
    let first = &env.reader.waiting_handlings(PLUGIN, &BTreeSet::new(), 10).unwrap()[0];
    assert_eq!((first.event.id, first.attempts), (kept[0], 2));
    // Progress of other plugins does not change it.
    env.store.finish(progress(kept[0], 1, 1), env.store.fence()).await.unwrap();
    assert_eq!(waiting(&env, &[], 10), kept);
    env.store.commit(Commit { was_waiting: true, progress: own, ..env.commit(kept[0], PLUGIN) }).await.unwrap();
    assert_eq!(waiting(&env, &[], 10), kept[1..]);
    assert_eq!(state_of(&env, kept[0]), ("done", EventState::Finished));
    // Given up, it is a dead letter like any other.
    env.store
        .record_unhandled(unhandled(&env, kept[1], UnhandledState::DeadLetter, progress(kept[1], 1, 1)))
        .await
        .unwrap();
    assert_eq!(waiting(&env, &[], 10), kept[2..]);
    assert_eq!(state_of(&env, kept[1]).0, "dead");
}

#[tokio::test]
async fn waiting_works_for_overflow_subscribers() {
    let env = TestEnv::new();
    let event = keep(&env, 1).await[0];
    let beyond = |done_overflow| Progress { done_overflow, all: 0, overflow_count: 2, ..progress(event, 0, 0) };
    env.store.record_unhandled(unhandled(&env, event, UnhandledState::Waiting, beyond(vec![PLUGIN]))).await.unwrap();
    env.store.finish(beyond(vec![PLUGIN, PluginNo(2)]), env.store.fence()).await.unwrap();
    assert_eq!(waiting(&env, &[], 10), [event]);
}

#[tokio::test]
async fn passed_over_handling_is_listed_and_not_retried() {
    let env = TestEnv::new();
    env.store.plugin_no("tester").await.unwrap();
    let event = env.append_one(from("31600000001", "wamid.in")).await.id;
    env.store
        .record_unhandled(unhandled(&env, event, UnhandledState::PassedOver, progress(event, 1, 1)))
        .await
        .unwrap();
    assert_eq!(state_of(&env, event), ("passed-over", EventState::Finished));
    assert!(waiting(&env, &[], 10).is_empty());
    assert_eq!(env.reader.counts().unwrap().dead, 0);
}

#[tokio::test]
async fn waiting_event_is_kept_as_long_as_dead_letters() {
    let env = TestEnv::new();
    let kept = keep(&env, 2).await;
    env.store.finished_below(EventId(kept[1].0 + 1)).await.unwrap();
    let policy = Retention { events_ms: 10 * DAY, dead_ms: 60 * DAY, ..Retention::default() };
    env.manual.advance_ms(40 * DAY);
    env.store.retain(policy, env.clock.now()).await.unwrap();
    assert_eq!(waiting(&env, &[], 10), kept);
    assert_eq!(env.store.purge_plugin(PLUGIN).await.unwrap().events, 2);
    assert!(waiting(&env, &[], 10).is_empty());
    let third = keep(&env, 1).await[0];
    env.store.finished_below(EventId(third.0 + 1)).await.unwrap();
    env.run_days(61).await;
    env.store.retain(policy, env.clock.now()).await.unwrap();
    assert!(env.reader.waiting_counts().unwrap().is_empty());
}
