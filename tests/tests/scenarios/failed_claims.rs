//! Several plugins handle one message and one of them fails: no reply is sent twice because of it.

use crate::UNPACED;
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use serde_json::{Value, json};

#[tokio::test]
async fn retry_of_a_later_plugin_repeats_no_reply() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("polite", "reply = \"polite: \", claim = false", "order = 1")
        .probe("frail", "reply = \"frail: \", wrong = \"retry\", tries = 2", "order = 2")
        .plugin("echo", "order = 3")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["polite: hello", "frail: hello"]).await;
    daemon.wait_until_idle().await;
    simulator.expect_texts("Ana", &["polite: hello", "frail: hello"]).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn failed_claim_passes_to_the_next_plugin() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("frail", "reply = \"frail: \", wrong = \"give-up\", late_is_well = true", "order = 1")
        .plugin("echo", "order = 2")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["hello"]).await;
    let dead = daemon.list_all("dead-letters").await;
    let row = dead.first().unwrap_or(&Value::Null);
    assert_eq!(row.get("answered"), Some(&json!(true)), "{dead:?}");
    // The operator retries it: the response warns about the answer, and the plugin sees `late`.
    let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
    let done = daemon.post(&format!("dead-letters/{id}/retry")).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("warning"), "{}", done.text());
    simulator.expect_texts("Ana", &["hello", "frail: hello"]).await;
    daemon.wait_for_status(|status| status.get("dead_letters") == Some(&json!(0))).await;
    daemon.stop().await;
}

#[tokio::test]
async fn dead_letter_that_is_retried_twice_sends_once() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("frail", "reply = \"frail: \", wrong = \"give-up\", late_is_well = true", "order = 1")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    daemon.wait_for_status(|status| status.get("dead_letters") == Some(&json!(1))).await;
    let dead = daemon.list_all("dead-letters").await;
    let id = dead.first().and_then(|row| row.get("id")).and_then(Value::as_str).unwrap_or_default();
    let path = format!("dead-letters/{id}/retry");
    // At the same time: one runs; the other fails, because a retry is running or the dead letter no
    // longer exists.
    let (one, other) = tokio::join!(daemon.post(&path), daemon.post(&path));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 404 | 409]), "{statuses:?}: {} {}", one.text(), other.text());
    daemon.wait_for_status(|status| status.get("dead_letters") == Some(&json!(0))).await;
    // Later, the dead letter no longer exists.
    let later = daemon.post(&path).await;
    assert_eq!(later.status, 404, "{}", later.text());
    daemon.wait_until_idle().await;
    simulator.expect_texts("Ana", &["frail: hello"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn kill_between_two_replies_does_not_repeat_the_first() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("polite", "reply = \"polite: \", claim = false", "order = 1")
        .probe(
            "slow",
            "prefix = \"hello\", wrong = \"spin\", late_is_well = true",
            "order = 2\n[plugins.slow.limits]\ncpu_ms = 1000",
        )
        .plugin("echo", "order = 3")
        .toml(UNPACED)
        .toml("[outbox]\nambiguous_wait = \"1s\"");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["polite: hello"]).await;
    // The second plugin is computing: none of its effects is committed.
    daemon.kill9().await;
    let daemon = setup.start().await;
    simulator.expect_texts("Ana", &["polite: hello", "hello"]).await;
    daemon.wait_until_idle().await;
    simulator.expect_texts("Ana", &["polite: hello", "hello"]).await;
    daemon.stop().await;
}
