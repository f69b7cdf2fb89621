//! Timers: due in order, each once.

use crate::env::*;
use beadle_model::effect::TimerWrite;
use beadle_model::{EventBody, PluginNo, Scope, Timestamp};
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
    let of = |key: &str, payload: &str| (key.to_owned(), payload.as_bytes().to_vec());
    assert_eq!(fired(&env), [of("a", "new"), of("a", "theirs"), of("c", "c")]);
}
