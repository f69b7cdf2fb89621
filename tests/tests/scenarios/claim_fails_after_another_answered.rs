//! Several plugins have their say about one message, and one of them fails: nobody answers twice because of it.

use crate::UNPACED;
use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;
use serde_json::{Value, json};

#[tokio::test]
async fn who_answered_does_not_answer_again_when_the_claim_behind_it_is_tried_again() {
    let place = Place::new();
    let setup = Setup::new(&place.url())
        .probe("polite", "reply = \"polite: \", claim = false", "order = 1")
        .probe("frail", "reply = \"frail: \", wrong = \"retry\", tries = 2", "order = 2")
        .plugin("echo", "order = 3")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["polite: hello", "frail: hello"]).await;
    daemon.idle().await;
    simulator.got("Ana", &["polite: hello", "frail: hello"]).await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn a_claim_that_failed_for_good_leaves_the_answer_to_the_next_and_a_retry_says_so() {
    let place = Place::new();
    let setup = Setup::new(&place.url())
        .probe("frail", "reply = \"frail: \", wrong = \"give-up\", late_is_well = true", "order = 1")
        .plugin("echo", "order = 2")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["hello"]).await;
    let dead = daemon.all("dead-letters").await;
    let row = dead.first().unwrap_or(&Value::Null);
    assert_eq!(row.get("answered"), Some(&json!(true)), "{dead:?}");
    // A person wants it all the same: it is told that there was an answer, and the plugin that it is late.
    let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
    let done = daemon.post(&format!("dead-letters/{id}/retry")).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("warning"), "{}", done.text());
    simulator.got("Ana", &["hello", "frail: hello"]).await;
    daemon.status_until(|status| status.get("dead_letters") == Some(&json!(0))).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_plugin_killed_with_the_daemon_between_two_answers_does_not_repeat_the_first() {
    let place = Place::new();
    let setup = Setup::new(&place.url())
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
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["polite: hello"]).await;
    // The second one spins now: nothing of it is committed.
    daemon.kill9().await;
    let daemon = setup.start().await;
    simulator.got("Ana", &["polite: hello", "hello"]).await;
    daemon.idle().await;
    simulator.got("Ana", &["polite: hello", "hello"]).await;
    daemon.stop().await;
}
