//! The door: the handshake, forged and oversized webhooks, kinds that nobody knows, and what makes no sense.

use crate::text;
use beadle_e2e::daemon::Setup;
use beadle_e2e::http::{Answer, Connection, request};
use beadle_e2e::meta;
use beadle_e2e::simulator::Place;
use beadle_e2e::until;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

async fn ask(setup: &Setup, bytes: &[u8]) -> Answer {
    let exchange = async { Connection::tcp(&setup.http).await?.exchange(bytes).await };
    exchange.await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn the_handshake_gives_the_challenge_back_to_who_knows_the_token() {
    let place = Place::new();
    let setup = Setup::new(&place.url());
    let daemon = setup.start().await;
    let handshake = |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        request("GET", &format!("{}?{query}", meta::WEBHOOK_PATH), "", b"")
    };
    let answer = ask(&setup, &handshake(meta::VERIFY_TOKEN)).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "1158201444"));
    assert_eq!(ask(&setup, &handshake("guessed")).await.status, 403);
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_forged_is_refused_and_what_is_odd_is_kept() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let body = meta::text_message("31610000102", "wamid.FORGED", 1_795_424_400, "give me money");
    let with = |signature: &str| {
        let header = format!("X-Hub-Signature-256: {signature}\r\n");
        request("POST", meta::WEBHOOK_PATH, &header, body.as_bytes())
    };
    let other = meta::signature(b"another body");
    for signature in ["sha256=00", "", other.as_str()] {
        assert_eq!(ask(&setup, &with(signature)).await.status, 403, "{signature}");
    }
    assert_eq!(ask(&setup, &request("POST", meta::WEBHOOK_PATH, "", body.as_bytes())).await.status, 403);
    assert_eq!(ask(&setup, &request("POST", "/webhooks/other", "", body.as_bytes())).await.status, 404);
    // 3 MB is what the platform sends at most; four are refused unread.
    let large = vec![b' '; 4 << 20];
    assert_eq!(ask(&setup, &request("POST", meta::WEBHOOK_PATH, "", &large)).await.status, 413);
    assert_eq!(daemon.all("events").await.len(), 0);
    // Kinds that nobody knows are events too, with their JSON.
    let unknown = json!({"object": "whatsapp_business_account", "entry": [{ "id": meta::BUSINESS_ID, "time": 1_795_424_400,
        "changes": [{ "field": "next_years_field", "value": { "anything": [1, 2, 3] } }] }]});
    assert_eq!(ask(&setup, &meta::post(&unknown.to_string())).await.status, 200);
    let events = daemon.all("events").await;
    let id = events.first().and_then(|event| event.get("id")).and_then(Value::as_str).unwrap_or_default();
    let event = daemon.get(&format!("events/{id}")).await.to_string();
    assert!(event.contains("next_years_field") && event.contains("[1,2,3]"), "{event}");
    daemon.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_a_dead_letter_and_answered_200() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "");
    let simulator = place.start(&setup).await;
    let daemon = setup.start().await;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Cut off, as by a proxy; then a batch of which one message is nonsense, twice; then nested beyond all reason.
    let cut = meta::text_message("31610000102", "wamid.CUT", now_s, "hello");
    let cut = &cut.as_bytes()[..cut.len() - 7];
    let signed = |body: &[u8]| {
        let header = format!("X-Hub-Signature-256: {}\r\n", meta::signature(body));
        request("POST", meta::WEBHOOK_PATH, &header, body)
    };
    let batch = meta::text_message("31610000102", "wamid.GOOD", now_s, "hello");
    let batch = batch.replace(r#""messages":[{"#, r#""messages":[{"type":"text","text":{"body":"from nobody"}},{"#);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for body in [cut, batch.as_bytes(), batch.as_bytes(), deep.as_bytes()] {
        assert_eq!(ask(&setup, &signed(body)).await.status, 200);
    }
    let dead = daemon.all("dead-letters").await;
    let told: Vec<(&str, &str, u64)> = dead
        .iter()
        .map(|letter| {
            (text(letter, "/code"), text(letter, "/id"), letter.get("attempts").and_then(Value::as_u64).unwrap_or(0))
        })
        .collect();
    assert_eq!(
        told,
        [("webhook-unreadable", "whk_3", 1), ("webhook-malformed", "whk_2", 2), ("webhook-unreadable", "whk_1", 1)],
        "{dead:?}"
    );
    // The good one beside it was heard, once.
    until("the message in the batch is answered or refused", async || {
        let outbox = daemon.all("outbox?state=accepted").await.len() + daemon.all("outbox?state=failed").await.len();
        (outbox > 0).then_some(())
    })
    .await;
    let shown = setup.cli(&["dead-letters", "show", "whk_2"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("without an `id`") && shown.contains("from nobody") && !shown.contains("wamid.GOOD"),
        "{shown}"
    );
    let why = String::from_utf8_lossy(&setup.cli(&["why", "whk_2"]).await.stdout).into_owned();
    assert!(why.contains("2 times") && why.contains("is a dead letter"), "{why}");
    let metrics = daemon.try_get("/metrics").await.unwrap_or_else(|error| panic!("{error}")).text();
    assert!(metrics.contains("beadle_not_understood_total{what=\"unreadable\"} 4"), "{metrics}");
    // This version knows no better; the next one may.
    let again = setup.cli(&["dead-letters", "retry", "whk_2"]).await;
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        again.status.code() == Some(1) && said.contains("still not understood") && said.contains("webhook-malformed"),
        "{said}"
    );
    assert_eq!(setup.cli(&["dead-letters", "drop", "whk_3"]).await.status.code(), Some(0));
    daemon.stop().await;
    older_version_left(
        &setup,
        &meta::text_message("31610000102", "wamid.OLD", 1_795_424_400, "left by an older version"),
    );
    let daemon = setup.start().await;
    let again = setup.cli(&["dead-letters", "retry", "whk_4"]).await;
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.code() == Some(0) && said.contains("1 new event"), "{said}");
    let ids: Vec<String> =
        daemon.all("dead-letters").await.iter().map(|letter| text(letter, "/id").to_owned()).collect();
    assert_eq!(ids, ["whk_2", "whk_1"]);
    let events = daemon.all("events?kind=message").await;
    assert!(events.iter().any(|event| text(event, "/summary") == "left by an older version"), "{events:?}");
    drop(simulator);
    daemon.stop().await;
}

#[tokio::test]
async fn a_call_is_kept_as_it_came_and_opens_nothing() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "");
    let simulator = place.start(&setup).await;
    let daemon = setup.start().await;
    simulator.person("Ana", "31600000001").await;
    // What is in a `calls` change no fact sheet says; this one is invented, and names a person as messages do.
    let call = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": meta::PHONE_NUMBER_ID},
        "contacts": [{"wa_id": "31600000001", "profile": {"name": "Ana"}}],
        "calls": [{"id": "wacid.1", "from": "31600000001", "event": "connect", "timestamp": "1795424400"}]});
    simulator.control("POST", "webhook", &json!({ "field": "calls", "value": call })).await;
    simulator.delivered().await;
    let events = daemon.all("events").await;
    let [event] = events.as_slice() else { panic!("one event: {events:?}") };
    assert_eq!(text(event, "/kind"), "unrouted");
    let kept = daemon.get(&format!("events/{}", text(event, "/id"))).await.to_string();
    assert!(kept.contains("wacid.1") && kept.contains("connect"), "{kept}");
    assert_eq!(daemon.all("contacts").await.len(), 0, "nobody has written");
    assert_eq!(daemon.all("outbox").await.len(), 0);
    daemon.stop().await;
}

/// A letter that an older version left, which this one can read.
fn older_version_left(setup: &Setup, body: &str) {
    let script = "import sqlite3, sys, hashlib
db = sqlite3.connect(sys.argv[1])
body = sys.argv[2].encode()
db.execute('INSERT INTO letters (app, code, error, hash, received_at, bytes, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ('main', 'webhook-malformed', 'an older version knew no better', hashlib.sha256(body).digest(), 1795424400000, len(body), body))
db.commit()";
    let database = setup.data().join("beadle.db");
    let python = std::process::Command::new("python3").arg("-c").arg(script).arg(database).arg(body).status();
    assert!(python.is_ok_and(|status| status.success()), "Python writes into the database");
}
