//! The feed: every event once, in the order of the ids, however few fit into memory.

use crate::env::*;
use beadle_model::{Ending, EventId, PluginNo};
use beadle_store::step::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Turn {
    Append(usize),
    Take(usize),
    Finish(usize),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        (1..12usize).prop_map(Turn::Append),
        (1..9usize).prop_map(Turn::Take),
        (0..40usize).prop_map(Turn::Finish),
    ];
    prop::collection::vec(turn, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn feed_delivers_every_event_once(turns in turns(), room in 0..10usize, bytes in 100..2000usize) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let env = TestEnv::with(|config| (config.feed_events, config.feed_bytes) = (room, bytes));
            let mut feed = env.store.feed().unwrap();
            let (mut appended, mut delivered, mut finished) = (0, vec![], vec![]);
            for turn in turns {
                match turn {
                    Turn::Append(count) => {
                        let nowhere = |n| NewEvent { placement: Placement::Nowhere, ..from("1", &format!("{n}")) };
                        env.append((appended..appended + count).map(nowhere).collect()).await;
                        appended += count;
                    }
                    Turn::Take(most) if delivered.len() < appended => {
                        let fed = feed.next(most).await;
                        assert!((1..=most).contains(&fed.len()));
                        delivered.extend(ids(&fed));
                    }
                    Turn::Finish(n) if n < delivered.len() && !finished.contains(&delivered[n]) => {
                        let progress = progress(EventId(delivered[n]), 0, 0);
                        env.store.finish(progress, env.store.fence()).await.unwrap();
                        finished.push(delivered[n]);
                        env.store.finished_below(EventId(i64::MAX)).await.unwrap();
                    }
                    _ => {}
                }
            }
            while delivered.len() < appended {
                delivered.extend(ids(&feed.next(5).await));
            }
            let all: Vec<i64> = (1..=appended as i64).collect();
            assert_eq!(delivered, all);
            // After a crash, unfinished events come again from the start.
            let env = env.crashed();
            let open: Vec<i64> = all.into_iter().filter(|id| !finished.contains(id)).collect();
            assert_eq!(ids(&drain(&mut env.store.feed().unwrap(), 7).await), open);
        });
    }
}

#[tokio::test]
async fn feed_resumes_unfinished_events_after_a_start() {
    let env = TestEnv::new();
    for id in ["a", "b", "c", "d"] {
        env.append(vec![NewEvent { placement: Placement::Nowhere, ..from("1", id) }]).await;
    }
    let subscribers: Vec<PluginNo> = (1..=65).map(PluginNo).collect();
    let subscriber_list = env.store.subscriber_list(subscribers.clone()).await.unwrap();
    assert_eq!(env.store.subscriber_list(subscribers.clone()).await.unwrap(), subscriber_list);
    let all = Progress { subscriber_list, overflow_count: 2, ..progress(EventId(1), 0b101, i64::MAX) };
    let begun = Progress { done_overflow: vec![PluginNo(64)], ending: CLAIMED, ..all.clone() };
    env.store.commit(Commit { progress: begun, ..env.commit(EventId(1), PluginNo(3)) }).await.unwrap();
    env.store.finish(progress(EventId(2), 0, 0), env.store.fence()).await.unwrap();
    // The store verifies the claim of its caller.
    assert_eq!(env.store.finished_below(EventId(4)).await.unwrap(), EventId(1));

    let env = env.crashed();
    let fed = drain(&mut env.store.feed().unwrap(), 10).await;
    assert_eq!(ids(&fed), [1, 3, 4]);
    assert_eq!(fed[1].resume, None);
    let ending = Some(Ending::Claimed(PluginNo(1)));
    let resume = Resume {
        subscriber_list,
        subscribers,
        done: 0b101,
        done_overflow: vec![PluginNo(64)],
        failing: vec![],
        ending,
    };
    assert_eq!(fed[0].resume, Some(resume));

    // The rest of the mask finishes it only together with the overflow.
    let fence = env.store.fence();
    env.store.finish(Progress { done: i64::MAX, ..all.clone() }, fence).await.unwrap();
    assert_eq!(env.store.finished_below(EventId(2)).await.unwrap(), EventId(1));
    env.store.finish(Progress { done: 0, done_overflow: vec![PluginNo(65)], ..all }, fence).await.unwrap();
    assert_eq!(env.store.finished_below(EventId(9)).await.unwrap(), EventId(3));
}

#[tokio::test]
async fn unreadable_event_does_not_block_the_feed() {
    let env = TestEnv::new();
    for id in ["a", "b", "c", "d"] {
        env.append(vec![NewEvent { placement: Placement::Nowhere, ..from("1", id) }]).await;
    }
    let damage = "UPDATE event_bodies SET body = '{\"event\":\"of tomorrow\"}' WHERE id IN (1, 3)";
    rusqlite::Connection::open(env.db()).unwrap().execute_batch(damage).unwrap();
    let env = env.crashed();
    let mut feed = env.store.feed().unwrap();
    assert_eq!(ids(&feed.next(1).await), [2]);
    assert_eq!(ids(&feed.next(9).await), [4]);
    assert_eq!(env.reader.event(EventId(1)).unwrap_err().to_string().split(':').next(), Some(UNREADABLE));
}

const UNREADABLE: &str = "event 1 cannot be read by this version";

#[tokio::test]
async fn feed_ends_after_close_when_drained() {
    let env = TestEnv::new();
    let mut feed = env.store.feed().unwrap();
    env.append(vec![from("31600000001", "a")]).await;
    env.store.clone().close();
    assert_eq!(ids(&feed.next(1).await), [1]);
    assert_eq!(ids(&feed.next(9).await), [2]);
    assert!(feed.next(9).await.is_empty());
}
