//! Saving the whole state and loading it in another simulator.

use crate::env::{ANA, START_MS, TestEnv, text};
use serde_json::{Value, json};

#[tokio::test]
async fn saved_state_continues_in_another_simulator() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let group = env.group(&["ana", "bram"]).await;
    env.control("say", json!({"from": "ana", "group": group, "text": "in the group"})).await;
    let request = env.http.post(format!("{}/control/media", env.url)).header("content-type", "image/png");
    let file: Value = request.body(vec![1, 2, 3]).send().await.unwrap().json().await.unwrap();
    let body = json!({"name": "news", "language": "en", "category": "UTILITY", "components": [{"type": "BODY", "text": "Hello"}]});
    env.faults(json!({"template_review_ms": 60_000, "receipt_delay_ms": 5_000})).await;
    env.graph("POST", "102290129340398/message_templates", body).await;
    env.send(text(ANA, "waiting for its receipt")).await;
    env.idle().await;
    let state = env.get("state").await;
    assert!(!state.to_string().contains("test-app-secret") && !state.to_string().contains("test-token"));

    let other = TestEnv::with(|config| config.clock = beadle_simulator::ClockKind::Virtual(START_MS - 7), &[]).await;
    other.control("state", state.clone()).await;
    assert_eq!(other.get("clock").await["now_ms"], START_MS);
    assert_eq!(other.get("groups").await, env.get("groups").await);
    assert_eq!(other.get("people").await, env.get("people").await);
    let messages = other.get("messages?from=both").await;
    assert_eq!(messages["messages"], env.get("messages?from=both").await["messages"]);
    let downloaded =
        other.http.get(format!("{}/control/media/{}", other.url, file["id"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(downloaded.bytes().await.unwrap().to_vec(), [1, 2, 3]);
    // The waiting receipt and the waiting review continue.
    other.advance(60_000).await;
    other.idle().await;
    assert_eq!(other.daemon.states(), ["delivered"]);
    assert_eq!(other.daemon.field("message_template_status_update")[0]["event"], "APPROVED");
    assert_eq!(other.send(text(ANA, "continued")).await.0, 200, "the window is open");
}

#[tokio::test]
async fn saving_while_busy_and_loading_a_foreign_state_fail() {
    let env = TestEnv::new().await;
    env.faults(json!({"webhooks_paused": true})).await;
    env.say("ana", "stuck").await;
    let answer = env.http.get(format!("{}/control/state?wait_ms=1", env.url)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 409);
    assert_eq!(env.post("/control/state", json!({"version": 1})).await.0, 400);
    env.faults(json!({"webhooks_paused": false})).await;
    env.idle().await;
    let mut state = env.get("state").await;
    state["phone_number_id"] = json!("1");
    let (status, answer) = env.post("/control/state", state).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("number 1"));
    let messages = env.get("messages?from=person").await;
    assert_eq!(messages["messages"][0]["body"]["body"], "stuck", "the state is unchanged");
}
