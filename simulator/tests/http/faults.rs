//! Every fault of sending and of receipts does what it says.

use crate::house::{ANA, House, text};
use serde_json::{Value, json};
use std::time::Duration;

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

/// How a send ends under this fault, and what became of the message.
async fn under_fault(fault: Value) -> (Option<u16>, Value, usize) {
    let house = House::new().await;
    house.open_window().await;
    house.faults(fault).await;
    let ended = tokio::time::timeout(Duration::from_millis(300), house.try_send(&text(ANA, "x"))).await;
    let (status, body) = match ended {
        Ok(Ok((status, text))) => (Some(status), serde_json::from_str(&text).unwrap_or(Value::Null)),
        Ok(Err(error)) => {
            assert!(!error.is_status() && !error.is_decode(), "{error}");
            (None, json!("dropped"))
        }
        Err(_) => (None, json!("no answer")),
    };
    let accepted = house.get("messages").await["messages"].as_array().unwrap().len();
    if accepted > 0 {
        house.idle().await;
        assert!(!house.daemon.states().is_empty(), "it is delivered, or told to have failed");
    }
    // The next send is as if nothing had been.
    assert_eq!(house.send(text(ANA, "y")).await.0, 200);
    (status, body, accepted)
}

#[tokio::test]
async fn every_fault_of_sending_does_what_it_says() {
    let once = |name: &str| json!({name: {"next": 1}});
    let (status, body, accepted) = under_fault(once("send_error")).await;
    assert_eq!((status, code(&body), accepted), (Some(500), 131_000, 0));
    let (status, body, accepted) = under_fault(json!({"send_error": {"next": 1, "code": 131_056}})).await;
    assert_eq!((status, code(&body), accepted), (Some(400), 131_056, 0));
    assert_eq!(under_fault(once("send_bare_500")).await, (Some(500), Value::Null, 0));
    assert_eq!(under_fault(once("send_503")).await, (Some(503), Value::Null, 0));
    assert_eq!(under_fault(once("send_timeout")).await, (None, json!("no answer"), 0));
    assert_eq!(under_fault(once("send_timeout_after")).await, (None, json!("no answer"), 1));
    assert_eq!(under_fault(once("send_drop_before")).await, (None, json!("dropped"), 0));
    assert_eq!(under_fault(once("send_drop_after")).await, (None, json!("dropped"), 1));
    let (status, _, accepted) = under_fault(json!({"send_slow": {"next": 1, "ms": 20}})).await;
    assert_eq!((status, accepted), (Some(200), 1));
    let (status, body, _) = under_fault(json!({"send_slow": {"next": 1, "ms": 60_000}})).await;
    assert_eq!((status, body), (None, json!("no answer")));
    let (status, _, accepted) = under_fault(json!({"send_failed_later": {"next": 1, "code": 131_049}})).await;
    assert_eq!((status, accepted), (Some(200), 1));
}

#[tokio::test]
async fn receipts_are_lost_late_doubled_and_overtaken_on_demand() {
    let house = House::new().await;
    house.open_window().await;
    let mut runs = Vec::new();
    for fault in [
        json!({"receipt_lost": {"next": 1, "only": ["delivered"]}}),
        json!({"receipt_duplicated": {"next": 1}}),
        json!({"receipt_disordered": {"next": 1}}),
    ] {
        house.faults(fault).await;
        house.send(text(ANA, "x")).await;
        house.idle().await;
        runs.push(house.daemon.states());
        house.daemon.forget();
    }
    assert_eq!(runs[0], ["sent"]);
    assert_eq!(runs[1].iter().filter(|state| *state == "sent").count(), 2);
    assert_eq!(runs[2], ["delivered", "sent"]);
    house.faults(json!({"receipt_late": {"next": 1, "only": ["delivered"], "ms": 90_000}})).await;
    house.send(text(ANA, "x")).await;
    house.idle().await;
    assert_eq!(house.daemon.states(), ["sent"]);
    house.advance(90_000).await;
    house.daemon.delivered(2).await;
    assert_eq!(house.daemon.states(), ["sent", "delivered"]);
    house.daemon.forget();
    house.faults(json!({"receipt_delay_ms": 1_000, "auto_read": true})).await;
    house.send(text(ANA, "x")).await;
    house.advance(2_000).await;
    house.idle().await;
    assert_eq!(house.daemon.states(), ["sent", "delivered", "read"]);
    house.daemon.forget();
    house.faults(json!({"receipts": false})).await;
    house.send(text(ANA, "x")).await;
    assert_eq!(house.idle().await["open"], 0);
    assert!(house.daemon.states().is_empty());
}

#[tokio::test]
async fn the_same_seed_brings_the_same_faults() {
    let house = House::new().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        // Chance begins anew with everything else.
        house.control("reset", Value::Null).await;
        house.daemon.forget();
        house.open_window().await;
        house.daemon.forget();
        house.faults(json!({"receipt_lost": {"probability": 0.4}, "send_error": {"probability": 0.3}})).await;
        let mut answers = Vec::new();
        for n in 0..30 {
            answers.push(house.send(text(ANA, &n.to_string())).await.0);
        }
        house.idle().await;
        runs.push((answers, house.daemon.states()));
    }
    assert_eq!(runs[0], runs[1]);
    let (answers, states) = &runs[0];
    let (sent, told) = (answers.iter().filter(|status| **status == 200).count(), states.len());
    assert!(
        (1..30).contains(&sent) && (1..2 * sent).contains(&told),
        "some of each: {sent} of 30 sent, {told} receipts"
    );
}
