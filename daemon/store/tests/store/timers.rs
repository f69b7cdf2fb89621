//! Timers: due in order, each once.

use crate::env::*;
use beadle_model::effect::TimerWrite;
use beadle_model::{EventBody, EventId, EventKind, PluginNo, Scope, Timestamp};
use beadle_store::step::*;

fn fired(env: &TestEnv) -> Vec<(String, Vec<u8>)> {
    let bodies = env.events().into_iter().map(|event| event.body);
    bodies
        .filter_map(|body| if let EventBody::Timer { key, payload, .. } = body { Some((key, payload)) } else { None })
        .collect()
}

async fn write(env: &TestEnv, timers: Vec<TimerWrite>) {
    let event = env.append_one(from("31600000001", &format!("{}", env.events().len()))).await;
    let conversation = event.conversation.as_ref().map(|view| view.id);
    env.store.commit(Commit { timers, conversation, ..env.commit(event.id, PluginNo(1)) }).await.unwrap();
}

#[tokio::test]
async fn timers_fire_in_order_once() {
    let env = TestEnv::new();
    let at = |ms| NOW.plus_ms(ms);
    write(&env, vec![timer("c", at(30)), timer("a", at(10)), timer("b", at(10)), timer("past", Timestamp(1))]).await;
    assert_eq!(env.store.fire_timers(at(9), 10).await.unwrap(), (1, Some(at(10))));
    assert_eq!(env.store.fire_timers(at(40), 2).await.unwrap(), (2, Some(at(30))));
    let crashed = env.crashed();
    for env in [env, crashed] {
        assert_eq!(env.store.fire_timers(at(40), 10).await.unwrap(), (1, None));
        assert_eq!(env.store.fire_timers(at(99), 10).await.unwrap(), (0, None));
        let keys: Vec<_> = fired(&env).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["past", "a", "b", "c"]);
        let last = env.events().pop().unwrap();
        assert_eq!(last.conversation.unwrap().channel.as_ref(), "shop", "it comes back where it was set");
        assert_eq!(last.happened_at, NOW.plus_ms(40).max(last.happened_at));
    }
}

#[tokio::test]
async fn timers_are_replaced_moved_and_cancelled() {
    let env = TestEnv::new();
    let contact = Scope::Contact(beadle_model::ContactId(1));
    let set = |scope, key: &str, payload: &str| TimerWrite::Set {
        scope,
        key: key.into(),
        due_at: NOW,
        payload: payload.into(),
    };
    let plugin = Scope::Plugin;
    write(
        &env,
        vec![set(plugin, "a", "old"), set(contact, "a", "theirs"), set(plugin, "b", "b"), set(plugin, "c", "c")],
    )
    .await;
    let due_at = NOW.plus_ms(5);
    let writes = vec![
        set(plugin, "a", "new"),
        TimerWrite::Cancel { scope: plugin, key: "b".into() },
        TimerWrite::Move { scope: plugin, key: "c".into(), due_at },
        TimerWrite::Move { scope: plugin, key: "not there".into(), due_at },
        TimerWrite::Cancel { scope: plugin, key: "not there".into() },
    ];
    write(&env, writes).await;
    assert_eq!(env.store.fire_timers(NOW, 10).await.unwrap(), (2, Some(due_at)));
    assert_eq!(env.store.fire_timers(due_at, 10).await.unwrap(), (1, None));
    let timer = |key: &str, payload: &str| (key.to_owned(), payload.as_bytes().to_vec());
    assert_eq!(fired(&env), [timer("a", "new"), timer("a", "theirs"), timer("c", "c")]);
}

/// Sets this many timers of a plugin, due at this time.
async fn set_many(env: &TestEnv, plugin: PluginNo, count: usize, due_at: Timestamp) {
    let event = env.append_one(from("31600000001", &format!("set by {plugin:?} at {}", env.events().len()))).await;
    let timers = (0..count).map(|n| timer(&format!("{n}"), due_at)).collect();
    env.store.commit(Commit { timers, ..env.commit(event.id, plugin) }).await.unwrap();
}

/// The number of a plugin's timers that have fired.
fn fired_by(env: &TestEnv, plugin: PluginNo) -> i64 {
    let sql =
        "SELECT count(*) FROM events JOIN event_bodies USING (id) WHERE kind = 5 AND json_extract(body, '$.plugin') = ";
    number(env, &format!("{sql}{}", plugin.0))
}

const HOSTILE: PluginNo = PluginNo(1);
const GOOD: PluginNo = PluginNo(2);

#[tokio::test]
async fn plugin_with_too_many_timers_fires_a_hundred_a_second_and_delays_no_other() {
    let env = TestEnv::new();
    set_many(&env, HOSTILE, 5000, NOW).await;
    set_many(&env, GOOD, 1, NOW.plus_ms(500)).await;
    let second = |n: i64| NOW.plus_ms(n * 1000);
    // The earliest are the hostile plugin's, and the limit of a call is never reached by them.
    assert_eq!(env.store.fire_timers(NOW, 512).await.unwrap(), (100, Some(NOW.plus_ms(500))));
    assert_eq!(env.store.fire_timers(NOW.plus_ms(500), 512).await.unwrap(), (1, Some(second(1))));
    assert_eq!((fired_by(&env, HOSTILE), fired_by(&env, GOOD)), (100, 1));
    for n in 1..=3 {
        assert_eq!(env.store.fire_timers(second(n), 512).await.unwrap(), (100, Some(second(n + 1))));
    }
}

#[tokio::test]
async fn timers_wait_while_a_thousand_of_their_events_are_not_handled() {
    let mut env = TestEnv::new();
    set_many(&env, HOSTILE, 1500, NOW).await;
    let second = |n: i64| NOW.plus_ms(n * 1000);
    for n in 0..20 {
        env.store.fire_timers(second(n), 512).await.unwrap();
        // What is in memory is read again after a restart.
        if n == 5 || n == 15 {
            env = env.reopen();
        }
    }
    assert_eq!(fired_by(&env, HOSTILE), 1000);
    set_many(&env, GOOD, 3, second(20)).await;
    assert_eq!(env.store.fire_timers(second(20), 512).await.unwrap(), (3, Some(second(21))));

    // Handled ones make room, and so do those that became dead letters; those that wait for the
    // plugin do not.
    let events: Vec<_> =
        env.events().iter().filter(|event| event.kind() == EventKind::Timer).map(|event| event.id).collect();
    for event in &events[..10] {
        env.store.commit(env.commit(*event, HOSTILE)).await.unwrap();
    }
    for event in &events[10..20] {
        unhandled(&env, *event, UnhandledState::Waiting).await;
    }
    for event in &events[20..25] {
        unhandled(&env, *event, UnhandledState::DeadLetter).await;
    }
    assert_eq!(env.store.fire_timers(second(22), 512).await.unwrap().0, 15);
    let env = env.reopen();
    assert_eq!(env.store.fire_timers(second(23), 512).await.unwrap().0, 0);
}

async fn unhandled(env: &TestEnv, event: EventId, state: UnhandledState) {
    let (fence, plugin, at) = (env.store.fence(), HOSTILE, NOW);
    let (code, error) = ("trap".into(), "unreachable".into());
    let progress = progress(event, 1, 1);
    env.store
        .record_unhandled(Unhandled {
            fence,
            plugin,
            state,
            attempts: 1,
            code,
            error,
            at,
            progress,
            refused: Default::default(),
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn timers_of_an_absent_plugin_wait() {
    let env = TestEnv::new();
    let (one, two) = (env.store.plugin_no("one").await.unwrap(), env.store.plugin_no("two").await.unwrap());
    set_many(&env, one, 2, NOW).await;
    set_many(&env, two, 2, NOW).await;
    env.store.set_present_plugins(vec![two]).await.unwrap();
    assert_eq!(env.store.fire_timers(NOW, 512).await.unwrap(), (2, None));
    env.store.set_present_plugins(vec![one, two]).await.unwrap();
    assert_eq!(env.store.fire_timers(NOW, 512).await.unwrap(), (2, None));
}

#[tokio::test]
async fn unreadable_timer_delays_no_other() {
    let env = TestEnv::new();
    set_many(&env, GOOD, 3, NOW).await;
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    conn.execute("UPDATE timers SET scope = 99 WHERE key = '0'", []).unwrap();
    conn.execute("UPDATE timers SET key = CAST(x'ff' AS TEXT) WHERE key = '1'", []).unwrap();
    assert_eq!(env.store.fire_timers(NOW, 512).await.unwrap(), (1, Some(Timestamp(i64::MAX))));
    assert_eq!(fired(&env), [("2".to_owned(), b"2".to_vec())]);
}

/// Timers are set two years ahead, for an hour to a year later; then the clock is right again.
#[tokio::test]
async fn timers_set_by_a_clock_that_was_ahead_keep_their_delay() {
    let year = 365 * DAY;
    for restarts in [false, true] {
        let env = TestEnv::new();
        assert_eq!(env.store.plugin_no("reminder").await.unwrap(), PluginNo(1));
        let ahead = NOW.plus_ms(2 * year);
        write(&env, vec![timer("right", NOW.plus_ms(3 * year))]).await;
        env.manual.set(ahead);
        let moved = TimerWrite::Move { scope: Scope::Plugin, key: "moved".into(), due_at: ahead.plus_ms(2 * HOUR) };
        let delayed =
            [("hour", HOUR), ("day", DAY), ("moved", DAY), ("year", year), ("past", -HOUR), ("never", i64::MAX)];
        write(&env, delayed.map(|(key, ms)| timer(key, ahead.plus_ms(ms))).to_vec()).await;
        write(&env, vec![moved]).await;
        env.manual.set(NOW.plus_ms(1000));
        let env = if restarts { env.reopen() } else { env };
        let now = env.clock.now();
        assert_eq!(env.store.fire_timers(now, 10).await.unwrap(), (1, Some(now.plus_ms(HOUR))));
        let mut fired_after = Vec::new();
        for ms in [HOUR, 2 * HOUR, DAY, year, 3 * year] {
            let before = fired(&env).len();
            env.store.fire_timers(now.plus_ms(ms), 10).await.unwrap();
            fired_after.extend(fired(&env).into_iter().skip(before).map(|(key, _)| (key, ms)));
        }
        let expected = [("hour", HOUR), ("moved", 2 * HOUR), ("day", DAY), ("year", year), ("right", 3 * year)];
        assert_eq!(fired_after, expected.map(|(key, ms)| (key.to_owned(), ms)), "{restarts}");
    }
}

#[tokio::test]
async fn clock_corrected_by_minutes_moves_no_timer() {
    let env = TestEnv::new();
    assert_eq!(env.store.plugin_no("reminder").await.unwrap(), PluginNo(1));
    env.manual.advance_ms(9 * 60 * 1000);
    write(&env, vec![timer("a", NOW.plus_ms(HOUR))]).await;
    env.manual.set(NOW);
    assert_eq!(env.store.fire_timers(NOW, 10).await.unwrap(), (0, Some(NOW.plus_ms(HOUR))));
}
