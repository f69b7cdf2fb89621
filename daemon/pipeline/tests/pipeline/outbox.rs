//! What becomes of sends.

use crate::env::{NOW, TestEnv, key, message, sender, until, vacant};
use beadle_model::PluginNo;
use beadle_model::event::EventKind;
use beadle_pipeline::{SendResponse, Stage};
use beadle_store::step::NewEvent;

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
    env.channel.respond_next(SendResponse::AcceptedWith(Some("wamid.1".into()), vec![renamed]));
    let before = env.events().iter().filter(|event| event.kind() == EventKind::ContactChanged).count();
    env.queue_text(&event, "hello Anna").await;
    env.next_sent().await;
    until("the plugin gets on-contact-changed", async || {
        env.events().iter().filter(|event| event.kind() == EventKind::ContactChanged).count() > before
    })
    .await;
    assert_eq!(env.events().first().unwrap().received_at, NOW);
}
