//! The way of an event, once through: a signed message comes in, a plugin in the sandbox answers, receipts come back.

use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;
use beadle_e2e::until;
use serde_json::Value;

#[tokio::test]
async fn a_text_is_answered_by_the_plugin() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "Olá, tudo bem?").await;
    simulator.got("Ana", &["Olá, tudo bem?"]).await;
    daemon.idle().await;
    daemon.stop().await;
}

#[tokio::test]
async fn who_writes_first_is_greeted_with_the_rules_and_says_yes() {
    let place = Place::new();
    let welcome = "order = 1\nsettings = { brand = \"De Buurt\", rules = \"Be kind.\" }";
    let setup = Setup::new(&place.url()).plugin("welcome", welcome).plugin("echo", "order = 2");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Bram", "Hoi").await;
    until("Bram has a greeting and an answer", async || (simulator.texts("Bram").await.len() == 2).then_some(())).await;
    let texts = simulator.texts("Bram").await;
    assert!(texts.iter().any(|text| text.contains("De Buurt") && text.contains("Be kind.")), "{texts:?}");
    assert!(texts.contains(&"Hoi".to_owned()), "a first question gets its answer too: {texts:?}");
    let sent = simulator.messages(Some("Bram")).await;
    let button = sent.iter().find_map(|message| message.pointer("/body/action/buttons/0/reply/id"));
    simulator.tap("Bram", button.and_then(Value::as_str).unwrap_or_default()).await;
    until("the yes is answered", async || (simulator.texts("Bram").await.len() == 3).then_some(())).await;
    daemon.idle().await;
    // Ticks for sent and delivered.
    simulator.delivered().await;
    for message in simulator.messages(Some("Bram")).await {
        assert_eq!(message.get("state").and_then(Value::as_str), Some("delivered"), "{message}");
    }
    daemon.stop().await;
}
