//! More comes in than can be kept: the webhook gets 503 at once, the platform keeps the event and brings it again.

use crate::UNPACED;
use beadle_e2e::daemon::Setup;
use beadle_e2e::disk::Disk;
use beadle_e2e::http::Connection;
use beadle_e2e::meta;
use beadle_e2e::simulator::Place;
use beadle_e2e::until;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Nearly as many as the daemon takes at once; each waits for its answer.
const CONNECTIONS: usize = 1000;
/// Webhooks of each connection.
const ROUNDS: usize = 4;

#[tokio::test]
async fn a_stuck_disk_means_503_and_nothing_lost() {
    let (place, disk) = (Place::new(), Disk::new());
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).disk(&disk);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.faults(json!({ "strangers": "appear", "window": "off" })).await;
    disk.stuck(true);
    let refused = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for n in 0..CONNECTIONS {
        let (address, refused) = (setup.http.clone(), Arc::clone(&refused));
        senders.spawn(async move {
            let at_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            for round in 0..ROUNDS {
                let text = format!("n {n} {round}");
                let post =
                    meta::post(&meta::text_message(&format!("3161{n:07}"), &format!("wamid.{n}.{round}"), at_s, &text));
                let mut connection = Connection::tcp(&address).await.unwrap_or_else(|error| panic!("{error}"));
                // As the platform does: until it is taken.
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
    until("webhooks are refused", async || (refused.load(Relaxed) > 0).then_some(())).await;
    disk.stuck(false);
    while let Some(sender) = senders.join_next().await {
        sender.unwrap_or_else(|error| panic!("{error}"));
    }
    daemon.idle().await;
    let sent = simulator.sent().await;
    assert_eq!(sent.len(), CONNECTIONS * ROUNDS);
    assert!(sent.values().all(|times| *times == 1));
    daemon.stop().await;
}
