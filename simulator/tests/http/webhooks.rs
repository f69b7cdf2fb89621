//! Delivery of webhooks: handshake, signature, escaping, order, duplicates, retries.

use crate::env::{ANA, START_MS, TestEnv, text, under};
use beadle_test_support::webhook::signature;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn text_is_delivered_signed_and_escaped_like_metas_webhooks() {
    let env = TestEnv::new().await;
    let sent = env.say("ana", "Olá 👋 a/b").await;
    let delivery = env.daemon.delivered(1).await.remove(0);
    assert_eq!(delivery.signature, signature("test-app-secret", &delivery.body));
    let wire = std::str::from_utf8(&delivery.body).unwrap();
    assert!(wire.is_ascii() && wire.contains(r"Ol\u00e1 \ud83d\udc4b a\/b"), "{wire}");
    let body: Value = serde_json::from_str(wire).unwrap();
    let expected = json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [{
    "field": "messages",
    "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": crate::env::NUMBER},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": ANA, "user_id": "PT.1349120865351910000101"}],
        "messages": [{"from": ANA, "from_user_id": "PT.1349120865351910000101", "id": sent["id"],
            "timestamp": (START_MS / 1000).to_string(), "type": "text", "text": {"body": "Olá 👋 a/b"}}],
    }}]}]});
    assert_eq!(body, expected);
    env.idle().await;
    let inbound = env.get("messages?from=person").await;
    assert_eq!(inbound["messages"][0]["state"], "delivered");
}

#[tokio::test]
async fn nothing_is_delivered_before_the_handshake() {
    let env = TestEnv::with(|_| {}, &[503, 403]).await;
    env.say("ana", "early").await;
    env.daemon.delivered(1).await;
    assert_eq!(env.daemon.handshakes(), 3);
}

#[tokio::test]
async fn wrong_verify_token_prevents_delivery() {
    let env = TestEnv::with(|config| config.verify_token = "wrong".to_owned(), &[]).await;
    env.say("ana", "hello").await;
    // After several refused handshakes nothing was delivered.
    while env.daemon.handshakes() < 3 {
        tokio::task::yield_now().await;
    }
    let idle = env.get("idle").await;
    assert_eq!(
        (&idle["handshake_done"], &idle["in_flight"], &idle["deliveries"]),
        (&json!(false), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn messages_of_one_person_arrive_in_order() {
    let env = TestEnv::new().await;
    for n in 0..50 {
        env.say(["ana", "bram"][n % 2], &n.to_string()).await;
    }
    env.idle().await;
    let messages = env.daemon.all("messages");
    assert_eq!(messages.len(), 50);
    for from in [ANA, "31610000102"] {
        let numbers: Vec<u32> = messages
            .iter()
            .filter(|message| message["from"] == from)
            .map(|message| message["text"]["body"].as_str().unwrap().parse().unwrap())
            .collect();
        assert!(numbers.is_sorted() && numbers.len() == 25, "{numbers:?}");
    }
}

#[tokio::test]
async fn failed_delivery_is_retried_with_exponential_delay() {
    let env = TestEnv::new().await;
    env.open_window().await;
    // Only 200 counts as success.
    env.daemon.respond(&[500, 503, 201, 429]);
    env.say("ana", "again").await;
    let mut delays = Vec::new();
    for attempt in 1..=4 {
        let deliveries = env.daemon.delivered(attempt).await;
        let idle = env.idle().await;
        let due_ms = idle["next_due_ms"].as_i64().unwrap();
        assert_eq!((deliveries.len(), &idle["waiting"]), (attempt, &json!(1)));
        let now_ms = env.get("clock").await["now_ms"].as_i64().unwrap();
        delays.push(due_ms - now_ms);
        env.control("clock", json!({"set_ms": due_ms})).await;
    }
    assert_eq!(delays, [500, 1000, 2000, 4000]);
    let deliveries = env.daemon.delivered(5).await;
    assert!(deliveries.iter().all(|delivery| delivery.body == deliveries[0].body), "retries have the same bytes");
    let idle = env.idle().await;
    assert_eq!((&idle["waiting"], &idle["failures"]), (&json!(0), &json!(4)));
}

#[tokio::test]
async fn delivery_is_abandoned_after_seven_days() {
    let env = TestEnv::new().await;
    env.faults(json!({"retry_max_ms": 86_400_000})).await;
    env.open_window().await;
    env.daemon.respond(&[500; 100]);
    env.say("ana", "lost").await;
    env.daemon.delivered(1).await;
    env.advance(10 * 86_400_000).await;
    let idle = env.idle().await;
    assert_eq!((&idle["abandoned"], &idle["waiting"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn webhooks_can_be_duplicated_and_rebatched() {
    let env = TestEnv::new().await;
    env.faults(json!({"webhook_duplicated": {"next": 1}})).await;
    env.say("ana", "twice").await;
    let deliveries = env.daemon.delivered(2).await;
    assert_eq!(deliveries[0].body, deliveries[1].body);
    env.idle().await;
    env.daemon.clear();
    env.faults(json!({"webhook_rebatched": {"next": 1}, "webhooks_paused": true, "max_batch_size": 10})).await;
    env.say("ana", "a").await;
    env.say("bram", "b").await;
    env.faults(json!({"webhooks_paused": false})).await;
    env.idle().await;
    let ids: Vec<_> = env.daemon.all("messages").into_iter().map(|message| message["id"].to_string()).collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (3, 2));
}

#[tokio::test]
async fn updates_can_be_batched() {
    let env = TestEnv::new().await;
    env.faults(json!({"max_batch_size": 1000, "webhooks_paused": true})).await;
    for n in 0..40 {
        env.say(["ana", "bram", "kadri"][n % 3], &n.to_string()).await;
    }
    env.faults(json!({"webhooks_paused": false})).await;
    env.idle().await;
    let deliveries = env.daemon.delivered(1).await;
    assert!(deliveries.len() <= 2, "one may have been in flight when deliveries were paused: {}", deliveries.len());
    let largest: Value = deliveries
        .iter()
        .map(|delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap())
        .max_by_key(|body| body["entry"].as_array().unwrap().len())
        .unwrap();
    assert!(largest["entry"].as_array().unwrap().len() > 1, "several entries");
    assert_eq!(env.daemon.all("messages").len(), 40);
}

#[tokio::test]
async fn reordered_and_delayed_updates_all_arrive() {
    let env = TestEnv::new().await;
    env.faults(json!({"webhook_reordered": {"probability": 1, "ms": 50}})).await;
    for n in 0..60 {
        env.say("ana", &n.to_string()).await;
    }
    env.idle().await;
    let order: Vec<_> = env
        .daemon
        .all("messages")
        .iter()
        .map(|m| m["text"]["body"].as_str().unwrap().parse::<u32>().unwrap())
        .collect();
    assert_eq!(order.len(), 60);
    assert!(!order.is_sorted(), "{order:?}");
    env.daemon.clear();
    env.faults(json!({"webhook_reordered": null, "webhook_delayed": {"next": 1, "ms": 5000}})).await;
    env.say("ana", "late").await;
    assert_eq!(env.idle().await["waiting"], 1);
    env.advance(4999).await;
    assert_eq!(env.daemon.all("messages").len(), 0);
    env.advance(1).await;
    env.daemon.delivered(1).await;
}

#[tokio::test]
async fn person_without_number_is_identified_by_user_id() {
    let env = TestEnv::new().await;
    let eva = env.control("people", json!({"name": "Éva", "hidden": true, "username": "eva.k"})).await;
    let user_id = eva["user_id"].as_str().unwrap();
    assert_eq!(eva["wa_id"], Value::Null);
    env.say("éva", "hi").await;
    env.idle().await;
    let body = env.daemon.delivered(1).await.remove(0).body;
    let contacts = under(&body, "contacts");
    assert_eq!(contacts, [json!({"profile": {"name": "Éva", "username": "eva.k"}, "user_id": user_id})]);
    let message = under(&body, "messages").remove(0);
    assert_eq!((message.get("from"), &message["from_user_id"]), (None, &json!(user_id)));
    env.daemon.clear();
    let mut request = text("", "hello");
    request.as_object_mut().unwrap().remove("to");
    request["recipient"] = json!(user_id);
    let (status, answer) = env.send(request).await;
    assert_eq!((status, &answer["contacts"]), (200, &json!([{"input": user_id, "user_id": user_id}])));
    env.idle().await;
    for status in env.daemon.all("statuses") {
        assert_eq!((status.get("recipient_id"), &status["recipient_user_id"]), (None, &json!(user_id)));
    }
    assert_eq!(env.daemon.states(), ["sent", "delivered"]);
}

#[tokio::test]
async fn arbitrary_fields_and_messages_can_be_sent() {
    let env = TestEnv::new().await;
    env.control("webhook", json!({"field": "account_update", "value": {"event": "ACCOUNT_VIOLATION"}})).await;
    let body: Value = serde_json::from_slice(&env.daemon.delivered(1).await[0].body).unwrap();
    assert_eq!(
        body["entry"][0]["changes"][0],
        json!({"field": "account_update", "value": {"event": "ACCOUNT_VIOLATION"}})
    );
    assert_eq!(body["entry"][0]["time"], START_MS / 1000);
    env.idle().await;
    env.daemon.clear();
    let system = json!({"type": "system", "system": {"type": "user_changed_number", "wa_id": "12195555358"}});
    env.control("say", json!({"from": "ana", "message": system})).await;
    let body = env.daemon.delivered(1).await.remove(0).body;
    assert_eq!(under(&body, "contacts").len(), 0);
    let message = under(&body, "messages").remove(0);
    assert_eq!((&message["from"], &message["system"]["wa_id"]), (&json!(ANA), &json!("12195555358")));
}

#[tokio::test]
async fn flood_delivers_every_message() {
    let env = TestEnv::new().await;
    env.control("flood", json!({"people": 10, "count": 500, "text": "m"})).await;
    while env.get("messages?limit=0").await["counts"]["inbound"] != 500 {
        tokio::task::yield_now().await;
    }
    env.idle().await;
    let texts: BTreeSet<_> = env.daemon.all("messages").iter().map(|m| m["text"]["body"].to_string()).collect();
    assert_eq!(texts.len(), 500);
    assert_eq!(
        env.get("people").await["people"].as_array().unwrap().len(),
        3,
        "people of a flood are not listed by default"
    );
    assert_eq!(env.get("people?crowd=true").await["count"], 13);
}
