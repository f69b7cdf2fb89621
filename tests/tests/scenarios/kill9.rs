//! Kills at random moments under load lose nothing.
//!
//! Every message is handled exactly once: the plugin counts per conversation in its state and puts
//! the count into its reply, so that a handling that took effect twice, or not at all, shows. A
//! send is ambiguous if the daemon died before it knew the outcome; then `on_ambiguous` decides:
//! held and never sent twice, or sent again and marked.

use crate::{UNPACED, without_count};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Kills in a row.
fn rounds() -> u64 {
    if is_long_run() { 60 } else { 6 }
}

/// Messages per round.
const MESSAGES: u64 = 100;
const PEOPLE: u64 = 10;
/// Slow enough that a kill falls between messages.
const PER_SECOND: f64 = 400.0;
/// The longest time from a start to the next kill: about as long as a round's messages take.
const LIFE_MS: u64 = 350;

/// The state after all rounds.
struct Outcome {
    /// Keeps the folder alive.
    _setup: Setup,
    daemon: Daemon,
    simulator: Simulator,
    /// How often each message was answered.
    replies: BTreeMap<String, usize>,
}

async fn run_rounds(on_ambiguous: &str) -> Outcome {
    let mut rng = Rng::seeded();
    let address = SimulatorAddress::reserve();
    let outbox = format!("[outbox]\non_ambiguous = \"{on_ambiguous}\"\nambiguous_wait = \"1s\"");
    let setup =
        Setup::new(&address.url()).probe("counter", "reply = \"\", count = true", "").toml(UNPACED).toml(&outbox);
    let mut daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    for round in 0..rounds() {
        simulator.flood(PEOPLE, MESSAGES, PER_SECOND, &format!("round {round} n")).await;
        rng.sleep_below(LIFE_MS).await;
        daemon.kill9().await;
        daemon = setup.start().await;
    }
    simulator.wait_for_written(rounds() * MESSAGES).await;
    simulator.wait_until_delivered().await;
    daemon.wait_until_idle().await;
    simulator.wait_until_delivered().await;
    let replies = simulator.messages(None).await;
    let mut count = BTreeMap::new();
    for text in replies.iter().filter_map(text_of) {
        *count.entry(without_count(&text)).or_default() += 1;
    }
    Outcome { _setup: setup, daemon, simulator, replies: count }
}

fn all_messages() -> BTreeSet<String> {
    (0..rounds()).flat_map(|round| (0..MESSAGES).map(move |n| format!("round {round} n {n}"))).collect()
}

/// In every conversation the counts run from 1 to the number of its messages, each with one text.
pub fn assert_handled_once(sent: &[Value]) {
    let mut counts: BTreeMap<&str, BTreeMap<u64, BTreeSet<String>>> = BTreeMap::new();
    for message in sent {
        let person = message.get("person").and_then(Value::as_str).unwrap_or_default();
        let text = text_of(message).unwrap_or_default();
        let (count, text) = text.split_once(' ').unwrap_or_default();
        let count = count.parse().unwrap_or(0);
        counts.entry(person).or_default().entry(count).or_default().insert(text.to_owned());
    }
    for (person, counts) in &counts {
        let each_once = counts.values().all(|texts| texts.len() == 1);
        assert!(each_once, "one count has several texts: {person}: {counts:?}");
        let texts: BTreeSet<&String> = counts.values().flatten().collect();
        assert_eq!(texts.len(), counts.len(), "one text was counted twice: {person}: {counts:?}");
    }
}

#[tokio::test]
async fn resend_answers_every_message_and_marks_duplicates() {
    let Outcome { daemon, simulator, replies, _setup } = run_rounds("resend").await;
    assert_eq!(replies.keys().cloned().collect::<BTreeSet<_>>(), all_messages());
    let doubles: usize = replies.values().map(|times| times - 1).sum();
    let outbox = daemon.list_all("outbox?state=accepted").await;
    let marked = outbox.iter().filter(|row| row.get("possibly_duplicate") == Some(&json!(true))).count();
    assert!(doubles <= marked, "{doubles} doubles, {marked} marked");
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    assert_handled_once(&simulator.messages(None).await);
    daemon.stop().await;
}

#[tokio::test]
async fn hold_sends_nothing_twice_and_keeps_the_rest() {
    let Outcome { daemon, simulator, replies, _setup } = run_rounds("hold").await;
    let twice: Vec<_> = replies.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    let dead = daemon.list_all("dead-letters").await;
    let held = dead.iter().filter(|row| row.get("code") == Some(&json!("outcome-unknown"))).count();
    assert_eq!(held, dead.len(), "{dead:?}");
    let missing: Vec<String> = all_messages().into_iter().filter(|text| !replies.contains_key(text)).collect();
    // A held message may have arrived (its receipt was late); a message that did not arrive is
    // held.
    assert!(missing.len() <= held, "{held} held, and not answered: {missing:?}");
    assert_handled_once(&simulator.messages(None).await);
    // The operator retries them: now every message is answered.
    for row in &dead {
        let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(daemon.post(&format!("dead-letters/{id}/retry")).await.status, 200);
    }
    daemon.wait_until_idle().await;
    let answered: BTreeSet<String> =
        simulator.sent_counts().await.into_keys().map(|text| without_count(&text)).collect();
    assert_eq!(answered, all_messages());
    daemon.stop().await;
}
