//! The platform refuses, does not answer, or answers late; when it has recovered, each message has
//! one reply.

use crate::UNPACED;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use serde_json::{Value, json};

const MESSAGES: u64 = 60;

/// Longer than any back-off and any wait for a receipt.
const LATER_MS: i64 = 60 * 60_000;

async fn start(outbox: &str) -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(outbox).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// Advances the clock and asserts that nothing waits.
async fn settle(daemon: &Daemon, simulator: &Simulator) -> Value {
    simulator.advance(LATER_MS).await;
    let status = daemon.status().await;
    for name in ["events_open", "queued", "sending"] {
        assert_eq!(status.get(name), Some(&json!(0)), "{status}");
    }
    status
}

async fn assert_each_once(simulator: &Simulator) {
    let sent = simulator.sent_counts().await;
    assert_eq!(sent.len() as u64, MESSAGES);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
}

#[tokio::test]
async fn transient_errors_are_retried_and_sent_once() {
    let (_setup, daemon, simulator) = start("").await;
    // Internal error, unavailable, throughput, pair rate.
    for (code, round) in [131_000, 131_016, 130_429, 131_056].into_iter().zip(1..) {
        simulator.set_faults(json!({ "send_error": { "next": 8, "code": code } })).await;
        simulator.flood(MESSAGES / 4, MESSAGES / 4, 0.0, &format!("code {code} n")).await;
        simulator.wait_for_written(round * MESSAGES / 4).await;
        settle(&daemon, &simulator).await;
    }
    assert_each_once(&simulator).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn receipt_settles_a_lost_response() {
    let (_setup, daemon, simulator) = start("").await;
    simulator.set_faults(json!({ "send_drop_after": { "probability": 0.4 } })).await;
    simulator.flood(20, MESSAGES, 0.0, "n").await;
    simulator.wait_for_written(MESSAGES).await;
    settle(&daemon, &simulator).await;
    assert_each_once(&simulator).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0, "the receipts settled them");
    daemon.stop().await;
}

#[tokio::test]
async fn ambiguous_messages_are_held() {
    let (_setup, daemon, simulator) = start("[outbox]\non_ambiguous = \"hold\"").await;
    simulator.set_faults(json!({ "send_drop_before": { "next": 9 } })).await;
    simulator.flood(20, MESSAGES, 0.0, "n").await;
    simulator.wait_for_written(MESSAGES).await;
    let status = settle(&daemon, &simulator).await;
    assert_eq!(status.get("dead_letters"), Some(&json!(9)));
    assert_eq!(simulator.sent_counts().await.len() as u64, MESSAGES - 9);
    for row in daemon.list_all("dead-letters").await {
        assert_eq!(row.get("code"), Some(&json!("outcome-unknown")), "{row}");
        let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(daemon.post(&format!("dead-letters/{id}/retry")).await.status, 200);
    }
    settle(&daemon, &simulator).await;
    assert_each_once(&simulator).await;
    daemon.stop().await;
}

#[tokio::test]
async fn resend_repeats_ambiguous_messages_with_a_mark() {
    let (_setup, daemon, simulator) = start("[outbox]\non_ambiguous = \"resend\"").await;
    // Accepted, but neither a response nor a receipt arrives: it is sent twice.
    simulator.set_faults(json!({ "send_drop_after": { "next": 5 }, "receipts": false })).await;
    simulator.flood(20, MESSAGES, 0.0, "n").await;
    simulator.wait_for_written(MESSAGES).await;
    settle(&daemon, &simulator).await;
    let sent = simulator.sent_counts().await;
    assert_eq!(sent.len() as u64, MESSAGES);
    assert_eq!(sent.values().filter(|times| **times == 2).count(), 5, "{sent:?}");
    let accepted = daemon.list_all("outbox?state=accepted").await;
    assert_eq!(accepted.iter().filter(|row| row.get("possibly_duplicate") == Some(&json!(true))).count(), 5);
    daemon.stop().await;
}

#[tokio::test]
async fn account_errors_stop_the_channel_until_they_are_resolved() {
    // Another number of the same app, with nothing to send.
    let club = "[channels.club]\napp = \"main\"\nphone_number_id = \"222222222222222\"";
    let (setup, daemon, simulator) = start(club).await;
    let account = |restriction: &str| json!({ "restriction": restriction });
    for (nth, (fault, words)) in
        [("token", "token has expired"), ("locked", "locked"), ("blocked", "blocked")].into_iter().enumerate()
    {
        match fault {
            "token" => simulator.set_faults(json!({ "token_expired": true })).await,
            restriction => drop(simulator.control("POST", "account", &account(restriction)).await),
        }
        let text = format!("are you there, {fault}");
        simulator.say("Ana", &text).await;
        // The channel stops; nothing is lost or given up.
        let stopped = |status: &Value| {
            status.get("problems").is_some_and(|problems| problems.to_string().contains("channel-stopped"))
        };
        daemon.wait_for_status(stopped).await;
        let output = setup.cli(&["status"]).await;
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(status.contains("shop") && status.contains(words), "{status}");
        // The message that waits says why.
        let waiting = daemon.list_all("outbox").await;
        let id = waiting.iter().map(|row| row.get("id").and_then(Value::as_str).unwrap_or_default()).next();
        let why = setup.cli(&["why", id.unwrap_or_default()]).await;
        let why = String::from_utf8_lossy(&why.stdout).into_owned();
        assert!(why.contains("channel shop") && why.contains("now: stopped: ") && why.contains(words), "{why}");
        // A token belongs to the app, a restriction to the number.
        assert_eq!(status.contains("club does not send"), fault == "token", "{status}");
        assert_eq!((simulator.messages(Some("Ana")).await.len(), daemon.status_count("dead_letters").await), (nth, 0));
        match fault {
            "token" => simulator.set_faults(json!({ "token_expired": false })).await,
            _ => drop(simulator.control("POST", "account", &account("none")).await),
        }
        let status = settle(&daemon, &simulator).await;
        assert!(!stopped(&status), "{status}");
        assert_eq!(simulator.texts("Ana").await.last(), Some(&text));
    }
    daemon.stop().await;
}

/// The value of a line of the metrics; 0 if there is none.
async fn metric(daemon: &Daemon, line: &str) -> u64 {
    let metrics = daemon.try_get("/metrics").await.unwrap_or_else(|error| panic!("{error}")).text();
    let value = metrics.lines().find_map(|candidate| candidate.strip_prefix(line)?.trim().parse().ok());
    value.unwrap_or(0)
}

#[tokio::test]
async fn failed_receipts_stop_the_channel_until_one_succeeds() {
    let (setup, daemon, simulator) = start("").await;
    simulator.set_faults(json!({ "send_async_failure": { "probability": 1, "code": 131_042 } })).await;
    simulator.flood(1, 1, 0.0, "first").await;
    let stopped = |status: &Value| {
        status.get("problems").is_some_and(|problems| problems.to_string().contains("channel-stopped"))
    };
    daemon.wait_for_status(stopped).await;
    simulator.flood(MESSAGES, MESSAGES - 1, 0.0, "n").await;
    simulator.wait_for_written(MESSAGES).await;
    let status = String::from_utf8_lossy(&setup.cli(&["status"]).await.stdout).into_owned();
    assert!(status.contains("shop") && status.contains("payment"), "{status}");
    // The platform still accepts each trial; that does not mean that the channel works.
    simulator.advance(10 * 60_000).await;
    daemon.wait_for_status(stopped).await;
    let failed = metric(&daemon, "beadle_message_failures_total{code=\"131042\"}").await;
    assert!(failed >= 5, "{failed}");
    let sent = simulator.sent_counts().await.len() as u64;
    assert_eq!(sent, failed);
    assert!(sent < MESSAGES, "the others wait");
    let errors = |part: &str| daemon.program.output().lines().filter(|line| line.contains(part)).count();
    let stops = errors("channel stopped until the operator acts");
    assert!((1..=12).contains(&stops), "once per trial, not once per message: {stops}");
    simulator.set_faults(json!({ "send_async_failure": null })).await;
    let status = settle(&daemon, &simulator).await;
    assert!(!stopped(&status), "{status}");
    assert_each_once(&simulator).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn failed_receipts_of_one_person_are_only_counted() {
    let (_setup, daemon, simulator) = start("").await;
    simulator.set_faults(json!({ "send_async_failure": { "next": 3, "code": 131_026 } })).await;
    simulator.flood(20, MESSAGES, 0.0, "n").await;
    simulator.wait_for_written(MESSAGES).await;
    let status = settle(&daemon, &simulator).await;
    assert!(!crate::has_problems(&status), "{status}");
    assert_eq!(metric(&daemon, "beadle_message_failures_total{code=\"131026\"}").await, 3);
    assert_each_once(&simulator).await;
    let output = daemon.program.output();
    assert!(output.contains("message failed after acceptance") && !output.contains("channel pauses"), "{output}");
    daemon.stop().await;
}
