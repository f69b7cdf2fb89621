//! Another program holds the database's lock: webhooks are refused and repeated, and what became of
//! sends is kept in memory until it can be written. Or it reads without an end, so that the log
//! grows.

use crate::{UNPACED, has_problems};
use beadle_test_support::daemon::Setup;
use beadle_test_support::http::Connection;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::webhook;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Holds a transaction until its standard input is closed.
const HOLD: &str = "import sqlite3, sys\n\
    db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
    db.execute('BEGIN ' + sys.argv[2]); db.execute('SELECT count(*) FROM events').fetchall()\n\
    print('locked', flush=True); sys.stdin.read(); db.execute('ROLLBACK')";

async fn hold(database: &Path, kind: &str) -> Child {
    let mut command = Command::new("python3");
    command.args(["-c", HOLD]).arg(database).arg(kind).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("python3: {error}"));
    let stdout = child.stdout.take().unwrap();
    let line = BufReader::new(stdout).lines().next_line().await.unwrap();
    assert_eq!(line.as_deref(), Some("locked"));
    child
}

async fn release(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn sends_under_a_foreign_lock_are_settled_when_it_is_gone() {
    const PEOPLE: u64 = 20;
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml("[outbox]\nambiguous_wait = \"1s\"");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    // No receipt settles a send, and each is on its way when the lock is taken.
    let slow = json!({ "receipt_lost": { "probability": 1 }, "send_slow": { "probability": 1, "ms": 2000 } });
    simulator.set_faults(slow).await;
    simulator.flood(PEOPLE, PEOPLE, 0.0, "hello").await;
    daemon.wait_for_status(|status| status.get("sending") == Some(&json!(PEOPLE))).await;
    let held = hold(&setup.data().join("beadle.db"), "IMMEDIATE").await;
    // The daemon waits a while for the lock before it reports that it cannot write.
    daemon.wait_for_status(has_problems).await;
    release(held).await;
    daemon.wait_for_status(|status| !has_problems(status)).await;
    daemon.wait_until_idle().await;
    assert_eq!(simulator.messages(None).await.len() as u64, PEOPLE);
    daemon.stop().await;
    let daemon = setup.start().await;
    daemon.wait_until_idle().await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    assert_eq!(daemon.list_all("outbox?state=accepted").await.len() as u64, PEOPLE);
    daemon.stop().await;
}

/// A quarter of a gibibyte of log is reported; at a whole one, new work would be refused.
#[tokio::test]
async fn foreign_reader_that_never_ends_is_reported() {
    /// More than a gibibyte of bodies, at which new work is refused.
    const MAX_WEBHOOKS: usize = 400;
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url());
    let daemon = setup.start().await;
    let held = hold(&setup.data().join("beadle.db"), "DEFERRED").await;
    let is_reported = |status: &Value| status.to_string().contains("read transaction open");
    let mut connection = Connection::tcp(&setup.http).await.unwrap();
    let mut count = 0;
    while !is_reported(&daemon.status().await) {
        let filling = "x".repeat(2_900_000);
        let body = json!({"object": "whatsapp_business_account", "entry": [{ "id": webhook::BUSINESS_ID, "time": count,
            "changes": [{ "field": "next_years_field", "value": { "number": count, "filling": filling } }] }]});
        let answer = connection.exchange(&webhook::signed_request(&body.to_string())).await.unwrap();
        count += 1;
        assert!(answer.status == 200 && count < MAX_WEBHOOKS, "{count}: {}", answer.status);
    }
    let metrics = daemon.try_get("/metrics").await.unwrap().text();
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("beadle_store_wal_bytes ")).unwrap();
    let mib = bytes.parse::<f64>().unwrap() / f64::from(1 << 20);
    assert!((256.0..512.0).contains(&mib), "long before the limit: {mib} MiB");
    release(held).await;
    daemon.wait_for_status(|status| !is_reported(status)).await;
    daemon.stop().await;
}
