//! A plugin's state as a whole: copied beside itself, changed, taken, left, gone back to, forgotten.

use crate::env::*;
use beadle_model::effect::StateWrite;
use beadle_model::{ContactId, PluginNo, Scope, StateNo};
use beadle_store::step::*;
use beadle_store::{Retention, StateCursor, StoreError};

const PLUGIN: PluginNo = PluginNo(1);
const FIRST: StateNo = StateNo(1);

/// A plugin with values about many people, some of them large.
async fn keeping(env: &TestEnv, people: i64) -> u64 {
    assert_eq!(env.store.plugin_no("tester").await.unwrap(), PLUGIN);
    let event = env.said(from("31600000001", "wamid.in")).await.id;
    let large = "x".repeat(3000);
    let state: Vec<StateWrite> = (1..=people)
        .flat_map(|n| {
            let scope = Scope::Contact(ContactId(n));
            [set(scope, "step", &n.to_string()), set(scope, "story", &large)]
        })
        .chain([set(Scope::Plugin, "all", "1"), StateWrite::Add { scope: Scope::Plugin, key: "n".into(), delta: 4 }])
        .collect();
    env.store.commit(Commit { state, ..env.commit(event, PLUGIN) }).await.unwrap();
    env.reader.state_bytes(FIRST).unwrap()
}

async fn copy(env: &TestEnv, from: StateNo, to: StateNo) -> usize {
    let (mut after, mut slices) = (None, 0);
    loop {
        after = env.store.copy_state(from, to, after, env.clock.now()).await.unwrap();
        slices += 1;
        if after.is_none() {
            return slices;
        }
    }
}

/// All of a state, by pages.
fn all(env: &TestEnv, state: StateNo, page: (usize, usize)) -> Vec<(StateCursor, Vec<u8>)> {
    let mut all: Vec<(StateCursor, Vec<u8>)> = Vec::new();
    loop {
        let after = all.last().map(|(place, _)| place.clone());
        let page = env.reader.state_page(state, after.as_ref(), page, env.clock.now()).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page.into_iter().map(|entry| (entry.place(), entry.value)));
    }
}

#[tokio::test]
async fn a_copy_is_the_same_and_nobody_sees_it_until_it_is_taken() {
    let env = TestEnv::new();
    let bytes = keeping(&env, 800).await;
    let draft = env.store.begin_state(PLUGIN, 2).await.unwrap();
    assert!(copy(&env, FIRST, draft).await > 1, "it takes more than one slice");
    assert_eq!(env.reader.state_bytes(draft).unwrap(), bytes);
    let whole = all(&env, FIRST, (1000, usize::MAX));
    assert_eq!(whole.len(), 1602);
    assert_eq!(all(&env, draft, (7, 10_000)), whole, "in small pages as in large ones");
    env.store.change_state(draft, vec![set(Scope::Plugin, "all", "2")], NOW).await.unwrap();
    let one = |state| env.reader.state_get(state, Scope::Plugin, "all", NOW).unwrap().unwrap().0;
    assert_eq!((one(FIRST), one(draft)), (b"1".to_vec(), b"2".to_vec()));
    assert_eq!(env.reader.state_of(PLUGIN).unwrap(), FIRST);

    env.store.take_state(PLUGIN, draft, true, "{}".into(), NOW).await.unwrap();
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert_eq!((has.no, has.version, has.values, has.retired_at), (draft, 2, 1602, None));
    assert_eq!(left.map(|left| (left.no, left.version, left.retired_at)), Some((FIRST, 0, Some(NOW))));
    let env = env.reopen();
    assert_eq!(env.reader.state_of(PLUGIN).unwrap(), draft);
    // Back: what was taken is forgotten, what was left is as it was.
    env.store.take_state(PLUGIN, FIRST, false, "{}".into(), NOW).await.unwrap();
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert_eq!((has.no, has.version, left), (FIRST, 0, None));
    assert_eq!(all(&env, FIRST, (1000, usize::MAX)), whole);
    while env.store.retain(Retention::default(), NOW).await.unwrap().more {}
    assert!(all(&env, draft, (10, 10)).is_empty());
    assert_eq!(all(&env, FIRST, (1000, usize::MAX)), whole);
}

#[tokio::test]
async fn what_a_crash_leaves_behind_is_swept_and_what_is_being_made_is_not() {
    let env = TestEnv::new();
    keeping(&env, 10).await;
    let draft = env.store.begin_state(PLUGIN, 2).await.unwrap();
    copy(&env, FIRST, draft).await;
    env.store.retain(Retention::default(), NOW).await.unwrap();
    assert_eq!(all(&env, draft, (100, 100_000)).len(), 22, "somebody makes it");
    let env = env.crashed();
    assert_eq!(env.reader.state_of(PLUGIN).unwrap(), FIRST);
    env.store.retain(Retention::default(), NOW).await.unwrap();
    assert!(all(&env, draft, (100, 100_000)).is_empty());
    assert_eq!(all(&env, FIRST, (100, 100_000)).len(), 22);
    // One that was given up goes at once.
    let draft = env.store.begin_state(PLUGIN, 3).await.unwrap();
    copy(&env, FIRST, draft).await;
    env.store.forget_state(draft).await.unwrap();
    assert_eq!(number(&env, "SELECT count(*) FROM states"), 1);
    assert_eq!(number(&env, "SELECT count(*) FROM state_values"), 22);
}

#[tokio::test]
async fn one_is_kept_to_go_back_to_for_a_while_and_a_purge_takes_all() {
    let env = TestEnv::new();
    keeping(&env, 3).await;
    for version in [2, 3] {
        let had = env.reader.state_of(PLUGIN).unwrap();
        let draft = env.store.begin_state(PLUGIN, version).await.unwrap();
        copy(&env, had, draft).await;
        env.store.take_state(PLUGIN, draft, true, "{}".into(), env.clock.now()).await.unwrap();
    }
    let left = env.reader.plugin_states(PLUGIN).unwrap().1.unwrap();
    assert_eq!(left.version, 2, "the last one, and no other");
    env.store.retain(Retention::default(), env.clock.now()).await.unwrap();
    assert_eq!(number(&env, "SELECT count(*) FROM states"), 2);
    env.manual.advance_ms(31 * DAY);
    env.store.retain(Retention::default(), env.clock.now()).await.unwrap();
    assert_eq!(env.reader.plugin_states(PLUGIN).unwrap().1, None);
    let purged = env.store.purge_plugin(PLUGIN).await.unwrap();
    assert_eq!(purged.values, 8);
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert_eq!((has.version, has.values, left), (0, 0, None));
}

#[tokio::test]
async fn what_has_expired_is_not_copied() {
    let env = TestEnv::new();
    keeping(&env, 1).await;
    let soon = env.clock.now().plus_ms(HOUR);
    let write = StateWrite::Set { scope: Scope::Plugin, key: "soon".into(), value: vec![1], expires_at: Some(soon) };
    env.store.change_state(FIRST, vec![write], env.clock.now()).await.unwrap();
    env.manual.advance_ms(2 * HOUR);
    let draft = env.store.begin_state(PLUGIN, 2).await.unwrap();
    copy(&env, FIRST, draft).await;
    assert!(all(&env, draft, (100, 100_000)).iter().all(|((_, key), _)| key != "soon"));
}

#[tokio::test]
async fn a_copy_that_missed_what_a_merge_moved_is_not_taken() {
    let env = TestEnv::new();
    keeping(&env, 3).await;
    let (keep, gone) = (env.said(from("31600000002", "wamid.2")).await, env.said(from("31600000003", "wamid.3")).await);
    let whose = |event: &beadle_model::Event| event.conversation.as_ref().unwrap().contact.id;
    let draft = env.store.begin_state(PLUGIN, 2).await.unwrap();
    copy(&env, FIRST, draft).await;
    env.store.merge_contacts(whose(&keep), whose(&gone), false).await.unwrap();
    let refused = [
        env.store.take_state(PLUGIN, draft, true, "{}".into(), NOW).await,
        env.store.change_state(draft, vec![set(Scope::Plugin, "all", "2")], NOW).await,
        env.store.copy_state(FIRST, draft, None, NOW).await.map(drop),
    ];
    assert!(refused.iter().all(|refused| matches!(refused, Err(StoreError::StateMoved))), "{refused:?}");
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert_eq!((has.no, left), (FIRST, None));
    // One that was begun afterwards is.
    let again = env.store.begin_state(PLUGIN, 2).await.unwrap();
    copy(&env, FIRST, again).await;
    env.store.take_state(PLUGIN, again, true, "{}".into(), NOW).await.unwrap();
    assert_eq!(env.reader.state_of(PLUGIN).unwrap(), again);
    // What somebody has, or could go back to, is not forgotten as a copy is.
    for state in [FIRST, draft, again] {
        env.store.forget_state(state).await.unwrap();
    }
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert!(has.no == again && has.values > 0 && left.is_some_and(|left| left.no == FIRST && left.values > 0));
}
