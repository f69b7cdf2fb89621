//! The webhook endpoint: handshake, forged and oversized requests, unknown fields, and malformed
//! bodies.

use crate::text;
use beadle_test_support::daemon::Setup;
use beadle_test_support::http::{Connection, Response, request};
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use beadle_test_support::webhook;
use serde_json::{Value, json};

async fn send(setup: &Setup, bytes: &[u8]) -> Response {
    let exchange = async { Connection::tcp(&setup.http).await?.exchange(bytes).await };
    exchange.await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn handshake_returns_the_challenge_for_the_right_token() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url());
    let daemon = setup.start().await;
    let handshake = |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        request("GET", &format!("{}?{query}", webhook::PATH), "", b"")
    };
    let answer = send(&setup, &handshake(webhook::VERIFY_TOKEN)).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "1158201444"));
    assert_eq!(send(&setup, &handshake("guessed")).await.status, 403);
    daemon.stop().await;
}

#[tokio::test]
async fn forged_requests_are_refused() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let body = webhook::text_message("31610000102", "wamid.FORGED", 1_795_424_400, "give me money");
    let with = |signature: &str| {
        let header = format!("X-Hub-Signature-256: {signature}\r\n");
        request("POST", webhook::PATH, &header, body.as_bytes())
    };
    let other = webhook::signature(webhook::APP_SECRET, b"another body");
    for signature in ["sha256=00", "", other.as_str()] {
        assert_eq!(send(&setup, &with(signature)).await.status, 403, "{signature}");
    }
    assert_eq!(send(&setup, &request("POST", webhook::PATH, "", body.as_bytes())).await.status, 403);
    assert_eq!(send(&setup, &request("POST", "/webhooks/other", "", body.as_bytes())).await.status, 404);
    // The platform sends at most 3 MB; 4 MiB are refused before any of them arrives.
    let large = format!(
        "POST {} HTTP/1.1\r\nHost: beadle\r\nX-Hub-Signature-256: {other}\r\nContent-Length: {}\r\n\r\n",
        webhook::PATH,
        4 << 20
    );
    assert_eq!(send(&setup, large.as_bytes()).await.status, 413);
    assert_eq!(daemon.list_all("events").await.len(), 0);
    daemon.stop().await;
}

#[tokio::test]
async fn unknown_field_becomes_an_event_with_its_json() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let unknown = json!({"object": "whatsapp_business_account", "entry": [{ "id": webhook::BUSINESS_ID, "time": 1_795_424_400,
        "changes": [{ "field": "next_years_field", "value": { "anything": [1, 2, 3] } }] }]});
    assert_eq!(send(&setup, &webhook::signed_request(&unknown.to_string())).await.status, 200);
    let events = daemon.list_all("events").await;
    let id = events.first().and_then(|event| event.get("id")).and_then(Value::as_str).unwrap_or_default();
    let event = daemon.get(&format!("events/{id}")).await.to_string();
    assert!(event.contains("next_years_field") && event.contains("[1,2,3]"), "{event}");
    daemon.stop().await;
}

#[tokio::test]
async fn malformed_webhooks_are_answered_200_and_become_dead_letters() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    let now_s = webhook::unix_time_s();
    // A truncated body; a batch with one malformed message, twice; extreme nesting.
    let cut = webhook::text_message("31610000102", "wamid.CUT", now_s, "hello");
    let cut = &cut.as_bytes()[..cut.len() - 7];
    let signed = |body: &[u8]| {
        let header = format!("X-Hub-Signature-256: {}\r\n", webhook::signature(webhook::APP_SECRET, body));
        request("POST", webhook::PATH, &header, body)
    };
    let batch = webhook::text_message("31610000102", "wamid.GOOD", now_s, "hello");
    let batch = batch.replace(r#""messages":[{"#, r#""messages":[{"type":"text","text":{"body":"from nobody"}},{"#);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for body in [cut, batch.as_bytes(), batch.as_bytes(), deep.as_bytes()] {
        assert_eq!(send(&setup, &signed(body)).await.status, 200);
    }
    let dead = daemon.list_all("dead-letters").await;
    let rows: Vec<(&str, &str, u64)> = dead
        .iter()
        .map(|letter| {
            (text(letter, "/code"), text(letter, "/id"), letter.get("attempts").and_then(Value::as_u64).unwrap_or(0))
        })
        .collect();
    assert_eq!(
        rows,
        [("webhook-unreadable", "whk_3", 1), ("webhook-malformed", "whk_2", 2), ("webhook-unreadable", "whk_1", 1)],
        "{dead:?}"
    );
    // The valid message of the batch was handled once.
    wait_until("the message in the batch is answered or refused", async || {
        let outbox =
            daemon.list_all("outbox?state=accepted").await.len() + daemon.list_all("outbox?state=failed").await.len();
        (outbox > 0).then_some(())
    })
    .await;
    let output = setup.cli(&["dead-letters", "show", "whk_2"]).await;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.contains("has no `id`") && output.contains("from nobody") && !output.contains("wamid.GOOD"),
        "{output}"
    );
    let trace = String::from_utf8_lossy(&setup.cli(&["why", "whk_2"]).await.stdout).into_owned();
    assert!(trace.contains("2 times") && trace.contains("is a dead letter"), "{trace}");
    let metrics = daemon.try_get("/metrics").await.unwrap_or_else(|error| panic!("{error}")).text();
    assert!(metrics.contains("beadle_unrecognized_input_total{kind=\"malformed\"} 4"), "{metrics}");
    // This version still cannot read it.
    let again = setup.cli(&["dead-letters", "retry", "whk_2"]).await;
    let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        again.status.code() == Some(1)
            && stderr.contains("still cannot be parsed")
            && stderr.contains("webhook-malformed"),
        "{stderr}"
    );
    assert_eq!(setup.cli(&["dead-letters", "drop", "whk_3"]).await.status.code(), Some(0));
    daemon.stop().await;
    insert_rejected_webhook(
        &setup,
        &webhook::text_message("31610000102", "wamid.OLD", now_s, "left by an older version"),
    );
    let daemon = setup.start().await;
    let again = setup.cli(&["dead-letters", "retry", "whk_4"]).await;
    let stdout = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.code() == Some(0) && stdout.contains("1 new event"), "{stdout}");
    let ids: Vec<String> =
        daemon.list_all("dead-letters").await.iter().map(|letter| text(letter, "/id").to_owned()).collect();
    assert_eq!(ids, ["whk_2", "whk_1"]);
    let events = daemon.list_all("events?kind=message").await;
    assert!(events.iter().any(|event| text(event, "/summary") == "left by an older version"), "{events:?}");
    drop(simulator);
    daemon.stop().await;
}

#[tokio::test]
async fn call_is_kept_and_opens_no_window() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person("Ana", "31600000001").await;
    // The content of `calls` is not documented here; this one is invented and names a person as
    // messages do.
    let call = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": webhook::PHONE_NUMBER_ID},
        "contacts": [{"wa_id": "31600000001", "profile": {"name": "Ana"}}],
        "calls": [{"id": "wacid.1", "from": "31600000001", "event": "connect", "timestamp": "1795424400"}]});
    simulator.control("POST", "webhook", &json!({ "field": "calls", "value": call })).await;
    simulator.wait_until_delivered().await;
    let events = daemon.list_all("events").await;
    let [event] = events.as_slice() else { panic!("one event: {events:?}") };
    assert_eq!(text(event, "/kind"), "unrouted");
    let kept = daemon.get(&format!("events/{}", text(event, "/id"))).await.to_string();
    assert!(kept.contains("wacid.1") && kept.contains("connect"), "{kept}");
    assert_eq!(daemon.list_all("contacts").await.len(), 0, "no person has written");
    assert_eq!(daemon.list_all("outbox").await.len(), 0);
    daemon.stop().await;
}

/// Stores a rejected webhook that this version can read, as an older version would have left it.
fn insert_rejected_webhook(setup: &Setup, body: &str) {
    let script = "import sqlite3, sys, hashlib
db = sqlite3.connect(sys.argv[1])
body = sys.argv[2].encode()
db.execute('INSERT INTO rejected_webhooks (app, code, error, hash, received_at, bytes, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ('main', 'webhook-malformed', 'an older version knew no better', hashlib.sha256(body).digest(), 1795424400000, len(body), body))
db.commit()";
    let database = setup.data().join("beadle.db");
    let python = std::process::Command::new("python3").arg("-c").arg(script).arg(database).arg(body).status();
    assert!(python.is_ok_and(|status| status.success()), "Python must write into the database");
}
