//! The door: the handshake, forged and oversized webhooks, kinds that nobody knows.

use beadle_e2e::daemon::Setup;
use beadle_e2e::http::{Answer, Connection, request};
use beadle_e2e::meta;
use beadle_e2e::simulator::Place;
use serde_json::{Value, json};

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
