//! The platform says no, says nothing, or says it too late; when it is well again, everybody has one answer.

use crate::UNPACED;
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::simulator::{Place, Simulator};
use serde_json::{Value, json};

const MESSAGES: u64 = 60;

/// Longer than any back-off and any doubt.
const LATER_MS: i64 = 60 * 60_000;

async fn world(outbox: &str) -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).toml(outbox).clock(&place.clock_url());
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// Lets time pass until nothing waits in the outbox.
async fn settle(daemon: &Daemon, simulator: &Simulator) -> Value {
    simulator.advance(LATER_MS).await;
    let status = daemon.status().await;
    for name in ["events_open", "queued", "sending"] {
        assert_eq!(status.get(name), Some(&json!(0)), "{status}");
    }
    status
}

async fn assert_each_once(simulator: &Simulator) {
    let sent = simulator.sent().await;
    assert_eq!(sent.len() as u64, MESSAGES);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
}

#[tokio::test]
async fn what_the_platform_refuses_for_now_is_sent_later_and_once() {
    let (_setup, daemon, simulator) = world("").await;
    // Something went wrong, service unavailable, too much of everything, too much to one person.
    for (code, said) in [131_000, 131_016, 130_429, 131_056].into_iter().zip(1..) {
        simulator.faults(json!({ "send_error": { "next": 8, "code": code } })).await;
        simulator.flood(MESSAGES / 4, MESSAGES / 4, 0.0, &format!("code {code} n")).await;
        simulator.said(said * MESSAGES / 4).await;
        settle(&daemon, &simulator).await;
    }
    assert_each_once(&simulator).await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_by_the_receipt() {
    let (_setup, daemon, simulator) = world("").await;
    simulator.faults(json!({ "send_drop_after": { "probability": 0.4 } })).await;
    simulator.flood(20, MESSAGES, 0.0, "n").await;
    simulator.said(MESSAGES).await;
    settle(&daemon, &simulator).await;
    assert_each_once(&simulator).await;
    assert_eq!(daemon.count("dead-letters").await, 0, "the receipts showed that it arrived");
    daemon.stop().await;
}

#[tokio::test]
async fn what_nobody_knows_of_is_held_and_counted() {
    let (_setup, daemon, simulator) = world("[outbox]\non_ambiguous = \"hold\"").await;
    simulator.faults(json!({ "send_drop_before": { "next": 9 } })).await;
    simulator.flood(20, MESSAGES, 0.0, "n").await;
    simulator.said(MESSAGES).await;
    let status = settle(&daemon, &simulator).await;
    assert_eq!(status.get("dead_letters"), Some(&json!(9)));
    assert_eq!(simulator.sent().await.len() as u64, MESSAGES - 9);
    for row in daemon.all("dead-letters").await {
        assert_eq!(row.get("code"), Some(&json!("outcome-unknown")), "{row}");
        let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(daemon.post(&format!("dead-letters/{id}/retry")).await.status, 200);
    }
    settle(&daemon, &simulator).await;
    assert_each_once(&simulator).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_nobody_knows_of_is_sent_again_and_marked() {
    let (_setup, daemon, simulator) = world("[outbox]\non_ambiguous = \"resend\"").await;
    // Accepted, but neither the answer nor any receipt comes: it will be there twice.
    simulator.faults(json!({ "send_drop_after": { "next": 5 }, "receipts": false })).await;
    simulator.flood(20, MESSAGES, 0.0, "n").await;
    simulator.said(MESSAGES).await;
    settle(&daemon, &simulator).await;
    let sent = simulator.sent().await;
    assert_eq!(sent.len() as u64, MESSAGES);
    assert_eq!(sent.values().filter(|times| **times == 2).count(), 5, "{sent:?}");
    let accepted = daemon.all("outbox?state=accepted").await;
    assert_eq!(accepted.iter().filter(|row| row.get("maybe_twice") == Some(&json!(true))).count(), 5);
    daemon.stop().await;
}

#[tokio::test]
async fn what_a_person_has_to_see_to_stops_the_channel_is_said_and_goes_on_by_itself() {
    // Another number of the same app, which has nothing to send.
    let club = "[channels.club]\napp = \"main\"\nphone_number_id = \"222222222222222\"";
    let (setup, daemon, simulator) = world(club).await;
    let account = |restriction: &str| json!({ "restriction": restriction });
    for (nth, (fault, words)) in
        [("token", "token has expired"), ("locked", "locked"), ("blocked", "blocked")].into_iter().enumerate()
    {
        match fault {
            "token" => simulator.faults(json!({ "token_expired": true })).await,
            restriction => drop(simulator.control("POST", "account", &account(restriction)).await),
        }
        let text = format!("are you there, {fault}");
        simulator.say("Ana", &text).await;
        // It stops; nothing is lost, and nothing is given up.
        let stopped =
            |status: &Value| status.get("problems").is_some_and(|it| it.to_string().contains("channel-stopped"));
        daemon.status_until(stopped).await;
        let said = setup.cli(&["status"]).await;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("shop") && said.contains(words), "{said}");
        // A token is the app's, a restriction the number's.
        assert_eq!(said.contains("club does not send"), fault == "token", "{said}");
        assert_eq!((simulator.messages(Some("Ana")).await.len(), daemon.count("dead-letters").await), (nth, 0));
        match fault {
            "token" => simulator.faults(json!({ "token_expired": false })).await,
            _ => drop(simulator.control("POST", "account", &account("none")).await),
        }
        let status = settle(&daemon, &simulator).await;
        assert!(!stopped(&status), "{status}");
        assert_eq!(simulator.texts("Ana").await.last(), Some(&text));
    }
    daemon.stop().await;
}
