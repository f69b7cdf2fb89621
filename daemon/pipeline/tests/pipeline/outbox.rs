//! What becomes of sends.

use crate::env::{NOW, TestEnv, key, message, message_on_club, queue_texts, sender, until, vacant};
use beadle_model::PluginNo;
use beadle_model::event::{EventKind, Problem};
use beadle_pipeline::{Acceptance, Advice, SendResponse, Stage};
use beadle_store::step::{NewEvent, SendState};
use std::collections::HashMap;

#[tokio::test]
async fn events_in_a_response_reach_subscribers() {
    let mut env = TestEnv::new();
    let plugin = env.store.plugin_no("plugin").await.unwrap();
    assert_eq!(plugin, PluginNo(1));
    env.pipeline.publish(vacant(plugin, Stage::Observe, &[EventKind::ContactChanged]));
    let event = env.receive_text("31612345678", "hello").await;
    // The platform's response names the contact.
    let renamed = NewEvent {
        key: key("renamed"),
        placement: sender("31612345678", Some("Anna")),
        opens_window: false,
        ..message("31612345678", "from the response")
    };
    env.channel.respond_next(SendResponse::Accepted(Acceptance {
        platform_id: Some("wamid.1".into()),
        events: vec![renamed],
        ..Acceptance::default()
    }));
    let before = env.events().iter().filter(|event| event.kind() == EventKind::ContactChanged).count();
    env.queue_text(&event, "hello Anna").await;
    env.next_sent().await;
    until("the plugin gets on-contact-changed", async || {
        env.events().iter().filter(|event| event.kind() == EventKind::ContactChanged).count() > before
    })
    .await;
    assert_eq!(env.events().first().unwrap().received_at, NOW);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_channel_holds_up_no_other() {
    let mut env = TestEnv::new();
    env.pipeline.publish(beadle_pipeline::Subscriptions::new(vec![]));
    env.store.plugin_no("plugin").await.unwrap();
    let problem =
        Problem { code: "131031".into(), title: "Account locked".into(), details: None, by: "platform".into() };
    env.channel.respond_always(Some(SendResponse::Refused(problem, Advice::StopChannel)));
    // More than the channel's share of the memory.
    let mut queued = HashMap::new();
    for person in 0..11 {
        let number = format!("316000000{person:02}");
        let event = env.receive_text(&number, "hello").await;
        for _ in 0..10 {
            let messages = queue_texts(&env.store, &event, &["hi"; 100], SendState::Queued).await;
            queued.entry(number.clone()).or_insert_with(Vec::new).extend(messages);
        }
    }
    let stopped = async |env: &TestEnv| !env.pipeline.outbox().counts().paused.is_empty();
    env.pipeline.outbox().rescan();
    until("the channel is stopped", async || stopped(&env).await).await;
    until("it holds nothing in memory", async || {
        let counts = env.pipeline.outbox().counts();
        counts.waiting == 0 && counts.sending == 0
    })
    .await;
    while env.sent.try_recv().is_ok() {}
    // The other channel sends at once.
    let other = env.receive(message_on_club("31699999999", "hello")).await;
    let message = env.queue_text(&other, "hi").await;
    assert_eq!(env.next_sent().await.message, message);
    // After a minute everything leaves, once and in order.
    env.channel.respond_always(None);
    env.manual.advance_ms(60_000);
    let mut sent: HashMap<String, Vec<_>> = HashMap::new();
    for _ in 0..11_000 {
        let request = env.next_sent().await;
        sent.entry(request.to.value).or_default().push(request.message);
    }
    assert_eq!(sent, queued);
    until("nothing is left", async || {
        let counts = env.pipeline.outbox().counts();
        counts.waiting + counts.sending == 0 && env.reader.counts().unwrap().queued == 0
    })
    .await;
    assert!(env.sent.try_recv().is_err());
}

#[tokio::test]
async fn clock_set_back_prolongs_no_pause() {
    let mut env = TestEnv::new();
    env.pipeline.publish(beadle_pipeline::Subscriptions::new(vec![]));
    env.store.plugin_no("plugin").await.unwrap();
    let event = env.receive_text("31612345678", "hello").await;
    let problem =
        Problem { code: "131031".into(), title: "Account locked".into(), details: None, by: "platform".into() };
    env.channel.respond_next(SendResponse::Refused(problem, Advice::StopChannel));
    let message = env.queue_text(&event, "hi").await;
    assert_eq!(env.next_sent().await.message, message);
    until("the channel is stopped", async || !env.pipeline.outbox().counts().paused.is_empty()).await;
    until("the message is queued again", async || env.reader.counts().unwrap().queued == 1).await;
    const YEAR_MS: i64 = 365 * 24 * 3_600_000;
    env.manual.set(beadle_model::Timestamp(NOW.0 - 10 * YEAR_MS));
    env.manual.advance_ms(60_000);
    assert_eq!(env.next_sent().await.message, message);
}
