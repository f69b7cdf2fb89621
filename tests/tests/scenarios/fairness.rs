//! Nobody waits behind those who are busy: one who writes more than can be answered, a plugin that everybody waits for, a
//! plugin that falls behind.

use crate::{UNPACED, uncounted};
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::simulator::{Place, Simulator, text_of};
use beadle_e2e::until;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// More than are on their way at once (8,192).
const FLOOD: u64 = 9000;

/// A figure of the metrics.
async fn figure(daemon: &Daemon, name: &str) -> u64 {
    let text = daemon.try_get("/metrics").await.map(|answer| answer.text()).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or(0)
}

async fn world(setup: impl FnOnce(Setup) -> Setup) -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = setup(Setup::new(&place.url())).toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    (setup, daemon, simulator)
}

/// What each person was told, in order, without the count; the counts go from 1 on.
fn told(messages: &[Value], mark: &str) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in messages {
        let text = text_of(message).unwrap_or_default();
        let Some(counted) = text.strip_prefix(mark) else { continue };
        let person = message.get("person").and_then(Value::as_str).unwrap_or_default();
        let those = told.entry(person.to_owned()).or_default();
        those.push(uncounted(counted));
        assert!(counted.starts_with(&format!("{} ", those.len())), "{text} is not number {} of {person}", those.len());
    }
    told
}

#[tokio::test]
async fn one_who_writes_without_end_keeps_nobody_else_waiting() {
    // The first message fails once and is tried again later. Time stands still, so that all behind it wait for as long as
    // the scenario wants, however fast the machine is.
    let place = Place::new();
    let slow = format!("reply = \": \", count = true, wrong = \"retry\", tries = 1, every = {FLOOD}, prefix = \"n\"");
    let setup = Setup::new(&place.url()).probe("slow", &slow, "").toml(UNPACED).clock(&place.clock_url());
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    simulator.flood(1, FLOOD, 0.0, "n").await;
    until("more came than is on its way at once", async || {
        (figure(&daemon, "beadle_events_put_off").await > 1000).then_some(())
    })
    .await;
    simulator.say("Bram", "now 1").await;
    simulator.got("Bram", &[": 1 now 1"]).await;
    assert!(figure(&daemon, "beadle_events_put_off").await > 0, "Bram waited for all the others");
    simulator.control("POST", "clock", &json!({ "speed": 1 })).await;
    until("all is answered", async || (simulator.messages(None).await.len() as u64 > FLOOD).then_some(())).await;
    daemon.idle().await;
    let told = told(&simulator.messages(None).await, ": ");
    let wanted: Vec<_> = (0..FLOOD).map(|n| format!("n {n}")).collect();
    assert!(told.len() == 2 && told.values().any(|texts| *texts == wanted), "each once, in order");
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn what_does_not_need_the_busy_plugin_does_not_wait_for_it() {
    // Each message takes it a third of a second, all of it waiting: it fails the first time.
    let slow = "reply = \"slow: \", wrong = \"retry\", tries = 1, prefix = \"n\"";
    let (_setup, daemon, simulator) = world(|setup| {
        setup
            .probe("slow", slow, "order = 1")
            .plugin("welcome", "order = 2\nsettings = { brand = \"B\", purpose = \"P\", rules = \"R\" }")
    })
    .await;
    simulator.flood(150, FLOOD, 0.0, "n").await;
    until("its share is taken", async || (figure(&daemon, "beadle_events_put_off").await > 1000).then_some(())).await;
    // Somebody new is greeted, which is no matter of the slow one.
    simulator.person("Zoe", "31650009999").await;
    simulator.say("Zoe", "n hello").await;
    until("Zoe is greeted", async || simulator.texts("Zoe").await.first().filter(|it| it.contains('B')).cloned()).await;
    assert!(figure(&daemon, "beadle_events_put_off").await > 0, "Zoe waited for all the others");
    until("all is answered", async || (figure(&daemon, "beadle_events_put_off").await == 0).then_some(())).await;
    daemon.idle().await;
    let sent = simulator.sent().await;
    assert!((0..FLOOD).all(|n| sent.get(&format!("slow: n {n}")) == Some(&1)), "each once");
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_falls_behind_catches_up_in_order_and_nobody_waits_for_it() {
    let (_setup, daemon, simulator) = world(|setup| {
        let slow = "reply = \"seen: \", count = true, turns_k = 4000";
        setup.plugin("echo", "").probe("slow", slow, "stage = \"observe\"")
    })
    .await;
    const MESSAGES: u64 = 4000;
    simulator.flood(40, MESSAGES, 0.0, "n").await;
    let answers = async || simulator.sent().await.into_keys().filter(|text| text.starts_with("n ")).count() as u64;
    until("all is answered", async || (answers().await == MESSAGES).then_some(())).await;
    let behind = figure(&daemon, "beadle_kept_events{plugin=\"slow\"}").await;
    assert!(behind > 100, "{behind} events are kept: it kept up, or the others waited for it");
    until("it has caught up", async || (simulator.messages(None).await.len() as u64 == 2 * MESSAGES).then_some(()))
        .await;
    let told = told(&simulator.messages(None).await, "seen: ");
    let seen: usize = told.values().map(Vec::len).sum();
    assert_eq!((told.len(), seen as u64), (40, MESSAGES));
    for texts in told.values() {
        let numbers: Vec<u64> = texts.iter().filter_map(|text| text.rsplit(' ').next()?.parse().ok()).collect();
        assert!(numbers.is_sorted() && numbers.len() == texts.len(), "{texts:?}");
    }
    daemon.plugin_until("slow", |row| row.get("kept_events").and_then(Value::as_u64) == Some(0)).await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}
