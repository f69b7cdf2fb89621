//! Whole states: copied, changed, taken, retired, restored, deleted.

use crate::env::*;
use beadle_model::effect::StateWrite;
use beadle_model::{ContactId, PluginNo, Scope, StateNo};
use beadle_store::step::*;
use beadle_store::{Retention, StateCursor, StoreError};

const PLUGIN: PluginNo = PluginNo(1);
const FIRST: StateNo = StateNo(1);

/// A plugin with values about many contacts, some of them large.
async fn keeping(env: &TestEnv, people: i64) -> u64 {
    assert_eq!(env.store.plugin_no("tester").await.unwrap(), PLUGIN);
    let event = env.append_one(from("31600000001", "wamid.in")).await.id;
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

/// A whole state, read page by page.
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
async fn copy_is_equal_and_invisible_until_taken() {
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
    // A rollback: the new state is abandoned, the previous one is unchanged.
    env.store.take_state(PLUGIN, FIRST, false, "{}".into(), NOW).await.unwrap();
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert_eq!((has.no, has.version, left), (FIRST, 0, None));
    assert_eq!(all(&env, FIRST, (1000, usize::MAX)), whole);
    while env.store.retain(Retention::default(), NOW).await.unwrap().more {}
    assert!(all(&env, draft, (10, 10)).is_empty());
    assert_eq!(all(&env, FIRST, (1000, usize::MAX)), whole);
}

#[tokio::test]
async fn abandoned_drafts_are_deleted_and_active_ones_kept() {
    let env = TestEnv::new();
    keeping(&env, 10).await;
    let draft = env.store.begin_state(PLUGIN, 2).await.unwrap();
    copy(&env, FIRST, draft).await;
    env.store.retain(Retention::default(), NOW).await.unwrap();
    assert_eq!(all(&env, draft, (100, 100_000)).len(), 22, "the draft is in use");
    let env = env.crashed();
    assert_eq!(env.reader.state_of(PLUGIN).unwrap(), FIRST);
    env.store.retain(Retention::default(), NOW).await.unwrap();
    assert!(all(&env, draft, (100, 100_000)).is_empty());
    assert_eq!(all(&env, FIRST, (100, 100_000)).len(), 22);
    // An abandoned draft is deleted at once.
    let draft = env.store.begin_state(PLUGIN, 3).await.unwrap();
    copy(&env, FIRST, draft).await;
    env.store.forget_state(draft).await.unwrap();
    assert_eq!(number(&env, "SELECT count(*) FROM states"), 1);
    assert_eq!(number(&env, "SELECT count(*) FROM state_values"), 22);
}

#[tokio::test]
async fn previous_state_is_kept_for_a_while() {
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
    env.run_days(31).await;
    env.store.retain(Retention::default(), env.clock.now()).await.unwrap();
    assert_eq!(env.reader.plugin_states(PLUGIN).unwrap().1, None);
    let purged = env.store.purge_plugin(PLUGIN).await.unwrap();
    assert_eq!(purged.values, 8);
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert_eq!((has.version, has.values, left), (0, 0, None));
}

#[tokio::test]
async fn expired_values_are_not_copied() {
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
async fn copy_made_during_a_merge_is_refused() {
    let env = TestEnv::new();
    keeping(&env, 3).await;
    let (keep, removed) =
        (env.append_one(from("31600000002", "wamid.2")).await, env.append_one(from("31600000003", "wamid.3")).await);
    let whose = |event: &beadle_model::Event| event.conversation.as_ref().unwrap().contact.id;
    let draft = env.store.begin_state(PLUGIN, 2).await.unwrap();
    copy(&env, FIRST, draft).await;
    env.store.merge_contacts(whose(&keep), whose(&removed), false).await.unwrap();
    let refused = [
        env.store.take_state(PLUGIN, draft, true, "{}".into(), NOW).await,
        env.store.change_state(draft, vec![set(Scope::Plugin, "all", "2")], NOW).await,
        env.store.copy_state(FIRST, draft, None, NOW).await.map(drop),
    ];
    assert!(refused.iter().all(|refused| matches!(refused, Err(StoreError::StateMoved))), "{refused:?}");
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert_eq!((has.no, left), (FIRST, None));
    // A later draft can be taken.
    let again = env.store.begin_state(PLUGIN, 2).await.unwrap();
    copy(&env, FIRST, again).await;
    env.store.take_state(PLUGIN, again, true, "{}".into(), NOW).await.unwrap();
    assert_eq!(env.reader.state_of(PLUGIN).unwrap(), again);
    // A current or previous state is not deleted as a draft.
    for state in [FIRST, draft, again] {
        env.store.forget_state(state).await.unwrap();
    }
    let (has, left) = env.reader.plugin_states(PLUGIN).unwrap();
    assert!(has.no == again && has.values > 0 && left.is_some_and(|left| left.no == FIRST && left.values > 0));
}
