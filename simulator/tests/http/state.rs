//! The whole state, out of one simulator and into another.

use crate::house::{ANA, House, START_MS, text};
use serde_json::{Value, json};

#[tokio::test]
async fn a_state_is_saved_and_goes_on_elsewhere() {
    let house = House::new().await;
    house.open_window().await;
    let group = house.group(&["ana", "bram"]).await;
    house.control("say", json!({"from": "ana", "group": group, "text": "in the group"})).await;
    let request = house.http.post(format!("{}/control/media", house.url)).header("content-type", "image/png");
    let file: Value = request.body(vec![1, 2, 3]).send().await.unwrap().json().await.unwrap();
    let body = json!({"name": "news", "language": "en", "category": "UTILITY", "components": [{"type": "BODY", "text": "Hello"}]});
    house.faults(json!({"template_review_ms": 60_000, "receipt_delay_ms": 5_000})).await;
    house.graph("POST", "102290129340398/message_templates", body).await;
    house.send(text(ANA, "on its way")).await;
    house.idle().await;
    let state = house.get("state").await;
    assert!(!state.to_string().contains("test-app-secret") && !state.to_string().contains("test-token"));

    let other = House::with(|config| config.clock = beadle_simulator::ClockKind::Virtual(START_MS - 7), &[]).await;
    other.control("state", state.clone()).await;
    assert_eq!(other.get("clock").await["now_ms"], START_MS);
    assert_eq!(other.get("groups").await, house.get("groups").await);
    assert_eq!(other.get("people").await, house.get("people").await);
    let messages = other.get("messages?from=both").await;
    assert_eq!(messages["messages"], house.get("messages?from=both").await["messages"]);
    let shown =
        other.http.get(format!("{}/control/media/{}", other.url, file["id"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(shown.bytes().await.unwrap().to_vec(), [1, 2, 3]);
    // What was waiting goes on there: the receipt and the review.
    other.advance(60_000).await;
    other.idle().await;
    assert_eq!(other.daemon.states(), ["delivered"]);
    assert_eq!(other.daemon.field("message_template_status_update")[0]["event"], "APPROVED");
    assert_eq!(other.send(text(ANA, "and on")).await.0, 200, "her window is open there too");
}

#[tokio::test]
async fn what_cannot_be_saved_or_loaded_is_said() {
    let house = House::new().await;
    house.faults(json!({"webhooks_paused": true})).await;
    house.say("ana", "stuck").await;
    let answer = house.http.get(format!("{}/control/state?wait_ms=1", house.url)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 409);
    assert_eq!(house.post("/control/state", json!({"version": 1})).await.0, 400);
    house.faults(json!({"webhooks_paused": false})).await;
    house.idle().await;
    let mut state = house.get("state").await;
    state["phone_number_id"] = json!("1");
    let (status, answer) = house.post("/control/state", state).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("number 1"));
    let said = house.get("messages?from=person").await;
    assert_eq!(said["messages"][0]["body"]["body"], "stuck", "nothing was changed");
}
