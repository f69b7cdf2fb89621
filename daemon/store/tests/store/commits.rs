//! Commits: all or nothing, and nothing that is based on stale reads.

use crate::env::*;
use beadle_model::effect::{StateRead, StateWrite};
use beadle_model::{ContactId, Ending, EventId, PluginNo, Scope, StateNo, Timestamp};
use beadle_store::StoreError;
use beadle_store::step::*;
use beadle_store::views::EventState;

const PLUGIN: PluginNo = PluginNo(1);
const STATE: StateNo = StateNo(1);
const SCOPE: Scope = Scope::Plugin;

async fn an_event(env: &TestEnv) -> EventId {
    assert_eq!(env.store.plugin_no("tester").await.unwrap(), PLUGIN);
    env.append_one(from("31600000001", "wamid.in")).await.id
}

async fn write(env: &TestEnv, event: EventId, state: Vec<StateWrite>) {
    env.store.commit(Commit { state, ..env.commit(event, PLUGIN) }).await.unwrap();
}

fn get(env: &TestEnv, key: &str) -> Option<String> {
    let found = env.reader.state_get(STATE, SCOPE, key, env.clock.now()).unwrap();
    found.map(|(value, _)| String::from_utf8(value).unwrap())
}

fn version(env: &TestEnv, key: &str) -> Option<i64> {
    env.reader.state_get(STATE, SCOPE, key, env.clock.now()).unwrap().map(|(_, version)| version)
}

#[tokio::test]
async fn stale_read_writes_nothing() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    write(&env, event, vec![set(SCOPE, "a", "1"), set(SCOPE, "ab", "2")]).await;
    let seen = version(&env, "a");
    let next = env.store.reserve_message();
    let commit = |reads| Commit {
        reads,
        state: vec![set(SCOPE, "out", "x")],
        timers: vec![timer("t", NOW)],
        media: vec![],
        sends: vec![new_send(next, beadle_model::ConversationId(1), SendState::Queued, NOW)],
        progress: progress(event, 2, 3),
        ..env.commit(event, PLUGIN)
    };
    write(&env, event, vec![set(SCOPE, "a", "3")]).await;
    for reads in [
        vec![read_of(SCOPE, "a", seen)],
        vec![read_of(SCOPE, "a", None)],
        vec![read_of(SCOPE, "missing", Some(1))],
        vec![read_of(SCOPE, "missing", None), read_of(SCOPE, "ab", Some(7))],
    ] {
        let error = env.store.commit(commit(reads)).await.unwrap_err();
        assert!(matches!(error, StoreError::StaleRead { .. }), "{error}");
    }
    assert_eq!(get(&env, "out"), None);
    assert!(due_sends(&env.reader, NOW, 10).is_empty());
    assert_eq!(env.store.fire_timers(NOW, 10).await.unwrap(), (0, None));
    let reads = vec![read_of(SCOPE, "a", version(&env, "a")), read_of(SCOPE, "missing", None)];
    env.store.commit(commit(reads)).await.unwrap();
    assert_eq!(get(&env, "out").as_deref(), Some("x"));
}

#[tokio::test]
async fn listing_is_stale_after_any_change_in_its_range() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    let keys = ["k1", "k2", "k3", "k4", "l"];
    write(&env, event, keys.iter().map(|key| set(SCOPE, key, "v")).collect()).await;
    let list = |after: Option<&str>, limit| {
        let found = env.reader.state_scan(STATE, SCOPE, "k", after, limit, NOW).unwrap();
        found.into_iter().map(|(key, _, version)| (key, version)).collect::<Vec<_>>()
    };
    let scan = |after: Option<&str>, until: Option<&str>, seen| StateRead::Scan {
        scope: SCOPE,
        prefix: "k".into(),
        after: after.map(Into::into),
        until: until.map(Into::into),
        seen,
    };
    let (all, two) = (list(None, 100), list(Some("k1"), 2));
    assert_eq!((all.len(), two.len(), two[1].0.as_str()), (4, 2, "k3"));
    let whole = || scan(None, None, all.clone());
    let part = || scan(Some("k1"), Some("k3"), two.clone());
    // The concurrent change, and whether the whole and the partial listing are still fresh.
    let table: [(StateWrite, bool, bool); 6] = [
        (set(SCOPE, "l", "other"), true, true),
        (set(Scope::Contact(ContactId(1)), "k2", "theirs"), true, true),
        (set(SCOPE, "k5", "new"), false, true),
        (StateWrite::Delete { scope: SCOPE, key: "k5".into() }, true, true),
        (set(SCOPE, "k1", "changed"), false, true),
        (StateWrite::Delete { scope: SCOPE, key: "k2".into() }, false, false),
    ];
    for (write_now, whole_fresh, part_fresh) in table {
        let case = format!("{write_now:?}");
        write(&env, event, vec![write_now]).await;
        for (read, fresh) in [(whole(), whole_fresh), (part(), part_fresh)] {
            let outcome = env.store.commit(Commit { reads: vec![read], ..env.commit(event, PLUGIN) }).await;
            assert_eq!(outcome.is_ok(), fresh, "{case}");
        }
    }
}

#[tokio::test]
async fn counters_add_and_never_conflict() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    let add = |key: &str, delta| StateWrite::Add { scope: SCOPE, key: key.into(), delta };
    write(&env, event, vec![add("n", 2), add("n", -5), set(SCOPE, "text", "40"), set(SCOPE, "word", "many")]).await;
    write(&env, event, vec![add("n", 1), add("text", 2), add("word", 1), add("most", i64::MAX)]).await;
    write(&env, event, vec![add("most", 1)]).await;
    let now = |key| get(&env, key).unwrap();
    assert_eq!((now("n"), now("text"), now("word")), ("-2".into(), "42".into(), "1".into()));
    assert_eq!(now("most"), i64::MAX.to_string());
    // Concurrent additions: none is lost.
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (store, state) = (env.store.clone(), vec![add("n", 1)]);
            let commit = Commit { state, ..env.commit(event, PLUGIN) };
            tokio::spawn(async move { store.commit(commit).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(now("n"), "98");
}

#[tokio::test]
async fn expired_values_are_hidden_deleted_and_uncounted() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    let expires_at = Some(NOW.plus_ms(1000));
    let value = StateWrite::Set { scope: SCOPE, key: "k".into(), value: b"12345".to_vec(), expires_at };
    write(
        &env,
        event,
        vec![value, set(SCOPE, "stays", "x"), StateWrite::Add { scope: SCOPE, key: "n".into(), delta: 1 }],
    )
    .await;
    assert_eq!(env.reader.state_bytes(STATE).unwrap(), 6 + 6 + 9);
    let seen = version(&env, "k");
    env.manual.advance_ms(1000);
    assert_eq!(get(&env, "k"), None);
    assert_eq!(env.reader.state_scan(STATE, SCOPE, "", None, 10, env.clock.now()).unwrap().len(), 2);
    let reads = vec![read_of(SCOPE, "k", seen)];
    assert!(env.store.commit(Commit { reads, ..env.commit(event, PLUGIN) }).await.is_err());
    let swept = env.store.retain(beadle_store::Retention::default(), env.clock.now()).await.unwrap();
    assert_eq!((swept.state, env.reader.state_bytes(STATE).unwrap()), (1, 15));
    write(&env, event, vec![set(SCOPE, "stays", "xyz"), StateWrite::Delete { scope: SCOPE, key: "n".into() }]).await;
    assert_eq!(env.reader.state_bytes(STATE).unwrap(), 8);
}

#[tokio::test]
async fn listing_by_prefix_handles_all_characters() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    let keys = ["a", "a%b", "a_b", "ab", "b", "\u{10ffff}", "\u{10ffff}x", "é1", "é2"];
    write(&env, event, keys.iter().map(|key| set(SCOPE, key, "v")).collect()).await;
    let list = |prefix: &str, after: Option<&str>| {
        let found = env.reader.state_scan(STATE, SCOPE, prefix, after, 10, NOW).unwrap();
        found.into_iter().map(|(key, ..)| key).collect::<Vec<_>>()
    };
    assert_eq!(list("a", None), ["a", "a%b", "a_b", "ab"]);
    assert_eq!(list("a", Some("a_b")), ["ab"]);
    assert_eq!(list("a%", None), ["a%b"]);
    assert_eq!(list("é", Some("a")), ["é1", "é2"]);
    assert_eq!(list("\u{10ffff}", None), ["\u{10ffff}", "\u{10ffff}x"]);
    assert_eq!(list("a", Some("b")), Vec::<String>::new());
    assert_eq!(list("", None).len(), keys.len());
}

#[tokio::test]
async fn old_fence_is_refused() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    let old = env.commit(event, PLUGIN);
    let env = env.reopen();
    assert_eq!(env.store.fence().0, old.fence.0 + 1);
    let unhandled = Unhandled {
        fence: old.fence,
        plugin: PLUGIN,
        state: UnhandledState::DeadLetter,
        attempts: 1,
        code: "trap".into(),
        error: String::new(),
        at: NOW,
        progress: progress(event, 1, 1),
        refused: Default::default(),
    };
    for outcome in [
        env.store.finish(progress(event, 1, 1), old.fence).await,
        env.store.record_unhandled(unhandled).await,
        env.store.commit(old).await,
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::Fenced { .. }) && error.is_fatal(), "{error}");
    }
    assert_eq!(env.reader.event_details(event).unwrap().unwrap().row.state, EventState::New);
}

#[tokio::test]
async fn progress_merges_and_the_first_ending_and_list_stand() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    let subscriber_list = env.store.subscriber_list(vec![PluginNo(1), PluginNo(2), PluginNo(3)]).await.unwrap();
    let other = env.store.subscriber_list(vec![PluginNo(9)]).await.unwrap();
    let step = |done, ending| Progress { subscriber_list, ending, ..progress(event, done, 0b111) };
    let details = || env.reader.event_details(event).unwrap().unwrap();
    let commit = |progress| env.store.commit(Commit { progress, ..env.commit(event, PLUGIN) });
    commit(step(0b010, None)).await.unwrap();
    assert_eq!((details().row.state, details().done), (EventState::Begun, vec![PluginNo(2)]));
    commit(step(0b001, CLAIMED)).await.unwrap();
    // The bits of another list do not count.
    commit(Progress { subscriber_list: other, ..progress(event, 1, 1) }).await.unwrap();
    assert_eq!(details().row.state, EventState::Begun);
    commit(step(0b100, Some(Ending::Passed))).await.unwrap();
    assert_eq!((details().row.state, details().row.ending, details().done.len()), (EventState::Finished, CLAIMED, 3));
    commit(step(0b100, None)).await.unwrap();
    assert_eq!(details().row.state, EventState::Finished);
    assert!(commit(progress(EventId(99), 1, 1)).await.is_err());
}

#[tokio::test]
async fn failed_handling_is_listed_until_it_succeeds() {
    let env = TestEnv::new();
    let event = an_event(&env).await;
    let failed = |attempts| FailedAttempt {
        event,
        plugin: PLUGIN,
        is_waiting: false,
        attempts,
        code: "trap".into(),
        error: "é".repeat(5000),
        next_at: NOW.plus_ms(100),
    };
    env.store.record_failed_attempt(failed(1)).await.unwrap();
    env.store.record_failed_attempt(failed(2)).await.unwrap();
    let env = env.crashed();
    let rows = env.reader.event_details(event).unwrap().unwrap().handlings;
    assert_eq!((rows.len(), rows[0].state, rows[0].attempts), (1, "failing", 2));
    assert_eq!(rows[0].error.as_ref().unwrap().len(), 4096);
    env.store.commit(env.commit(event, PLUGIN)).await.unwrap();
    let rows = env.reader.event_details(event).unwrap().unwrap().handlings;
    assert_eq!((rows[0].state, rows[0].next_at), ("done", None));
}

#[tokio::test]
async fn names_keep_their_numbers_across_restarts() {
    let env = TestEnv::new();
    let (a, b) = (env.store.plugin_no("a").await.unwrap(), env.store.plugin_no("b").await.unwrap());
    assert!(a != b && a != PluginNo::HOST && env.store.plugin_no("a").await.unwrap() == a);
    let (install, key) = (env.store.install().to_owned(), env.store.host_key());
    assert_eq!((install.len(), key == [0; 32]), (8, false));
    let env = env.reopen();
    assert_eq!(env.store.plugin_no("b").await.unwrap(), b);
    assert_eq!(env.reader.plugin_names().unwrap(), [(a, "a".into()), (b, "b".into())]);
    assert_eq!((env.store.install(), env.store.host_key()), (install.as_str(), key));
    assert_eq!(env.clock.now(), Timestamp(NOW.0));
}
