//! More arrives than can be stored: the webhook is answered with 503 at once, and the platform
//! repeats it.

use crate::UNPACED;
use beadle_test_support::daemon::Setup;
use beadle_test_support::disk::Disk;
use beadle_test_support::http::Connection;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use beadle_test_support::webhook;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::task::JoinSet;

/// Nearly as many connections as the daemon accepts; each waits for its response.
const CONNECTIONS: usize = 1000;
/// Webhooks per connection.
const ROUNDS: usize = 4;

#[tokio::test]
async fn stuck_disk_answers_503_and_loses_nothing() {
    let (address, disk) = (SimulatorAddress::reserve(), Disk::new());
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).disk(&disk);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.set_faults(json!({ "unknown_numbers": "create", "window": "off" })).await;
    disk.set_stuck(true);
    let refused = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for n in 0..CONNECTIONS {
        let (address, refused) = (setup.http.clone(), Arc::clone(&refused));
        senders.spawn(async move {
            let at_s = webhook::unix_time_s();
            for round in 0..ROUNDS {
                let text = format!("n {n} {round}");
                let post = webhook::signed_request(&webhook::text_message(
                    &format!("3161{n:07}"),
                    &format!("wamid.{n}.{round}"),
                    at_s,
                    &text,
                ));
                let mut connection = Connection::tcp(&address).await.unwrap_or_else(|error| panic!("{error}"));
                // Repeats it until it is accepted, as the platform does.
                loop {
                    match connection.exchange(&post).await {
                        Ok(answer) if answer.status == 200 => break,
                        Ok(answer) if answer.status == 503 => {
                            refused.fetch_add(1, Relaxed);
                        }
                        Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                        Err(_) => {
                            connection = Connection::tcp(&address).await.unwrap_or_else(|error| panic!("{error}"));
                        }
                    }
                }
            }
        });
    }
    wait_until("webhooks are refused", async || (refused.load(Relaxed) > 0).then_some(())).await;
    disk.set_stuck(false);
    while let Some(sender) = senders.join_next().await {
        sender.unwrap_or_else(|error| panic!("{error}"));
    }
    daemon.wait_until_idle().await;
    let sent = simulator.sent_counts().await;
    assert_eq!(sent.len(), CONNECTIONS * ROUNDS);
    assert!(sent.values().all(|times| *times == 1));
    daemon.stop().await;
}
