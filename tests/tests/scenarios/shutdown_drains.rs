//! Stopping: what was begun is finished, what cannot be finished in time is not waited for, and nothing is lost.

use crate::UNPACED;
use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;
use beadle_e2e::until;
use serde_json::json;

const MESSAGES: u64 = 200;

#[tokio::test]
async fn messages_on_their_way_are_finished_and_the_rest_waits() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    // Without receipts: they would show that it arrived before the answer does.
    simulator.faults(json!({ "send_slow": { "probability": 1.0, "ms": 300 }, "receipts": false })).await;
    simulator.flood(20, MESSAGES, 400.0, "n").await;
    until("some are on their way", async || (daemon.count("sending").await >= 10).then_some(())).await;
    daemon.stop().await;
    let daemon = setup.start().await;
    until("everyone has an answer", async || (simulator.sent().await.len() as u64 == MESSAGES).then_some(())).await;
    daemon.idle().await;
    let sent = simulator.sent().await;
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    assert_eq!(daemon.count("dead-letters").await, 0, "nothing was left in doubt");
    daemon.stop().await;
}

#[tokio::test]
async fn a_platform_that_does_not_answer_holds_nobody_up() {
    let place = Place::new();
    let outbox = "[outbox]\nambiguous_wait = \"1s\"";
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).toml(outbox);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.faults(json!({ "send_timeout": { "next": 1 } })).await;
    simulator.say("Ana", "hello").await;
    until("it is on its way", async || (daemon.count("sending").await == 1).then_some(())).await;
    // `stop` fails where the daemon does not end, or not well.
    daemon.stop().await;
    let daemon = setup.start().await;
    daemon.status_until(|status| status.get("dead_letters") == Some(&json!(1))).await;
    let dead = daemon.all("dead-letters").await;
    assert_eq!(dead.first().and_then(|row| row.get("code")), Some(&json!("outcome-unknown")));
    daemon.stop().await;
}
