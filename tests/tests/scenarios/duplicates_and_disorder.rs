//! Repeated, rebatched, shuffled and late webhooks: each message is answered once.

use crate::{UNPACED, without_count};
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use serde_json::json;
use std::collections::BTreeSet;

const MESSAGES: u64 = 300;
const PEOPLE: u64 = 20;

#[tokio::test]
async fn repeated_and_shuffled_webhooks_are_answered_once() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).probe("counter", "reply = \"\", count = true", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    let often = json!({ "probability": 0.3, "ms": 50 });
    simulator
        .set_faults(json!({
            "webhook_duplicated": often, "webhook_rebatched": often, "webhook_reordered": often,
            "receipt_duplicated": often, "receipt_reordered": often, "receipt_lost": often,
            "max_batch_size": 7, "batch_wait_ms": 5,
        }))
        .await;
    simulator.flood(PEOPLE, MESSAGES, 0.0, "n").await;
    let all: BTreeSet<String> = (0..MESSAGES).map(|n| format!("n {n}")).collect();
    beadle_test_support::wait_until("everyone has an answer", async || {
        let sent = simulator.sent_counts().await;
        (sent.len() as u64 >= MESSAGES).then_some(())
    })
    .await;
    simulator.wait_until_delivered().await;
    daemon.wait_until_idle().await;
    let sent = simulator.sent_counts().await;
    assert_eq!(sent.keys().map(|text| without_count(text)).collect::<BTreeSet<_>>(), all);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    // Each was counted once: the last count of a conversation is the number of its messages.
    let last = format!("{} ", MESSAGES / PEOPLE);
    assert_eq!(sent.keys().filter(|text| text.starts_with(&last)).count() as u64, PEOPLE);
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn conversation_is_answered_in_order() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    let texts: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
    for text in &texts {
        simulator.say("Ana", text).await;
        simulator.say("Bram", text).await;
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    simulator.expect_texts("Ana", &texts).await;
    simulator.expect_texts("Bram", &texts).await;
    daemon.stop().await;
}
