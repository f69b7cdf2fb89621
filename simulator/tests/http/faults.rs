//! Faults of sends and of receipts.

use crate::env::{ANA, TestEnv, text};
use serde_json::{Value, json};
use std::time::Duration;

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

/// Sends a message under this fault; returns the response and the number of accepted messages.
async fn under_fault(fault: Value) -> (Option<u16>, Value, usize) {
    let env = TestEnv::new().await;
    env.open_window().await;
    env.faults(fault).await;
    let result = tokio::time::timeout(Duration::from_millis(300), env.try_send(&text(ANA, "x"))).await;
    let (status, body) = match result {
        Ok(Ok((status, text))) => (Some(status), serde_json::from_str(&text).unwrap_or(Value::Null)),
        Ok(Err(error)) => {
            assert!(!error.is_status() && !error.is_decode(), "{error}");
            (None, json!("dropped"))
        }
        Err(_) => (None, json!("no response")),
    };
    let accepted = env.get("messages").await["messages"].as_array().unwrap().len();
    if accepted > 0 {
        env.idle().await;
        assert!(!env.daemon.states().is_empty(), "an accepted message gets a status");
    }
    // The next send is not affected.
    assert_eq!(env.send(text(ANA, "y")).await.0, 200);
    (status, body, accepted)
}

#[tokio::test]
async fn send_faults_have_the_documented_effects() {
    let once = |name: &str| json!({name: {"next": 1}});
    let (status, body, accepted) = under_fault(once("send_error")).await;
    assert_eq!((status, code(&body), accepted), (Some(500), 131_000, 0));
    let (status, body, accepted) = under_fault(json!({"send_error": {"next": 1, "code": 131_056}})).await;
    assert_eq!((status, code(&body), accepted), (Some(400), 131_056, 0));
    assert_eq!(under_fault(once("send_http_500")).await, (Some(500), Value::Null, 0));
    assert_eq!(under_fault(once("send_http_503")).await, (Some(503), Value::Null, 0));
    assert_eq!(under_fault(once("send_timeout")).await, (None, json!("no response"), 0));
    assert_eq!(under_fault(once("send_timeout_after")).await, (None, json!("no response"), 1));
    assert_eq!(under_fault(once("send_drop_before")).await, (None, json!("dropped"), 0));
    assert_eq!(under_fault(once("send_drop_after")).await, (None, json!("dropped"), 1));
    let (status, _, accepted) = under_fault(json!({"send_slow": {"next": 1, "ms": 20}})).await;
    assert_eq!((status, accepted), (Some(200), 1));
    let (status, body, _) = under_fault(json!({"send_slow": {"next": 1, "ms": 60_000}})).await;
    assert_eq!((status, body), (None, json!("no response")));
    let (status, _, accepted) = under_fault(json!({"send_async_failure": {"next": 1, "code": 131_049}})).await;
    assert_eq!((status, accepted), (Some(200), 1));
}

#[tokio::test]
async fn receipt_faults_have_the_documented_effects() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let mut runs = Vec::new();
    for fault in [
        json!({"receipt_lost": {"next": 1, "only": ["delivered"]}}),
        json!({"receipt_duplicated": {"next": 1}}),
        json!({"receipt_reordered": {"next": 1}}),
    ] {
        env.faults(fault).await;
        env.send(text(ANA, "x")).await;
        env.idle().await;
        runs.push(env.daemon.states());
        env.daemon.clear();
    }
    assert_eq!(runs[0], ["sent"]);
    assert_eq!(runs[1].iter().filter(|state| *state == "sent").count(), 2);
    assert_eq!(runs[2], ["delivered", "sent"]);
    env.faults(json!({"receipt_delayed": {"next": 1, "only": ["delivered"], "ms": 90_000}})).await;
    env.send(text(ANA, "x")).await;
    env.idle().await;
    assert_eq!(env.daemon.states(), ["sent"]);
    env.advance(90_000).await;
    env.daemon.delivered(2).await;
    assert_eq!(env.daemon.states(), ["sent", "delivered"]);
    env.daemon.clear();
    env.faults(json!({"receipt_delay_ms": 1_000, "auto_read": true})).await;
    env.send(text(ANA, "x")).await;
    env.advance(2_000).await;
    env.idle().await;
    assert_eq!(env.daemon.states(), ["sent", "delivered", "read"]);
    env.daemon.clear();
    env.faults(json!({"receipts": false})).await;
    env.send(text(ANA, "x")).await;
    assert_eq!(env.idle().await["in_flight"], 0);
    assert!(env.daemon.states().is_empty());
}

#[tokio::test]
async fn same_seed_injects_the_same_faults() {
    let env = TestEnv::new().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        // A reset also restarts the random sequence.
        env.control("reset", Value::Null).await;
        env.daemon.clear();
        env.open_window().await;
        env.daemon.clear();
        env.faults(json!({"receipt_lost": {"probability": 0.4}, "send_error": {"probability": 0.3}})).await;
        let mut statuses = Vec::new();
        for n in 0..30 {
            statuses.push(env.send(text(ANA, &n.to_string())).await.0);
        }
        env.idle().await;
        runs.push((statuses, env.daemon.states()));
    }
    assert_eq!(runs[0], runs[1]);
    let (statuses, states) = &runs[0];
    let (sent, receipts) = (statuses.iter().filter(|status| **status == 200).count(), states.len());
    assert!(
        (1..30).contains(&sent) && (1..2 * sent).contains(&receipts),
        "some sends and some receipts fail: {sent} of 30 sent, {receipts} receipts"
    );
}
