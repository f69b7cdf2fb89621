//! The disk is full: nothing is taken that could not be kept, nothing is sent that could not be noted, and when there is
//! room again it goes on by itself.

use crate::{UNPACED, has_problems};
use beadle_e2e::daemon::Setup;
use beadle_e2e::disk::Disk;
use beadle_e2e::http::Connection;
use beadle_e2e::meta;
use beadle_e2e::simulator::Place;
use beadle_e2e::until;

/// Messages before, during and after.
const MESSAGES: u64 = 200;

#[tokio::test]
async fn it_takes_nothing_until_there_is_room_and_then_goes_on() {
    let (place, disk) = (Place::new(), Disk::new());
    let setup = Setup::new(&place.url()).probe("counter", "reply = \"\", count = true", "").toml(UNPACED).disk(&disk);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.flood(10, MESSAGES, 400.0, "n").await;
    until("some are answered", async || (simulator.sent().await.len() >= 20).then_some(())).await;
    disk.full(true);
    // The write-ahead log has room in it for a while; then it is told "no".
    until("webhooks are refused", async || {
        let post = meta::post(&meta::text_message("31610000102", "wamid.PROBE", 1_795_424_400, "is there room?"));
        let answer = async { Connection::tcp(&setup.http).await?.exchange(&post).await }.await;
        answer.is_ok_and(|answer| answer.status == 503).then_some(())
    })
    .await;
    daemon.status_until(has_problems).await;
    disk.full(false);
    until("everyone has an answer", async || {
        simulator.delivered().await;
        let sent = simulator.sent().await;
        (0..MESSAGES).all(|n| sent.keys().any(|text| text.ends_with(&format!(" n {n}")))).then_some(())
    })
    .await;
    daemon.idle().await;
    let sent = simulator.sent().await;
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    daemon.status_until(|status| !has_problems(status)).await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_killed_on_a_full_disk_comes_back_with_everything_it_took() {
    let (place, disk) = (Place::new(), Disk::new());
    let outbox = "[outbox]\nambiguous_wait = \"1s\"";
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).toml(outbox).disk(&disk);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.flood(10, MESSAGES, 400.0, "n").await;
    until("some are answered", async || (simulator.sent().await.len() >= 20).then_some(())).await;
    disk.full(true);
    daemon.kill9().await;
    disk.full(false);
    let daemon = setup.start().await;
    simulator.said(MESSAGES).await;
    simulator.delivered().await;
    daemon.idle().await;
    let (sent, held) = (simulator.sent().await, daemon.count("dead-letters").await);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    assert!(sent.len() as i64 + held >= MESSAGES as i64, "{} sent, {held} held", sent.len());
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_that_is_started_on_a_full_disk_lives_on_its_ballast() {
    let (place, disk) = (Place::new(), Disk::new());
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).disk(&disk);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.flood(10, MESSAGES, 400.0, "n").await;
    simulator.said(MESSAGES).await;
    daemon.idle().await;
    // Somebody else fills it while the daemon, that noticed nothing, is killed.
    daemon.kill9().await;
    disk.full(true);
    let daemon = setup.start().await;
    daemon.status_until(has_problems).await;
    disk.full(false);
    daemon.status_until(|status| !has_problems(status)).await;
    simulator.flood(10, MESSAGES, 400.0, "later").await;
    simulator.said(2 * MESSAGES).await;
    daemon.stop().await;
}
