//! The path of one event: a signed message arrives, a plugin answers, receipts come back.

use crate::text;
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use serde_json::Value;

#[tokio::test]
async fn text_is_answered_by_a_plugin() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "Olá, tudo bem?").await;
    simulator.expect_texts("Ana", &["Olá, tudo bem?"]).await;
    daemon.wait_until_idle().await;
    daemon.stop().await;
}

#[tokio::test]
async fn log_names_no_person() {
    let address = SimulatorAddress::reserve();
    // A plugin that fails and one that answers: failures are logged with their errors.
    let setup = Setup::new(&address.url())
        .probe("broken", "wrong = \"trap\"", "order = 1")
        .plugin("echo", "order = 2")
        .toml("[log]\nlevel = \"info,beadle=debug\"");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "my secret is a walnut").await;
    simulator.expect_texts("Ana", &["my secret is a walnut"]).await;
    simulator.say("Ana", "STOP").await;
    wait_until("STOP is answered", async || (simulator.texts("Ana").await.len() == 2).then_some(())).await;
    daemon.wait_until_idle().await;
    let contact = daemon.get(&format!("contacts/{}", text(&daemon.get("contacts").await, "/items/0/id"))).await;
    let number = text(&contact, "/aliases/0").rsplit(' ').next().unwrap_or_default().to_owned();
    assert!(number.len() > 8, "{contact}");
    let log = daemon.program.log();
    for private in [&*number, "walnut", "wamid.", "Ana"] {
        assert!(!log.contains(private), "{private} is in the log:\n{log}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn new_member_is_greeted_and_accepts_the_rules() {
    let address = SimulatorAddress::reserve();
    let welcome = "order = 1\nsettings = { brand = \"De Buurt\", rules = \"Be kind.\" }";
    let setup = Setup::new(&address.url()).plugin("welcome", welcome).plugin("echo", "order = 2");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Bram", "Hoi").await;
    wait_until("Bram has a greeting and an answer", async || (simulator.texts("Bram").await.len() == 2).then_some(()))
        .await;
    let texts = simulator.texts("Bram").await;
    assert!(texts.iter().any(|text| text.contains("De Buurt") && text.contains("Be kind.")), "{texts:?}");
    assert!(texts.contains(&"Hoi".to_owned()), "the first message is answered too: {texts:?}");
    let sent = simulator.messages(Some("Bram")).await;
    let button = sent.iter().find_map(|message| message.pointer("/body/action/buttons/0/reply/id"));
    simulator.tap("Bram", button.and_then(Value::as_str).unwrap_or_default()).await;
    wait_until("the yes is answered", async || (simulator.texts("Bram").await.len() == 3).then_some(())).await;
    daemon.wait_until_idle().await;
    // Receipts arrived for each message.
    simulator.wait_until_delivered().await;
    for message in simulator.messages(Some("Bram")).await {
        assert_eq!(message.get("state").and_then(Value::as_str), Some("delivered"), "{message}");
    }
    daemon.stop().await;
}
