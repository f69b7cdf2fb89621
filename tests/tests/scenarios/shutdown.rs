//! Shutdown: started work is finished, work that takes too long is not waited for, and nothing is
//! lost.

use crate::UNPACED;
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use serde_json::json;

const MESSAGES: u64 = 200;

#[tokio::test]
async fn shutdown_finishes_sends_in_flight() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    // Without receipts, which would settle a send before its response arrives.
    simulator.set_faults(json!({ "send_slow": { "probability": 1.0, "ms": 300 }, "receipts": false })).await;
    simulator.flood(20, MESSAGES, 400.0, "n").await;
    wait_until("some are being sent", async || (daemon.status_count("sending").await >= 10).then_some(())).await;
    daemon.stop().await;
    let daemon = setup.start().await;
    wait_until("everyone has an answer", async || {
        (simulator.sent_counts().await.len() as u64 == MESSAGES).then_some(())
    })
    .await;
    daemon.wait_until_idle().await;
    let sent = simulator.sent_counts().await;
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    assert_eq!(daemon.status_count("dead_letters").await, 0, "no send was ambiguous");
    daemon.stop().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_silent_platform() {
    let address = SimulatorAddress::reserve();
    let outbox = "[outbox]\nambiguous_wait = \"1s\"";
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(outbox);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.set_faults(json!({ "send_timeout": { "next": 1 } })).await;
    simulator.say("Ana", "hello").await;
    wait_until("it is being sent", async || (daemon.status_count("sending").await == 1).then_some(())).await;
    // `stop` asserts that the daemon exits with success.
    daemon.stop().await;
    let daemon = setup.start().await;
    daemon.wait_for_status(|status| status.get("dead_letters") == Some(&json!(1))).await;
    let dead = daemon.list_all("dead-letters").await;
    assert_eq!(dead.first().and_then(|row| row.get("code")), Some(&json!("outcome-unknown")));
    daemon.stop().await;
}
