//! Fair shares: a conversation that floods, a slow plugin in the chain, and an observer that falls
//! behind delay no one else.

use crate::{UNPACED, without_count};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::{wait_for_count, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// More than are admitted at once (8,192).
const FLOOD: u64 = 9000;

/// The value of a metric.
async fn metric(daemon: &Daemon, name: &str) -> u64 {
    let text = daemon.try_get("/metrics").await.map(|answer| answer.text()).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or(0)
}

async fn world(setup: impl FnOnce(Setup) -> Setup) -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = setup(Setup::new(&address.url())).toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    (setup, daemon, simulator)
}

/// The texts that each person received, in order and without their counts, which must run from 1.
fn texts_by_person(messages: &[Value], mark: &str) -> BTreeMap<String, Vec<String>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in messages {
        let text = text_of(message).unwrap_or_default();
        let Some(counted) = text.strip_prefix(mark) else { continue };
        let person = message.get("person").and_then(Value::as_str).unwrap_or_default();
        let those = texts.entry(person.to_owned()).or_default();
        those.push(without_count(counted));
        assert!(counted.starts_with(&format!("{} ", those.len())), "{text} is not number {} of {person}", those.len());
    }
    texts
}

#[tokio::test]
async fn flooding_conversation_delays_no_other() {
    // The first message fails once and is retried later. Virtual time stands still, so that
    // everything behind it waits for as long as the test needs.
    let address = SimulatorAddress::reserve();
    let slow = format!("reply = \": \", count = true, wrong = \"retry\", tries = 1, every = {FLOOD}, prefix = \"n\"");
    let setup = Setup::new(&address.url()).probe("slow", &slow, "").toml(UNPACED).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    simulator.flood(1, FLOOD, 0.0, "n").await;
    wait_until("more arrived than is admitted at once", async || {
        (metric(&daemon, "beadle_events_deferred").await > 1000).then_some(())
    })
    .await;
    simulator.say("Bram", "now 1").await;
    simulator.expect_texts("Bram", &[": 1 now 1"]).await;
    assert!(metric(&daemon, "beadle_events_deferred").await > 0, "Bram was delayed by the others");
    simulator.control("POST", "clock", &json!({ "speed": 1 })).await;
    wait_for_count("all is answered", FLOOD + 1, async || simulator.messages(None).await.len() as u64).await;
    daemon.wait_until_idle().await;
    let texts = texts_by_person(&simulator.messages(None).await, ": ");
    let wanted: Vec<_> = (0..FLOOD).map(|n| format!("n {n}")).collect();
    assert!(texts.len() == 2 && texts.values().any(|texts| *texts == wanted), "each once, in order");
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn slow_plugin_delays_only_its_own_events() {
    // Each message fails once and so takes a third of a second, all of it waiting. Virtual time is
    // slow, so that messages arrive faster than that on any machine.
    let address = SimulatorAddress::reserve();
    let slow = "reply = \"slow: \", wrong = \"retry\", tries = 1, prefix = \"n\"";
    let setup = Setup::new(&address.url())
        .probe("slow", slow, "order = 1")
        .plugin("welcome", "order = 2\nsettings = { brand = \"B\", purpose = \"P\", rules = \"R\" }")
        .toml(UNPACED)
        .clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    simulator.control("POST", "clock", &json!({ "speed": 0.5 })).await;
    simulator.flood(150, FLOOD, 0.0, "n").await;
    wait_for_count("its share is taken", 1001, async || metric(&daemon, "beadle_events_deferred").await).await;
    // A new person is greeted by another plugin.
    simulator.add_person("Zoe", "31650009999").await;
    simulator.say("Zoe", "n hello").await;
    wait_until("Zoe is greeted", async || {
        simulator.texts("Zoe").await.first().filter(|text| text.contains('B')).cloned()
    })
    .await;
    assert!(metric(&daemon, "beadle_events_deferred").await > 0, "Zoe was delayed by the others");
    simulator.control("POST", "clock", &json!({ "speed": 4 })).await;
    wait_for_count("all is answered", FLOOD + 1, async || simulator.messages(None).await.len() as u64).await;
    daemon.wait_until_idle().await;
    let sent = simulator.sent_counts().await;
    assert!((0..FLOOD).all(|n| sent.get(&format!("slow: n {n}")) == Some(&1)), "each once");
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn slow_observer_catches_up_in_order() {
    let (_setup, daemon, simulator) = world(|setup| {
        let slow = "reply = \"seen: \", count = true, turns_k = 4000";
        setup.plugin("echo", "").probe("slow", slow, "stage = \"observe\"")
    })
    .await;
    const MESSAGES: u64 = 4000;
    simulator.flood(40, MESSAGES, 0.0, "n").await;
    let answers =
        async || simulator.sent_counts().await.into_keys().filter(|text| text.starts_with("n ")).count() as u64;
    wait_for_count("all is answered", MESSAGES, answers).await;
    let behind = metric(&daemon, "beadle_plugin_backlog_events{plugin=\"slow\"}").await;
    assert!(behind > 100, "only {behind} events wait: it kept up, or the others waited for it");
    wait_for_count("it has caught up", 2 * MESSAGES, async || simulator.messages(None).await.len() as u64).await;
    let texts = texts_by_person(&simulator.messages(None).await, "seen: ");
    let seen: usize = texts.values().map(Vec::len).sum();
    assert_eq!((texts.len(), seen as u64), (40, MESSAGES));
    for texts in texts.values() {
        let numbers: Vec<u64> = texts.iter().filter_map(|text| text.rsplit(' ').next()?.parse().ok()).collect();
        assert!(numbers.is_sorted() && numbers.len() == texts.len(), "{texts:?}");
    }
    daemon.wait_for_plugin("slow", |row| row.get("waiting_events").and_then(Value::as_u64) == Some(0)).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}
