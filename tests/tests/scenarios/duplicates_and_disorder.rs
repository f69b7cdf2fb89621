//! The platform repeats itself, mixes things up and is late; each message is answered once all the same.

use crate::{UNPACED, uncounted};
use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;
use serde_json::json;
use std::collections::BTreeSet;

const MESSAGES: u64 = 300;
const PEOPLE: u64 = 20;

#[tokio::test]
async fn each_message_is_answered_once() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).probe("counter", "reply = \"\", count = true", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    let often = json!({ "probability": 0.3, "ms": 50 });
    simulator
        .faults(json!({
            "webhook_duplicated": often, "webhook_rebatched": often, "webhook_shuffled": often,
            "receipt_duplicated": often, "receipt_disordered": often, "receipt_lost": often,
            "batch_most": 7, "batch_gather_ms": 5,
        }))
        .await;
    simulator.flood(PEOPLE, MESSAGES, 0.0, "n").await;
    let all: BTreeSet<String> = (0..MESSAGES).map(|n| format!("n {n}")).collect();
    beadle_e2e::until("everyone has an answer", async || {
        let sent = simulator.sent().await;
        (sent.len() as u64 >= MESSAGES).then_some(())
    })
    .await;
    simulator.delivered().await;
    daemon.idle().await;
    let sent = simulator.sent().await;
    assert_eq!(sent.keys().map(|text| uncounted(text)).collect::<BTreeSet<_>>(), all);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    // Counted once each, too: the last count of a conversation is the number of its messages.
    let last = format!("{} ", MESSAGES / PEOPLE);
    assert_eq!(sent.keys().filter(|text| text.starts_with(&last)).count() as u64, PEOPLE);
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn a_conversation_is_answered_in_its_order() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    let texts: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
    for text in &texts {
        simulator.say("Ana", text).await;
        simulator.say("Bram", text).await;
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    simulator.got("Ana", &texts).await;
    simulator.got("Bram", &texts).await;
    daemon.stop().await;
}
