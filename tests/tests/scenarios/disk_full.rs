//! A full disk: no webhook is accepted that could not be stored, nothing is sent that could not be
//! recorded, and work continues by itself when there is space again.

use crate::{UNPACED, has_problems};
use beadle_test_support::daemon::Setup;
use beadle_test_support::disk::Disk;
use beadle_test_support::http::Connection;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use beadle_test_support::webhook;

/// Messages of one load.
const MESSAGES: u64 = 200;

#[tokio::test]
async fn full_disk_refuses_webhooks_and_recovers() {
    let (address, disk) = (SimulatorAddress::reserve(), Disk::new());
    let setup = Setup::new(&address.url()).probe("counter", "reply = \"\", count = true", "").toml(UNPACED).disk(&disk);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.flood(10, MESSAGES, 400.0, "n").await;
    wait_until("some are answered", async || (simulator.sent_counts().await.len() >= 20).then_some(())).await;
    disk.set_full(true);
    // The write-ahead log has some space left; then writes fail.
    wait_until("webhooks are refused", async || {
        let post = webhook::signed_request(&webhook::text_message(
            "31610000102",
            "wamid.PROBE",
            1_795_424_400,
            "is there room?",
        ));
        let answer = async { Connection::tcp(&setup.http).await?.exchange(&post).await }.await;
        answer.is_ok_and(|answer| answer.status == 503).then_some(())
    })
    .await;
    daemon.wait_for_status(has_problems).await;
    disk.set_full(false);
    wait_until("everyone has an answer", async || {
        simulator.wait_until_delivered().await;
        let sent = simulator.sent_counts().await;
        (0..MESSAGES).all(|n| sent.keys().any(|text| text.ends_with(&format!(" n {n}")))).then_some(())
    })
    .await;
    daemon.wait_until_idle().await;
    let sent = simulator.sent_counts().await;
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    daemon.wait_for_status(|status| !has_problems(status)).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn kill_on_a_full_disk_loses_nothing() {
    let (address, disk) = (SimulatorAddress::reserve(), Disk::new());
    let outbox = "[outbox]\nambiguous_wait = \"1s\"";
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(outbox).disk(&disk);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.flood(10, MESSAGES, 400.0, "n").await;
    wait_until("some are answered", async || (simulator.sent_counts().await.len() >= 20).then_some(())).await;
    disk.set_full(true);
    daemon.kill9().await;
    disk.set_full(false);
    let daemon = setup.start().await;
    simulator.wait_for_written(MESSAGES).await;
    simulator.wait_until_delivered().await;
    daemon.wait_until_idle().await;
    let (sent, held) = (simulator.sent_counts().await, daemon.status_count("dead_letters").await);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    assert!(sent.len() as i64 + held >= MESSAGES as i64, "{} sent, {held} held", sent.len());
    daemon.stop().await;
}

#[tokio::test]
async fn start_on_a_full_disk_uses_the_ballast() {
    let (address, disk) = (SimulatorAddress::reserve(), Disk::new());
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).disk(&disk);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.flood(10, MESSAGES, 400.0, "n").await;
    simulator.wait_for_written(MESSAGES).await;
    daemon.wait_until_idle().await;
    // Another process fills the disk while the daemon is down.
    daemon.kill9().await;
    disk.set_full(true);
    let daemon = setup.start().await;
    daemon.wait_for_status(has_problems).await;
    disk.set_full(false);
    daemon.wait_for_status(|status| !has_problems(status)).await;
    simulator.flood(10, MESSAGES, 400.0, "later").await;
    simulator.wait_for_written(2 * MESSAGES).await;
    daemon.stop().await;
}
