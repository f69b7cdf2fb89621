//! Quotas: state, timers and files of a plugin, checked at commit.

use crate::env::*;
use beadle_model::effect::{NewMedia, StateWrite, TimerWrite};
use beadle_model::{Coded, EventId, MediaId, PluginNo, Scope};
use beadle_store::step::*;
use beadle_store::{StoreError, TIMER_ROW_BYTES};

const PLUGIN: PluginNo = PluginNo(1);

async fn environment() -> (TestEnv, EventId) {
    let env = TestEnv::new();
    assert_eq!(env.store.plugin_no("welcome").await.unwrap(), PLUGIN);
    let event = env.append_one(from("31600000001", "in")).await;
    (env, event.id)
}

fn quota(state_bytes: u64) -> Quotas {
    Quotas { state_bytes, ..Quotas::NONE }
}

fn value(key: &str, bytes: usize) -> StateWrite {
    StateWrite::Set { scope: Scope::Plugin, key: key.into(), value: vec![b'x'; bytes], expires_at: None }
}

fn delete(key: &str) -> StateWrite {
    StateWrite::Delete { scope: Scope::Plugin, key: key.into() }
}

fn used(env: &TestEnv) -> u64 {
    env.reader.quota_bytes(PLUGIN, env.reader.state_of(PLUGIN).unwrap()).unwrap()
}

#[tokio::test]
async fn two_handlings_that_fit_each_are_refused_together() {
    let (env, event) = environment().await;
    // Both have read the same free space.
    let commit = |key: &str| Commit { state: vec![value(key, 599)], quotas: quota(1000), ..env.commit(event, PLUGIN) };
    let (one, two) = tokio::join!(env.store.commit(commit("a")), env.store.commit(commit("b")));
    one.unwrap();
    let error = two.unwrap_err();
    assert!(matches!(error, StoreError::OverQuota { after: 1200, quota: 1000, .. }), "{error}");
    assert_eq!((error.code(), error.blame(), error.retried()), ("over-quota", beadle_model::Blame::Plugin, false));
    assert!(error.is_refusal());
    assert_eq!(used(&env), 600);
    // The refused step did not roll back its group.
    assert_eq!(env.store.health().rollbacks, 0);
}

#[tokio::test]
async fn replaced_and_deleted_values_make_room() {
    let (env, event) = environment().await;
    let commit = async |state: Vec<StateWrite>| {
        env.store.commit(Commit { state, quotas: quota(1000), ..env.commit(event, PLUGIN) }).await
    };
    commit(vec![value("a", 499), value("b", 499)]).await.unwrap();
    assert_eq!(used(&env), 1000);
    commit(vec![value("a", 100), value("c", 300)]).await.unwrap();
    commit(vec![value("c", 900), value("c", 300), delete("b"), value("d", 400)]).await.unwrap();
    let counter = StateWrite::Add { scope: Scope::Plugin, key: "n".into(), delta: 1 };
    commit(vec![counter]).await.unwrap();
    assert_eq!(used(&env), (1 + 100) + (1 + 300) + (1 + 400) + (1 + 8));
    commit(vec![value("e", 300)]).await.unwrap_err();
    commit(vec![delete("d"), value("e", 300)]).await.unwrap();
}

#[tokio::test]
async fn counter_above_the_quota_is_refused() {
    let (env, event) = environment().await;
    let commit = async |state: Vec<StateWrite>| {
        env.store.commit(Commit { state, quotas: quota(1000), ..env.commit(event, PLUGIN) }).await
    };
    let add = |key: &str| StateWrite::Add { scope: Scope::Plugin, key: key.into(), delta: 1 };
    commit(vec![value("a", 989), add("n")]).await.unwrap();
    assert_eq!(used(&env), 990 + 9);
    let error = commit(vec![add("n"), add("m")]).await.unwrap_err();
    assert!(matches!(error, StoreError::OverQuota { after: 1008, quota: 1000, .. }), "{error}");
    commit(vec![add("n")]).await.unwrap();
}

#[tokio::test]
async fn plugin_above_a_lowered_quota_can_shrink() {
    let (env, event) = environment().await;
    let commit = async |state: Vec<StateWrite>, bytes| {
        env.store.commit(Commit { state, quotas: quota(bytes), ..env.commit(event, PLUGIN) }).await
    };
    commit(vec![value("a", 999)], 1000).await.unwrap();
    commit(vec![value("a", 900)], 100).await.unwrap();
    commit(vec![value("a", 901)], 100).await.unwrap_err();
    commit(vec![delete("a")], 100).await.unwrap();
}

#[tokio::test]
async fn timers_count_with_key_payload_and_row() {
    let (env, event) = environment().await;
    let row = TIMER_ROW_BYTES as u64;
    let commit = async |timers: Vec<TimerWrite>| {
        env.store.commit(Commit { timers, quotas: quota(3 * (row + 2)), ..env.commit(event, PLUGIN) }).await
    };
    let set = |key: &str, due_at| timer(key, NOW.plus_ms(due_at));
    commit(vec![set("a", 1), set("b", 2), set("c", 3)]).await.unwrap();
    assert_eq!(used(&env), 3 * (row + 2));
    assert_eq!(env.reader.timer_bytes(PLUGIN, Scope::Plugin, "a").unwrap(), row + 2);
    assert!(matches!(commit(vec![set("d", 4)]).await, Err(StoreError::OverQuota { .. })));
    // Replacing and moving one needs no room.
    let moved = TimerWrite::Move { scope: Scope::Plugin, key: "b".into(), due_at: NOW.plus_ms(9) };
    commit(vec![set("a", 5), moved]).await.unwrap();
    let cancel = TimerWrite::Cancel { scope: Scope::Plugin, key: "b".into() };
    commit(vec![cancel, set("d", 4)]).await.unwrap();
    // A fired timer makes room.
    env.store.fire_timers(NOW.plus_ms(3), 10).await.unwrap();
    assert_eq!(used(&env), 2 * (row + 2));
    env.store.purge_plugin(PLUGIN).await.unwrap();
    assert_eq!(used(&env), 0);
}

#[tokio::test]
async fn files_of_two_handlings_are_refused_together() {
    let (env, event) = environment().await;
    let quotas = Quotas { media_bytes: 100, ..Quotas::NONE };
    let file = |id| NewMedia {
        media: MediaId(id),
        mime_type: "image/png".into(),
        filename: None,
        sha256: String::new(),
        bytes: 60,
    };
    let commit = |id| Commit { media: vec![file(id)], quotas, ..env.commit(event, PLUGIN) };
    env.store.commit(commit(1)).await.unwrap();
    assert!(matches!(env.store.commit(commit(2)).await, Err(StoreError::OverQuota { resource: "files", .. })));
    assert_eq!((env.reader.media_made_by(PLUGIN).unwrap(), env.reader.media_total().unwrap()), (60, (1, 60)));
}
